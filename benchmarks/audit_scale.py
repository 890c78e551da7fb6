"""The quick audit over 10,000, 100,000 and 1,000,000 memories with three entities each: seconds, bytes read, and what k drifted rows cost.

The record is loaded by SQL of its own and the graph by the store's own batches, so that a million takes minutes; what stands there in the
end is what saves and drains would have left. To measure something else at this scale, add a function beside `_clean`. Must stay out: a
store that the product would not have made.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import ground
from memory_pipelines.config import Settings
from memory_pipelines.services.audit import audit
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projections import graph
from memory_pipelines.services.sync import sync

SIZES = (10_000, 100_000, 1_000_000)
DRIFTED = (10, 100, 1_000)
DIMENSIONS = 256
_SLICE = 100_000  # memories loaded in one statement
_BATCH = 5_000  # rows a graph batch
_LATER = 100_000  # the graph's marker when it is filled

_ENTITIES = """
insert into memory.entities (id, namespace, name, type, name_key, name_hash)
select md5('e' || n)::uuid, 'bench', 'Entity ' || n, 'thing', 'entity ' || n, sha256(convert_to('entity ' || n, 'UTF8'))
from generate_series(1, %(entities)s::integer) n
"""
_MEMORIES = """
insert into memory.memories (id, namespace, text, operation, version, revision, content_hash, created_at)
select overlay(overlay(md5('m' || n) placing lpad(to_hex(n), 12, '0') from 1) placing '7' from 13)::uuid,
  'bench', 'Memory ' || n || ': ' || repeat(md5(n::text) || ' ', 3), 'created', 1, 1, sha256(convert_to('m' || n, 'UTF8')), now()
from generate_series(%(low)s::integer, %(high)s::integer) n
"""
_PASSAGES = (
    "insert into memory.passages (memory_id, ordinal, version, namespace, text) select id, 0, version, namespace, text from memory.memories"
)
_MENTIONS = """
insert into memory.mentions (memory_id, entity_id, given, version, valid_from)
select m.id, e.id, true, 1, m.created_at
from (select id, created_at, row_number() over (order by id) as n from memory.memories) m
cross join lateral (values (0), (1), (2)) k(k)
join (select id, row_number() over (order by id) - 1 as n from memory.entities) e
  on e.n = (m.n * 7919 + k.k * 104729) %% %(entities)s::integer
"""
_VECTORS = """
insert into memory.embeddings (kind, id, passage, generation, version, namespace, indexed, v)
select kind, id, 0, %(generation)s::smallint, 1, namespace, false, %(vector)s::vector
from (select 'memory' as kind, id, namespace from memory.memories union all select 'entity', id, namespace from memory.entities) x
"""
_LEDGER = """
insert into memory.ledger (projection, kind, id, settled_revision, settled_version, settled_marker, settled_at)
select p.projection, s.kind, s.id::text, 1, 1, case p.projection when 'graph' then 1 end, now() - interval '1 hour'
from (select 'memory' as kind, id from memory.memories union all select 'entity', id from memory.entities) s
join (
  values ('graph', 'memory'), ('embeddings', 'memory'), ('entities', 'memory'), ('graph', 'entity'), ('embeddings', 'entity')
) p(projection, kind) on p.kind = s.kind
"""
_GRAPH_ENTITIES = """
select id::text, memory.graph_entity(id, namespace, name, type, revision, digest, bucket, leaf, aliases, summary) from memory.entities
"""
_GRAPH_MEMORIES = """
select m.id::text, memory.graph_memory(m.id, m.namespace, m.revision, m.created_at, m.digest, m.bucket, m.leaf),
  (select string_agg(n.entity_id || ' ' || ((n.digest >> 32) & 4294967295) || ' ' || (n.digest & 4294967295), ';')
   from memory.mentions n where n.memory_id = m.id)
from memory.memories m
"""


def load(settings: Settings, platform: Platform, memories: int) -> float:
    """Fill emptied stores with `memories` memories, a quarter as many entities, three mentions each; returns the seconds it took."""
    started = time.perf_counter()
    entities = memories // 4
    generation = platform.record.generation("bench", DIMENSIONS)
    with ground.database(settings) as connection:
        connection.execute("set synchronous_commit = off")
        connection.execute(_ENTITIES, {"entities": entities})
        for low in range(1, memories + 1, _SLICE):
            connection.execute(_MEMORIES, {"low": low, "high": min(low + _SLICE - 1, memories)})
        connection.execute(_PASSAGES)
        connection.execute(_MENTIONS, {"entities": entities})
        vector = [0.0625] * DIMENSIONS
        connection.execute(_VECTORS, {"generation": generation, "vector": str(vector)})
        connection.execute(_LEDGER)
        _fill_graph(connection, platform)
        connection.execute("vacuum (analyze)")
    return time.perf_counter() - started


def _fill_graph(connection: psycopg.Connection[Any], platform: Platform) -> None:
    claim = int(platform.record.maintain("claim", limit=1)["done"])
    for kind, statement in (("entity", _GRAPH_ENTITIES), ("memory", _GRAPH_MEMORIES)):
        for page in _pages(connection, statement):
            rows = [{"id": id_, "revision": 1, "expect": -2, "props": props, **_mentions(rest)} for id_, props, *rest in page]
            platform.graph.apply(kind, rows, claim=claim, issued=claim, settled=0)
    platform.graph.raise_marker(_LATER)  # many batches ago: nothing of this counts as touched
    connection.execute("update memory.graph_state set settled_marker = %s", [_LATER])


def _pages(connection: psycopg.Connection[Any], statement: str) -> Iterator[list[tuple[Any, ...]]]:
    with connection.transaction(), connection.cursor("rows") as cursor:
        cursor.execute(statement.encode())
        while page := cursor.fetchmany(_BATCH):
            yield page


def _mentions(rest: list[str]) -> dict[str, Any]:
    return {"mentions": graph.mentions(rest[0])} if rest else {}


def run(settings: Settings, out: Path | None, sizes: Sequence[int] = SIZES, plot: Path | None = None) -> None:
    """Measure each size on emptied stores, and draw seconds over size.

    Args:
        plot: SVG file to draw into.
    """
    rows = []
    for memories in sizes:
        with ground.empty(settings) as platform:
            loaded = load(settings, platform, memories)
            rows.append(
                {"memories": memories, "loading s": loaded, **_clean(platform), **_drifted(platform, memories), **_touched(platform)}
            )
            print(rows[-1], flush=True)
    ground.show("Quick audit, three entities a memory", rows, out)
    if plot is not None:
        _draw(rows, plot)


def _clean(platform: Platform) -> dict[str, Any]:
    """Where nothing differs, the better of two."""
    timed = [ground.seconds(lambda: audit.audit(platform)) for _ in range(2)]
    took, verdict = min(timed, key=lambda one: one[0])
    if not verdict.clean:
        raise SystemExit(f"The audit found differences where none are: {verdict.kinds()}")
    return {"rows compared": sum(verdict.checked.values()), "clean s": took, "clean MB": verdict.bytes / 1e6}


def _drifted(platform: Platform, memories: int) -> dict[str, Any]:
    """`k` nodes are outdated in the graph, then put back: each must be named."""
    ours: Any = platform.graph
    dice, found = random.Random(memories), {}
    ids = [row[0] for row in ours._transport.run("MATCH (m:Memory) RETURN m.id LIMIT 20000", {})]
    for drifted in DRIFTED:
        parameters = {"ids": dice.sample(ids, min(drifted, len(ids)))}
        ours._transport.run("UNWIND $ids AS i MATCH (m:Memory {id: i}) SET m.dl = m.dl + 1", parameters, write=True)
        took, verdict = ground.seconds(lambda: audit.audit(platform))
        if verdict.kinds() != {"edited": drifted} or {finding.id for finding in verdict.findings} != set(parameters["ids"]):
            raise SystemExit(f"Of {drifted} rows that differ, these were found: {verdict.kinds()}")
        ours._transport.run("UNWIND $ids AS i MATCH (m:Memory {id: i}) SET m.dl = m.dl - 1", parameters, write=True)
        found |= {f"{drifted} differ, s": took, f"{drifted} differ, MB": verdict.bytes / 1e6}
    return found


def _touched(platform: Platform, written: int = 1000) -> dict[str, Any]:
    """An incremental round after a thousand memories were applied again."""
    ours: Any = platform.graph
    if not audit.audit(platform).clean:
        raise SystemExit("Drift was not taken back.")
    ids = [row[0] for row in ours._transport.run("MATCH (m:Memory) RETURN m.id LIMIT $n", {"n": written})]
    platform.record.owe([{"projection": "graph", "kind": "memory", "id": id_} for id_ in ids])
    sync.drain(platform, "graph", quiet_seconds=0)
    took, verdict = ground.seconds(lambda: audit.audit(platform, incremental=True))
    if not verdict.clean or verdict.mode != "incremental" or verdict.checked["memory"] < len(ids):
        raise SystemExit(f"The incremental round did not look at what was written: {verdict}")
    return {"incremental s": took}


def _draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    import leather

    chart = leather.Chart("Quick audit on the embedded engines, two cores")
    chart.add_x_axis(name="memories, thousands (three entities each)")
    chart.add_y_axis(name="seconds")
    for name, column in (("nothing differs", "clean s"), (f"{DRIFTED[-1]:,} rows differ", f"{DRIFTED[-1]} differ, s")):
        chart.add_line([(row["memories"] / 1000, row[column]) for row in rows], name=name)
    chart.to_svg(str(path))
