"""The diary, whole: import, each projection, both audits, each beside its floor in the same run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks import ground
from memory_pipelines.config import Settings
from memory_pipelines.domain.passages import cut
from memory_pipelines.services.audit import audit
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projections import graph
from memory_pipelines.services.sync import sync
from memory_pipelines.services.transfer import transfer

_BATCH = 500
_MAPPING = {"created_at": "date", "key": "id"}

_INSERT_MEMORIES = """
insert into memory.memories (id, namespace, key, key_hash, text, metadata, operation, version, revision, content_hash, created_at)
select gen_random_uuid(), 'pepys', k, sha256(k::bytea), t, m::jsonb, 'created', 1, 1, sha256(convert_to(t, 'UTF8')),
  coalesce(d::timestamptz, now())
from unnest(%s::text[], %s::text[], %s::text[], %s::text[]) x(k, t, m, d) returning id, key
"""
_INSERT_PASSAGES = """
insert into memory.passages (memory_id, ordinal, version, namespace, text)
select i, o, 1, 'pepys', t from unnest(%s::uuid[], %s::smallint[], %s::text[]) x(i, o, t)
"""
_INSERT_LEDGER = """
insert into memory.ledger (projection, kind, id, owed_number, owed_since)
select p, 'memory', i::text, nextval('memory.owings'), now() from unnest(%s::uuid[]) i, unnest(array['entities', 'embeddings', 'graph']) p
"""
_MERGE = {
    "entity": "UNWIND $rows AS r MERGE (e:Entity {id: r.id}) SET e = r.props",
    "memory": "UNWIND $rows AS r MERGE (m:Memory {id: r.id}) SET m = r.props WITH m, r UNWIND r.mentions AS e "
    "MERGE (x:Entity {id: e.entity}) MERGE (m)-[n:MENTIONS]->(x) SET n.dh = e.dh, n.dl = e.dl",
    "relation": "UNWIND $rows AS r MERGE (s:Entity {id: r.source}) MERGE (t:Entity {id: r.target}) "
    "MERGE (s)-[n:RELATES_TO {id: r.id}]->(t) SET n = r.props",
}


def run(settings: Settings, out: Path | None, rounds: int = 3) -> None:
    """Measure `rounds` times, each on emptied stores, and show the round with the median ratio of each row."""
    if not ground.DIARY.exists():
        raise SystemExit(f"The diary is not there: {ground.DIARY}")
    measured = [_round(settings) for _ in range(rounds)]
    rows = [sorted(column, key=lambda row: row.get("ratio") or -row["seconds"])[len(column) // 2] for column in zip(*measured, strict=True)]
    ground.show(f"Pepys: 3,415 entries, median of {rounds} rounds", rows, out)


def _round(settings: Settings) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in ground.DIARY.read_text("utf-8").splitlines()]
    with ground.empty(settings):
        prepared = _prepare(entries)
        floor_import, _ = ground.seconds(lambda: _bare_import(settings, prepared))
    with ground.empty(settings) as platform:
        rows = []
        took, result = ground.seconds(lambda: transfer.import_file(platform, ground.DIARY, namespace="pepys", mapping=_MAPPING))
        rows.append(_row("import", result.imported, took, floor_import, "bare insert, same tables and indexes"))
        took, drained = ground.seconds(lambda: sync.drain(platform, "entities", quiet_seconds=0))
        rows.append(_row("entities", drained.done, took, None, ""))
        texts = [passage for entry in entries for passage in cut(entry["text"], settings.passage_chars)]
        texts += _entity_names(settings)
        floor, _ = ground.seconds(lambda: [platform.embedder.embed(texts[start : start + 2000]) for start in range(0, len(texts), 2000)])
        took, drained = ground.seconds(lambda: sync.drain(platform, "embeddings", quiet_seconds=0))
        rows.append(_row("embeddings", len(texts), took, floor, "our embedder alone, same texts"))
        rows.append(_row("embeddings", len(texts), took, _model_alone(texts), "WordLlama's own embed(), same texts"))
        took, drained = ground.seconds(lambda: sync.drain(platform, "graph", quiet_seconds=0))
        floor = _bare_graph(platform)
        rows.append(_row("graph", drained.done, took, floor, "bare UNWIND … MERGE, batches of 1,000"))
        for deep in (False, True):
            took, verdict = ground.seconds(lambda deep=deep: audit.audit(platform, deep=deep))
            if not verdict.clean:
                raise SystemExit(f"The {verdict.mode} audit found differences: {verdict.kinds()}")
            rows.append(_row(f"{verdict.mode} audit", sum(verdict.checked.values()), took, None, ""))
    return rows


def _row(what: str, count: int, took: float, floor: float | None, against: str) -> dict[str, Any]:
    ratio = None if floor is None else floor / took
    return {
        "what": what, "rows": count, "seconds": took, "per second": round(count / took), "floor s": floor or "", "ratio": ratio or "",
        "floor": against,
    }  # fmt: skip


def _prepare(entries: list[dict[str, Any]]) -> list[tuple[list[dict[str, Any]], list[tuple[str, ...]]]]:
    batches = [entries[start : start + _BATCH] for start in range(0, len(entries), _BATCH)]
    return [(batch, [cut(entry["text"], 400) for entry in batch]) for batch in batches]


def _bare_import(settings: Settings, prepared: list[tuple[list[dict[str, Any]], list[tuple[str, ...]]]]) -> None:
    with ground.database(settings) as connection:
        for batch, passages in prepared:
            with connection.transaction():
                columns = [
                    [entry["id"] for entry in batch], [entry["text"] for entry in batch],
                    [json.dumps({name: entry[name] for name in ("heading", "chapter", "date_gregorian")}) for entry in batch],
                    [entry["date"] for entry in batch],
                ]  # fmt: skip
                ids = {key: id_ for id_, key in connection.execute(_INSERT_MEMORIES, columns).fetchall()}
                cuts = [(ids[entry["id"]], n, text) for entry, texts in zip(batch, passages, strict=True) for n, text in enumerate(texts)]
                connection.execute(_INSERT_PASSAGES, [list(column) for column in zip(*cuts, strict=True)])
                connection.execute(_INSERT_LEDGER, [list(ids.values())])


def _entity_names(settings: Settings) -> list[str]:
    with ground.database(settings) as connection:
        return [name for (name,) in connection.execute("select name from memory.entities where deleted_at is null").fetchall()]


def _model_alone(texts: list[str]) -> float:
    """The model as its package embeds: what a program without our pooling would wait for."""
    from memory_pipelines.models.embedders.wordllama import _model

    model = _model()
    model.tokenizer.enable_padding()
    try:
        return ground.seconds(lambda: model.embed(texts, norm=True))[0]
    finally:
        model.tokenizer.no_padding()


def _bare_graph(platform: Platform) -> float:
    """The same rows into a graph beside ours, one query a batch, without marker, guard or ledger."""
    claimed: dict[str, list[dict[str, Any]]] = {"entity": [], "memory": [], "relation": []}
    sync.rebuild_owe(platform, "graph", 0, 1)
    after = 0
    while rows := platform.record.claim("graph", refs=None, limit=1000, owed_for_seconds=0, after=after).rows:
        after = max(row.number for row in rows)
        for row in rows:
            if row.state is not None:
                claimed[row.kind].append({"id": row.id, **row.state, "mentions": graph.mentions(row.state.get("mentions", ""))})
    ours: Any = platform.graph._transport  # type: ignore[attr-defined]
    if ours.dialect == "falkordb":
        transport, merge = type(ours)(f"unix://{ours._where}", "floor"), _MERGE
        schema = ["CREATE INDEX FOR (m:Memory) ON (m.id)", "CREATE INDEX FOR (e:Entity) ON (e.id)"]
    else:  # one database, so under labels of its own
        transport, merge = ours, {kind: re.sub(r":(Memory|Entity) ", r":Floor\1 ", statement) for kind, statement in _MERGE.items()}
        schema = [f"CREATE CONSTRAINT IF NOT EXISTS FOR (n:Floor{label}) REQUIRE n.id IS UNIQUE" for label in ("Memory", "Entity")]
    for statement in schema:
        transport.schema(statement)

    def load() -> None:
        for kind, rows in claimed.items():
            for start in range(0, len(rows), 1000):
                transport.run(merge[kind], {"rows": rows[start : start + 1000]}, write=True)

    took, _ = ground.seconds(load)
    if transport is ours:
        for label in ("FloorMemory", "FloorEntity"):
            transport.run(f"MATCH (n:{label}) DETACH DELETE n", write=True)
    else:
        transport.run("MATCH (n) DETACH DELETE n", write=True)
        transport.close()
    sync.drain(platform, "graph", quiet_seconds=0)
    return took
