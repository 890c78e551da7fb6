"""What is there: every store read whole, by raw SQL and raw Cypher.

Must stay out: what should be there (`logs.py`), and anything of `memory_pipelines`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import redis

Cypher = Callable[[str], list[list[Any]]]


@dataclass
class Found:
    """Everything that the stores show, in raw rows."""

    memories: dict[str, dict[str, Any]]
    history: list[tuple[Any, ...]]
    passages: dict[str, list[tuple[int, int, str]]]
    embeddings: list[tuple[Any, ...]]
    entities: dict[str, dict[str, Any]]
    mentions: list[tuple[str, str, str]]
    """Memory, the entity that it named, and the one that this is shown as since entities were merged."""
    aliases: dict[str, dict[str, Any]]
    relations: dict[str, dict[str, Any]]
    statements: list[tuple[str, str, str]]
    owed: list[tuple[Any, ...]]
    settled: dict[tuple[str, str, str], tuple[int | None, int | None]]
    graph_memories: list[list[Any]]
    graph_entities: list[list[Any]]
    graph_mentions: list[list[Any]]
    graph_relations: list[list[Any]]


def look(sql: psycopg.Connection[Any], cypher: Cypher) -> Found:
    """Read every store whole."""

    def rows(statement: str) -> list[tuple[Any, ...]]:
        return sql.execute(statement.encode()).fetchall()

    merging = bool(rows("select from pg_tables where schemaname = 'memory' and tablename = 'aliases'"))
    shown = "coalesce(shown_id, {0})::text" if merging else "{0}::text"
    aliases = rows("select alias_id::text, namespace, parent_id::text, name from memory.aliases") if merging else []
    halves = "(digest >> 32) & 4294967295, digest & 4294967295, bucket, leaf"
    memories = rows(
        "select id::text, namespace, text, metadata, given, version, revision, deleted_at is not null,"
        f" floor(extract(epoch from created_at) * 1000)::bigint, key, source, thread, content_hash is null, {halves} from memory.memories"
    )
    names = ("namespace", "text", "metadata", "given", "version", "revision", "deleted", "at", "key", "source", "thread", "hashless")
    entities = rows(f"select id::text, namespace, name, type, revision, deleted_at is not null, name_key, {halves} from memory.entities")
    relations = rows(
        "select id::text, namespace, source_id::text, predicate, target_id::text, revision, deleted_at is not null,"
        " (digest >> 32) & 4294967295, digest & 4294967295 from memory.relations"
    )
    passages: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for id_, ordinal, version, text in rows("select memory_id::text, ordinal, version, text from memory.passages order by 1, 2"):
        passages[id_].append((ordinal, version, text))
    return Found(
        memories={row[0]: dict(zip(names, row[1:13], strict=True)) | {"digest": row[13:]} for row in memories},
        history=rows("select memory_id::text, version, revision, operation, text, metadata, source from memory.history"),
        passages=passages,
        embeddings=rows("select kind, id::text, passage, generation, version, namespace, vector_dims(v), v::text from memory.embeddings"),
        entities={
            row[0]: dict(zip(("namespace", "name", "type", "revision", "deleted", "key"), row[1:7], strict=True)) | {"digest": row[7:]}
            for row in entities
        },
        mentions=rows(f"select memory_id::text, entity_id::text, {shown.format('entity_id')} from memory.mentions"),  # type: ignore[arg-type]
        aliases={row[0]: dict(zip(("namespace", "parent", "name"), row[1:], strict=True)) for row in aliases},
        relations={
            row[0]: dict(zip(("namespace", "source", "predicate", "target", "revision", "deleted"), row[1:7], strict=True))
            | {"digest": row[7:]}
            for row in relations
        },
        statements=rows(f"select memory_id::text, relation_id::text, {shown.format('relation_id')} from memory.statements"),  # type: ignore[arg-type]
        owed=rows("select projection, kind, id, owed_since, parked_at, last_error from memory.ledger where owed_number is not null"),
        settled={
            (row[0], row[1], row[2]): (row[3], row[4])
            for row in rows("select projection, kind, id, settled_revision, settled_version from memory.ledger")
        },
        graph_memories=cypher(
            "MATCH (m:Memory) RETURN m.id, m.namespace, m.revision, m.created_at, m.deleted, m.dh, m.dl, m.bucket, m.leaf"
        ),
        graph_entities=cypher(
            "MATCH (e:Entity) RETURN e.id, e.namespace, e.name, e.type, e.revision, e.deleted, e.dh, e.dl, e.bucket, e.leaf"
        ),
        graph_mentions=cypher("MATCH (a)-[n:MENTIONS]->(b) RETURN a.id, b.id, labels(a)[0], labels(b)[0], n.dh"),
        graph_relations=cypher(
            "MATCH (a)-[n:RELATES_TO]->(b) RETURN n.id, a.id, b.id, n.predicate, n.namespace, n.revision, n.deleted, n.dh, n.dl"
        ),
    )


def falkor(path: str, graph: str) -> Cypher:
    """Raw `GRAPH.QUERY` over a unix socket. In this form a boolean is a word, and a missing property is None."""
    server = redis.Redis(unix_socket_path=path, decode_responses=True)

    def run(statement: str) -> list[list[Any]]:
        answer: Any = server.execute_command("GRAPH.QUERY", graph, statement)
        rows = answer[1] if len(answer) > 1 else []  # what returns nothing has statistics alone
        return [[{"true": True, "false": False}.get(cell, cell) if isinstance(cell, str) else cell for cell in row] for row in rows]

    return run


def bolt(url: str, user: str, password: str, certificates: str | None = None) -> Cypher:
    """The `neo4j` driver, as it comes; with a file of certificates it trusts those and encrypts."""
    from neo4j import GraphDatabase, TrustCustomCAs

    trusting: dict[str, Any] = {"encrypted": True, "trusted_certificates": TrustCustomCAs(certificates)} if certificates else {}
    driver = GraphDatabase.driver(url.replace("+s:", ":") if certificates else url, auth=(user, password), **trusting)

    def run(statement: str) -> list[list[Any]]:
        with driver.session() as session:
            return [list(record.values()) for record in session.run(statement)]  # type: ignore[arg-type]

    return run
