"""What befalls a graph as a whole, for each engine that can hold it: put back to an older state, emptied, dropped with its schema.

The embedded FalkorDB is put back by its files and a restart; a Neo4j, which other tests go on using, by rows that were read before. Must
stay out: fixtures (`conftest.py`), and drift of single rows (`drift.py`).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from memory_pipelines import Settings
from memory_pipelines.ports import GraphTransport
from memory_pipelines.stores.graph.bolt_transport import BoltTransport
from memory_pipelines.stores.graph.falkor_transport import FalkorTransport
from tests import engines
from tests.integration import faults

LABELS = ("Memory", "Entity", "Marker")
EDGES = {"MENTIONS": ("Memory", "Entity"), "RELATES_TO": ("Entity", "Entity")}
INDEXES = "CALL db.indexes() YIELD label, properties RETURN label, properties"
CONSTRAINTS = "CALL db.constraints() YIELD label, properties, status RETURN label, properties, status"
BOLT_INDEXES = "SHOW INDEXES YIELD labelsOrTypes, properties, state, type WHERE type = 'RANGE' RETURN labelsOrTypes, properties, state"
BOLT_CONSTRAINTS = "SHOW CONSTRAINTS YIELD labelsOrTypes, properties, name RETURN labelsOrTypes, properties, 'OPERATIONAL', name"

Snapshot = Path | dict[str, list[list[Any]]]


def snapshot(settings: Settings, to: Path) -> Snapshot:
    """The graph as it is now."""
    graph = engines.graph_server(settings)
    try:
        if isinstance(graph, FalkorTransport):
            graph._graph().client.connection.save()
            return Path(shutil.copy(settings.home_path / "graph" / "dump.rdb", to / "older.rdb"))
        nodes = {label: graph.run(f"MATCH (n:{label}) RETURN properties(n)") for label in LABELS}
        edges = {kind: graph.run(f"MATCH (a)-[e:{kind}]->(b) RETURN a.id, b.id, properties(e)") for kind in EDGES}
        return nodes | edges
    finally:
        graph.close()


def put_back(settings: Settings, older: Snapshot) -> None:
    """The graph as it was: with files, after a `kill -9`."""
    if isinstance(older, Path):
        faults.kill(settings, "graph")
        shutil.copy(older, settings.home_path / "graph" / "dump.rdb")
        faults.start(settings, "graph")
        return
    graph = engines.graph_server(settings)
    flush(graph)
    for label in LABELS:
        graph.run(f"UNWIND $rows AS r CREATE (n:{label}) SET n = r[0]", {"rows": older[label]}, write=True)
    for kind, (source, target) in EDGES.items():
        statement = f"UNWIND $rows AS r MATCH (a:{source} {{id: r[0]}}), (b:{target} {{id: r[1]}}) CREATE (a)-[e:{kind}]->(b) SET e = r[2]"
        graph.run(statement, {"rows": older[kind]}, write=True)
    graph.close()


def drop(graph: GraphTransport) -> None:
    """The graph is gone with its indexes and constraints."""
    if isinstance(graph, FalkorTransport):
        graph._graph().delete()
        return
    flush(graph)
    for row in graph.run(BOLT_CONSTRAINTS):
        graph.schema(f"DROP CONSTRAINT {row[-1]}")
    for (name,) in graph.run("SHOW INDEXES YIELD name, type WHERE type = 'RANGE' RETURN name"):
        graph.schema(f"DROP INDEX {name}")


def flush(graph: GraphTransport) -> None:
    """Nothing is left in the graph's server; Neo4j keeps the indexes and constraints."""
    if isinstance(graph, FalkorTransport):
        graph._graph().client.connection.flushall()
    else:
        graph.run("MATCH (n) DETACH DELETE n", write=True)


def schema(graph: GraphTransport) -> list[str]:
    """Indexes and constraints."""
    questions = (BOLT_INDEXES, BOLT_CONSTRAINTS) if isinstance(graph, BoltTransport) else (INDEXES, CONSTRAINTS)
    return sorted(repr(row) for question in questions for row in graph.run(question))


def constrained(graph: GraphTransport) -> bool:
    """Whether the uniqueness of every id is held by now."""
    constraints = graph.run(BOLT_CONSTRAINTS if isinstance(graph, BoltTransport) else CONSTRAINTS)
    return sorted(str(row[0]).strip("[']") for row in constraints if row[2] == "OPERATIONAL") == sorted(LABELS)


def shown(graph: GraphTransport) -> list[str]:
    """Everything in the graph but its marker."""
    rows = graph.run("MATCH (n) WHERE NOT n:Marker OPTIONAL MATCH (n)-[e]->() RETURN properties(n), properties(e)")
    return sorted(repr([sorted((part or {}).items()) for part in row]) for row in rows)
