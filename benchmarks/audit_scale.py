"""The quick audit over 10,000, 100,000 and 1,000,000 memories with three entities each: seconds, bytes read, and what k drifted rows cost.

The record is loaded by SQL of its own and the graph by the store's own batches, so that a million takes minutes; what stands there in the
end is what saves and drains would have left. To measure something else at this scale, add a function beside `_clean`. Must stay out: a
store that the product would not have made.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import ground
from memory_pipelines.config import Settings
from memory_pipelines.services import audit, graph
from memory_pipelines.services.platform import Platform

SIZES = (10_000, 100_000, 1_000_000)
DRIFTED = (10, 100, 1_000)
DIMENSIONS = 256
_SLICE = 100_000  # memories loaded in one statement
_BATCH = 5_000  # rows a graph batch

_ENTITIES = """
insert into memory.entities (id, namespace, name, type, name_key, name_hash)
select ('019' || lpad(to_hex(n), 5, '0') || '-' || substr(md5('e' || n), 1, 4) || '-7' || substr(md5('e' || n), 5, 3) || '-8' || substr(md5('e' || n), 8, 3)
  || '-' || substr(md5('e' || n), 11, 12))::uuid, 'bench', 'Entity ' || n, 'thing', 'entity ' || n, sha256(convert_to('entity ' || n, 'UTF8'))
from generate_series(1, %(entities)s::integer) n
"""
_MEMORIES = """
insert into memory.memories (id, namespace, text, operation, version, revision, content_hash, created_at)
select ('0191' || lpad(to_hex(n / 65536), 4, '0') || '-' || lpad(to_hex(n %% 65536), 4, '0') || '-7' || substr(md5('m' || n), 1, 3) || '-8'
  || substr(md5('m' || n), 4, 3) || '-' || substr(md5('m' || n), 7, 12))::uuid,
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
join (select id, row_number() over (order by id) - 1 as n from memory.entities) e on e.n = (m.n * 7919 + k.k * 104729) %% %(entities)s::integer
"""
_VECTORS = """
insert into memory.embeddings (kind, id, passage, generation, version, namespace, indexed, v)
select kind, id, 0, %(generation)s::smallint, 1, namespace, false, %(vector)s::vector
from (select 'memory' as kind, id, namespace from memory.memories union all select 'entity', id, namespace from memory.entities) x
"""
_LEDGER = """
insert into memory.ledger (projection, kind, id, settled_revision, settled_version, settled_marker, settled_at)
select p.projection, s.kind, s.id::text, 1, 1, case p.projection when 'graph' then 1 end, now()
from (select 'memory' as kind, id from memory.memories union all select 'entity', id from memory.entities) s
join (values ('graph', 'memory'), ('embeddings', 'memory'), ('entities', 'memory'), ('graph', 'entity'), ('embeddings', 'entity')) p(projection, kind)
  on p.kind = s.kind
"""
_GRAPH_ENTITIES = """
select id::text, memory.graph_entity(id, namespace, name, type, revision, digest, bucket, leaf) from memory.entities
"""
_GRAPH_MEMORIES = """
select m.id::text, memory.graph_memory(m.id, m.namespace, m.revision, m.created_at, m.digest, m.bucket, m.leaf),
  (select string_agg(n.entity_id || ' ' || ((n.digest >> 32) & 4294967295) || ' ' || (n.digest & 4294967295), ';') from memory.mentions n where n.memory_id = m.id)
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
    connection.execute("update memory.graph_state set settled_marker = %s", [platform.graph.marker().counter])


def _pages(connection: psycopg.Connection[Any], statement: str) -> Iterator[list[tuple[Any, ...]]]:
    with connection.transaction(), connection.cursor("rows") as cursor:
        cursor.execute(statement.encode())
        while page := cursor.fetchmany(_BATCH):
            yield page


def _mentions(rest: list[str]) -> dict[str, Any]:
    return {"mentions": graph.mentions(rest[0])} if rest else {}


def run(settings: Settings, out: Path | None, sizes: tuple[int, ...] = SIZES) -> None:
    """Measure each size on emptied stores."""
    rows = []
    for memories in sizes:
        with ground.empty(settings) as platform:
            loaded = load(settings, platform, memories)
            print(f"{memories:,} memories loaded in {loaded:.0f} s", flush=True)
            rows.append(_measured(platform, memories))
            print(rows[-1], flush=True)
    ground.show("Quick audit", rows, out)


def _measured(platform: Platform, memories: int) -> dict[str, Any]:
    took, verdict = ground.seconds(lambda: audit.audit(platform))
    if not verdict.clean:
        raise SystemExit(f"The audit found differences: {verdict.kinds()}")
    return {"memories": memories, "clean s": took}
