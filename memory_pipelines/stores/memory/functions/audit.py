"""What the stores must show, said by the record: sums, expected rows, late debts, verdicts. Of embeddings: `audit_embeddings.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from memory_pipelines.stores.memory.functions.alias_names import shown_mentions
from memory_pipelines.stores.memory.functions.audit_embeddings import memory_audit_embeddings_v1
from memory_pipelines.stores.memory.functions.base import Payload, as_uuid, cell, clock, iso, seconds_since
from memory_pipelines.stores.memory.functions.states import digest, graph_props
from memory_pipelines.stores.memory.rows import Debt, Entity, Link, Memory, Relation
from memory_pipelines.stores.memory.tables import Tables

__all__ = [
    "memory_audit_embeddings_v1", "memory_audit_expected_v1", "memory_audit_ledger_v1", "memory_audit_sums_v1", "memory_save_verdict_v1",
    "memory_verdicts_v1",
]  # fmt: skip

_MOST = 1000  # findings of the ledger at once
_LEDGERED = {"memory": ("graph", "embeddings", "entities"), "entity": ("graph", "embeddings"), "relation": ("graph",)}


def memory_audit_sums_v1(tables: Tables, p: Payload) -> Any:
    """Sums per bucket, or per leaf of some buckets, of what must be live in the graph."""
    wanted = None if p.get("buckets") is None else set(p["buckets"])
    sums: dict[tuple[int, ...], Counter[str]] = {}
    for place, row in _live(tables, p["kind"]):
        bucket, leaf = cell(place)
        if wanted is not None and bucket not in wanted:
            continue
        high, low = digest(row)
        sums.setdefault((bucket,) if wanted is None else (bucket, leaf), Counter()).update(n=1, high=high, low=low)
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
        return {"owed_seconds": 0, "settled_at": None}
    on_its_way = debt.owed_number is not None and debt.parked_at is None
    return {"owed_seconds": seconds_since(debt.owed_since) if on_its_way else None, "settled_at": iso(debt.settled_at)}


def memory_audit_ledger_v1(tables: Tables, p: Payload) -> Any:
    """Debts too old, and subjects the ledger does not know."""
    since = clock() - timedelta(seconds=p["budget_seconds"])
    owed = [debt for debt in tables.ledger if debt.owed_number is not None and debt.owed_since is not None]
    late = [debt for debt in owed if debt.parked_at is not None or (debt.owed_since or since) < since]
    findings = [
        _finding(_late(debt), debt.projection, debt.kind, debt.id) | {
            "expected": {"projection": debt.projection, "owed": False},
            "actual": {
                "projection": debt.projection, "owed_since": iso(debt.owed_since), "attempts": debt.attempts, "error": debt.last_error,
            },
        }
        for debt in sorted(late, key=lambda debt: debt.owed_number or 0)[:_MOST]
    ]  # fmt: skip
    subjects = {"memory": tables.memories.ids(), "entity": tables.entities.ids(), "relation": tables.relations.ids()}
    unknown = [
        (projection, kind, id_)
        for kind, ids in subjects.items() for id_ in ids for projection in _LEDGERED[kind] if (projection, kind, id_) not in tables.ledger
    ]  # fmt: skip
    findings += [_finding("unledgered", *key) | {"expected": {"projection": key[0]}, "actual": None} for key in unknown[:_MOST]]
    return {"pending": len(owed) - len(late), "findings": findings}


def _late(debt: Debt) -> str:
    if debt.parked_at is None:
        return "owed_too_long"
    return "parked" if debt.dropped_at is None else "given_up"


def _finding(finding: str, projection: str, kind: str, id_: str) -> Payload:
    return {"kind": finding, "store": "ledger", "subject": kind, "id": id_, "hint": {"projection": projection}}


def memory_save_verdict_v1(tables: Tables, p: Payload) -> Any:
    """Keep a verdict."""
    fields = ("mode", "clean", "checked", "pending", "kinds", "findings", "seconds", "repaired")
    number = len(tables.verdicts) + 1
    tables.verdicts.put(number, {"id": number, "at": iso(tables.now)} | {name: p[name] for name in fields})
    return {"id": number}


def memory_verdicts_v1(tables: Tables, p: Payload) -> Any:
    """Stored verdicts, newest first."""
    return list(reversed(list(tables.verdicts)))[: p["limit"]]
