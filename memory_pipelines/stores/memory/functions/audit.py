"""What the stores must show, said by the record: sums, expected rows, late debts, what the ledger covers.

Of embeddings: `audit_embeddings.py`; rounds and verdicts: `audit_rounds.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from memory_pipelines.domain.models import PROJECTIONS
from memory_pipelines.stores.memory.functions.alias_names import shown_mentions
from memory_pipelines.stores.memory.functions.audit_embeddings import memory_audit_embeddings_v1
from memory_pipelines.stores.memory.functions.base import Payload, as_uuid, cell, clock, iso, seconds_since
from memory_pipelines.stores.memory.functions.states import digest, graph_props
from memory_pipelines.stores.memory.rows import Debt, Entity, Link, Memory, Relation
from memory_pipelines.stores.memory.tables import Tables

__all__ = [
    "memory_audit_coverage_v1", "memory_audit_embeddings_v1", "memory_audit_expected_v1", "memory_audit_ledger_v1", "memory_audit_sums_v1",
]  # fmt: skip

_MOST = 1000  # findings of the ledger at once
_LEDGERED = {"memory": ("graph", "embeddings", "entities"), "entity": ("graph", "embeddings"), "relation": ("graph",)}


def memory_audit_sums_v1(tables: Tables, p: Payload) -> Any:
    """Sums per bucket, or per leaf of some buckets, of what must be live in the graph."""
    leaves = p.get("buckets") is not None and p.get("leaves", True)
    wanted = None if p.get("buckets") is None else set(p["buckets"])
    sums: dict[tuple[int, ...], Counter[str]] = {}
    for place, row in _live(tables, p["kind"]):
        bucket, leaf = cell(place)
        if wanted is not None and bucket not in wanted:
            continue
        high, low = digest(row)
        sums.setdefault((bucket, leaf) if leaves else (bucket,), Counter()).update(n=1, high=high, low=low)
    return [[*key, total["n"], total["high"], total["low"]] for key, total in sums.items()]


def _live(tables: Tables, kind: str) -> Iterator[tuple[str, Memory | Entity | Relation | Link]]:
    """Live rows of a kind, each with the id that places it: a mention stands with its memory, a relation with its source."""
    match kind:
        case "memory":
            yield from ((row.id, row) for row in tables.memories if row.deleted_at is None)
        case "entity":
            yield from ((entity.id, entity) for entity in tables.entities if entity.deleted_at is None)
        case "relation":
            yield from ((relation.source, relation) for relation in tables.relations if relation.deleted_at is None)
        case "mention":
            live = (row.id for row in tables.memories if row.deleted_at is None)
            yield from ((id_, link) for id_ in live for link in shown_mentions(tables, id_))


def memory_audit_expected_v1(tables: Tables, p: Payload) -> Any:
    """Rows as the graph must show them, with what the ledger says. Chosen by ids, by cells, or by a range of buckets."""
    kind = p["kind"]
    if "ids" in p:
        return [row for id_ in dict.fromkeys(p["ids"]) for row in _by_id(tables, kind, id_)]
    cells = {tuple(c) for c in p.get("cells") or ()}
    chosen = []
    for place, row in _live(tables, kind):
        at = cell(place)
        if at in cells if "cells" in p else p["buckets"][0] <= at[0] < p["buckets"][1]:
            chosen.append(_mention(tables, row.memory, row.shows) if isinstance(row, Link) else _node(tables, kind, row))
    return chosen


def _by_id(tables: Tables, kind: str, wanted: str) -> Iterator[Payload]:
    """What an id names; also what is gone: what is owed says whether that is news."""
    name, _, other = wanted.partition(":")
    id_ = as_uuid(name)
    if kind == "mention":
        if id_ in tables.memories:
            yield _mention(tables, str(id_), other) | {"id": wanted}
        return
    row = {"memory": tables.memories, "entity": tables.entities, "relation": tables.relations}[kind].get(id_)  # type: ignore[attr-defined]
    if row is not None:
        yield _node(tables, kind, row)


def _node(tables: Tables, kind: str, row: Memory | Entity | Relation) -> Payload:
    ends = (row.source, row.target) if isinstance(row, Relation) else (None, None)
    shown = {"id": row.id, "revision": row.revision, "deleted": row.deleted_at is not None, "props": graph_props(row)}
    return shown | {"source": ends[0], "target": ends[1]} | _owed(tables.ledger.get(("graph", kind, row.id)))


def _mention(tables: Tables, memory: str, entity: str) -> Payload:
    """A mention, by whose ends it is known; its memory owes it."""
    row, link = tables.memories[memory], next((link for link in shown_mentions(tables, memory) if link.shows == entity), None)
    live = row.deleted_at is None and link is not None
    high, low = digest(link) if link is not None else (None, None)
    props = None if row.deleted_at is not None else {"dh": high, "dl": low}
    shown = {"id": f"{memory}:{entity}", "revision": row.revision, "deleted": not live, "props": props, "source": memory, "target": entity}
    return shown | _owed(tables.ledger.get(("graph", "memory", memory)))


def _owed(debt: Debt | None) -> Payload:
    """Since when a row is owed. What is parked is not on its way; what the ledger does not know counts as owed just now."""
    if debt is None:
        return {"owed_seconds": 0, "settled_revision": None}
    on_its_way = debt.owed_number is not None and debt.parked_at is None
    return {
        "owed_seconds": seconds_since(debt.owed_since) if on_its_way else None,
        "settled_revision": debt.settled_revision if debt.owed_number is None else None,
    }


def memory_audit_ledger_v1(tables: Tables, p: Payload) -> Any:
    """Debts too old, and rows that were set aside: the oldest, and a count of the rest."""
    since = clock() - timedelta(seconds=p["budget_seconds"])
    owed = [debt for debt in tables.ledger if debt.owed_number is not None and debt.owed_since is not None]
    late = [debt for debt in owed if debt.parked_at is not None or (debt.owed_since or since) < since]
    late.sort(key=lambda debt: debt.owed_number or 0)
    findings = [
        _finding(_late(debt), debt.projection, debt.kind, debt.id) | {
            "expected": {"projection": debt.projection, "owed": False},
            "actual": {
                "projection": debt.projection, "owed_since": iso(debt.owed_since), "attempts": debt.attempts, "error": debt.last_error,
            },
        }
        for debt in late[:_MOST]
    ]  # fmt: skip
    return {"pending": len(owed) - len(late), "more": Counter(map(_late, late[_MOST:])), "findings": findings}


def _late(debt: Debt) -> str:
    if debt.parked_at is None:
        return "owed_too_long"
    return "parked" if debt.dropped_at is None else "given_up"


def _finding(finding: str, projection: str, kind: str, id_: str) -> Payload:
    return {"kind": finding, "store": "ledger", "subject": kind, "id": id_, "hint": {"projection": projection}}


def memory_audit_coverage_v1(tables: Tables, p: Payload) -> Any:
    """One page of one kind, both ways: subjects that the ledger does not know, and ledger rows that claim to have shown one that the record
    does not know. What was settled at version 0 claims nothing."""
    kind, after = p["kind"], p.get("after") or ""
    known: dict[str, Any] = {"memory": tables.memories, "entity": tables.entities, "relation": tables.relations}
    subjects: list[str] = sorted(id_ for id_ in known[kind].ids() if id_ > after)[: p["limit"]]
    high = subjects[-1] if subjects and len(subjects) == p["limit"] else None
    wanted = {(projection, id_) for id_ in subjects for projection in _LEDGERED[kind]}
    held = {
        (debt.projection, debt.id): debt for debt in tables.ledger
        if debt.projection in PROJECTIONS and debt.kind == kind and debt.id > after and (high is None or debt.id <= high)
    }  # fmt: skip
    findings = [
        _finding("unledgered", projection, kind, id_) | {"expected": {"projection": projection}, "actual": None}
        for projection, id_ in sorted(wanted - held.keys())
    ]
    for projection, id_ in sorted(held.keys() - wanted):
        debt = held[projection, id_]
        if debt.owed_number is None and (debt.settled_version or 0) > 0:
            said = {"projection": projection, "version": debt.settled_version, "revision": debt.settled_revision}
            findings.append(_finding("without_subject", projection, kind, id_) | {"expected": None, "actual": said})
    return {"findings": findings, "next": high}
