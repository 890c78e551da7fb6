"""Differences among texts, passages and vectors, exactly, a page of ids at a time. What is owed is left to the ledger's own audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memory_pipelines.stores.memory.functions.base import Payload, uuid
from memory_pipelines.stores.memory.functions.embeddings import generation
from memory_pipelines.stores.memory.rows import Embedding, Memory, Passage
from memory_pipelines.stores.memory.tables import Tables

_FIRST, _LAST = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"


def memory_audit_embeddings_v1(tables: Tables, p: Payload) -> Any:
    """One page, which `next` continues; or all of some owners."""
    chosen = None if "ids" not in p else {uuid(id_) for id_ in p["ids"]}
    low = p.get("after") or _FIRST
    ids = sorted(id_ for id_ in {*tables.memories.ids(), *tables.entities.ids()} if id_ > low and (chosen is None or id_ in chosen))
    page = ids if chosen is not None else ids[: p["limit"]]
    high = page[-1] if len(ids) > len(page) else _LAST
    passages = [row for row in tables.passages if low < row.memory <= high and (chosen is None or row.memory in chosen)]
    vectors = [row for row in tables.embeddings if low < row.id <= high and (chosen is None or row.id in chosen)]
    wanted = _wanted(tables, passages, page)
    findings = [*_vectors(tables, wanted, vectors), *_passages(tables, passages, page)]
    owed = {(debt.kind, debt.id) for debt in tables.ledger.having("owed", "embeddings")}
    return {
        "findings": [row for row in findings if (row["hint"]["owner_kind"], row["hint"]["owner"]) not in owed],
        "passages": sum(kind == "memory" for kind, _, _ in wanted), "embeddings": len(vectors), "next": None if high == _LAST else high,
    }  # fmt: skip


def _wanted(tables: Tables, passages: list[Passage], page: list[str]) -> dict[tuple[str, str, int], tuple[int, str]]:
    """Version and namespace of every vector that must be there."""
    wanted: dict[tuple[str, str, int], tuple[int, str]] = {}
    for row in passages:
        if (live := _live(tables, row.memory)) is not None:
            wanted["memory", row.memory, row.ordinal] = (live.version, live.namespace)
    for id_ in page:
        entity = tables.entities.get(id_)
        if entity is not None and entity.deleted_at is None:
            wanted["entity", id_, 0] = (entity.revision, entity.namespace)
    return wanted


def _live(tables: Tables, id_: str) -> Memory | None:
    row = tables.memories.get(id_)
    return None if row is None or row.deleted_at is not None else row


def _vectors(tables: Tables, wanted: dict[tuple[str, str, int], tuple[int, str]], vectors: list[Embedding]) -> Iterator[Payload]:
    active = generation(tables)
    expected = (None, None) if active is None else (active.id, active.dimensions)
    had = {(row.kind, row.id, row.passage): row for row in vectors if row.generation == expected[0]}
    others = [row for row in vectors if row.generation != expected[0]]
    pairs: list[tuple[tuple[str, str, int], Embedding | None]] = [(key, had.get(key)) for key in {**wanted, **had}]
    elsewhere = {(row.kind, row.id, row.passage) for row in others}
    judged = [(key, row, _judge(wanted.get(key), row, expected[1])) for key, row in pairs]
    judged = [one for one in judged if one[2] != "missing" or one[0] not in elsewhere]
    for row in others:
        key = (row.kind, row.id, row.passage)
        judged.append((key, row, "wrong_generation" if key in wanted else "orphan"))
    for key, seen_row, finding in judged:
        if finding is None:
            continue
        want = wanted.get(key)
        kind, id_, passage = key
        said = None if want is None else {"version": want[0], "generation": expected[0], "dimensions": expected[1]}
        seen = None
        if seen_row is not None:
            seen = {"version": seen_row.version, "generation": seen_row.generation, "dimensions": len(seen_row.v)}
        name = f"{id_}#{passage}" if kind == "memory" else id_
        yield _finding(finding, "embeddings", "embedding", name, said, seen, kind, id_)


def _judge(want: tuple[int, str] | None, row: Embedding | None, dimensions: int | None) -> str | None:
    if want is None:
        return "orphan"
    if row is None:
        return "missing"
    if row.version != want[0]:
        return "stale" if row.version < want[0] else "ahead"
    if len(row.v) != dimensions:
        return "wrong_dimension"
    return "wrong_namespace" if row.namespace != want[1] else None


def _passages(tables: Tables, passages: list[Passage], page: list[str]) -> Iterator[Payload]:
    """Passages that are not of their text, and texts that their passages do not make up, but for white space."""
    of: dict[str, list[Passage]] = {}
    for row in passages:
        of.setdefault(row.memory, []).append(row)
    uncovered = {id_ for id_ in page if (live := _live(tables, id_)) and not _covers(of.get(id_, []), str(live.text))}
    for id_ in sorted({*of, *uncovered}):
        live, rows = _live(tables, id_), sorted(of.get(id_, []), key=lambda row: row.ordinal)
        wrong = [(row, finding) for row in rows if (finding := _judge_passage(row, live, id_ in uncovered))]
        for row, finding in wrong:
            expected = None if live is None else {"version": live.version}
            name = f"{id_}#{row.ordinal}"
            yield _finding(finding, "passages", "passage", name, expected, {"version": row.version}, "memory", id_)
        if live is not None and id_ in uncovered and not wrong:
            there = {row.ordinal for row in rows}
            first = next(n for n in range(len(there) + 1) if n not in there)
            yield _finding("missing", "passages", "passage", f"{id_}#{first}", {"version": live.version}, None, "memory", id_)


def _judge_passage(row: Passage, live: Memory | None, uncovered: bool) -> str | None:
    if live is None:
        return "orphan"
    if row.version != live.version:
        return "stale"
    if row.namespace != live.namespace:
        return "wrong_namespace"
    return "edited" if uncovered and row.text not in str(live.text) else None


def _covers(rows: list[Passage], text: str) -> bool:
    joined = " ".join(row.text for row in sorted(rows, key=lambda row: row.ordinal))
    return bool(rows) and "".join(joined.split()) == "".join(text.split())


def _finding(
    kind: str, store: str, subject: str, id_: str, expected: Payload | None, actual: Payload | None, owner_kind: str, owner: str
) -> Payload:
    hint = {"owner_kind": owner_kind, "owner": owner}
    return {"kind": kind, "store": store, "subject": subject, "id": id_, "expected": expected, "actual": actual, "hint": hint}
