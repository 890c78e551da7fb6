"""One save, one search: each beside the bare statement that does the same work."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from benchmarks import ground
from memory_pipelines import MemoryClient
from memory_pipelines.config import Settings
from memory_pipelines.domain.vectors import format_vector
from memory_pipelines.services import maintenance
from memory_pipelines.services.sync import sync
from memory_pipelines.services.transfer import transfer

_TEXT = "The tea at the corner place in Lisbon was better than last week, and the weather held until the evening."
_SAVES = 1000
_QUESTIONS = (
    "Where was my wife when the great fire began?", "What did my Lord say about the fleet?", "dinner with venison pasty",
    "the plague bills this week", "Who played the lute?", "I was at the theatre and saw Macbeth", "new periwig",
    "a letter from my father about Brampton",
)  # fmt: skip

_BARE_SAVE = """
with m as (
  insert into memory.memories (id, namespace, text, operation, version, revision, content_hash, created_at)
  values (%s, 'latency', %s, 'created', 1, 1, '\\x00', now()) returning id
)
insert into memory.ledger (projection, kind, id, owed_number, owed_since)
select p, 'memory', id::text, nextval('memory.owings'), now() from m, unnest(array['entities', 'embeddings', 'graph']) p
"""
# The same two arms, fused by rank, written as one statement for this question, this namespace and no filter.
_BARE_SEARCH = """
with vectors as (
  select id, passage, row_number() over (order by d) as rank from (
    select distinct on (id) id, passage, d from (
      select e.id, e.passage, e.v <=> %(vector)s::vector as d from memory.embeddings e
      where e.namespace = 'pepys' and e.generation = 1 and e.kind = 'memory' order by d limit 120
    ) x order by id, d
  ) y order by d limit 30
), words as (
  select id, passage, row_number() over (order by r desc) as rank from (
    select distinct on (id) id, passage, r from (
      select q.memory_id as id, q.ordinal as passage, ts_rank(q.words, memory.any_word(%(query)s)) as r from memory.passages q
      where q.words @@ memory.any_word(%(query)s) and q.namespace = 'pepys' order by r desc limit 120
    ) x order by id, r desc
  ) y order by r desc limit 30
)
select m.id, m.text, q.text, sum(1.0 / (60 + a.rank)) as score
from (select * from vectors union all select * from words) a
join memory.memories m on m.id = a.id and m.deleted_at is null
join memory.passages q on q.memory_id = a.id and q.ordinal = a.passage
group by m.id, m.text, q.text order by score desc limit 10
"""


def run(settings: Settings, out: Path | None) -> None:
    """Measure saves one by one and searches of the diary."""
    with ground.empty(settings) as platform, ground.database(settings) as connection:
        client = MemoryClient(platform)
        bare = ground.median_ms(lambda: connection.execute(_BARE_SAVE, [uuid.uuid4(), _TEXT]), _SAVES)
        ours = ground.median_ms(lambda: client.save(_TEXT, namespace="latency"), _SAVES)
        again = ground.median_ms(lambda: connection.execute(_BARE_SAVE, [uuid.uuid4(), _TEXT]), _SAVES)
        rows = [_row("save, one by one", ours, (bare + again) / 2, "bare statement: row + its ledger rows")]
    with ground.empty(settings) as platform, ground.database(settings) as connection:
        client = MemoryClient(platform)
        transfer.import_file(platform, ground.DIARY, namespace="pepys", mapping={"created_at": "date", "key": "id"})
        sync.drain_all(platform)
        connection.execute("analyze")
        for label in ("vectors exact", "vectors by HNSW"):
            rows.append(_search(client, platform, connection, label))
            maintenance.maintain(platform)
            connection.execute("analyze")
    ground.show("One call, median milliseconds", rows, out)


def _search(client: MemoryClient, platform: Any, connection: Any, label: str) -> dict[str, Any]:
    turn = iter(range(10**9))

    def question() -> str:
        return _QUESTIONS[next(turn) % len(_QUESTIONS)]

    def bare_search() -> None:
        asked = question()
        vector = format_vector(platform.embedder.embed([asked])[0])
        connection.execute(_BARE_SEARCH, {"vector": vector, "query": asked}).fetchall()

    bare = ground.median_ms(bare_search, 80)
    ours = ground.median_ms(lambda: client.search(question(), namespace="pepys"), 80)
    again = ground.median_ms(bare_search, 80)
    return _row(f"search in 3,415 entries, {label}", ours, (bare + again) / 2, "bare SQL (exact) + embedding of the question")


def _row(what: str, ours: float, bare: float, floor: str) -> dict[str, Any]:
    return {"what": what, "ms": ours, "floor ms": bare, "times the floor": ours / bare, "floor": floor}
