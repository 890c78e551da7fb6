"""Rounds of audits and their verdicts: where one is, what was touched since another. The twin of `audit_rounds.sql`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from memory_pipelines.domain.models import PROJECTIONS
from memory_pipelines.stores.memory.functions.base import Payload, as_uuid, cell, clock, iso, moment
from memory_pipelines.stores.memory.functions.sync import settled_marker
from memory_pipelines.stores.memory.tables import Tables

__all__ = [
    "memory_audit_begin_v1", "memory_audit_context_v1", "memory_audit_progress_v1", "memory_audit_touched_v1", "memory_save_verdict_v1",
    "memory_verdicts_v1",
]  # fmt: skip

_MARKERS_AROUND = 100
_AROUND = timedelta(seconds=60)
_MOST_OWNERS = 20_000
_LOOKS = 3  # verdicts of each mode
_NEWEST = 1000  # verdicts


def memory_audit_begin_v1(tables: Tables, p: Payload) -> Any:
    """Begin a round, or take up the one that was interrupted. Only a deep one keeps where it is."""
    marker, now = settled_marker(tables), iso(clock())
    if p["mode"] == "deep":
        old = tables.audit_rounds.get("deep")
        if p.get("resume") and old is not None and old["step"] is not None:
            return old | {"resumed": True, "base": None}
        fresh = {"mode": "deep", "round": tables.round_numbers.next(), "started_at": now, "at": now, "marker": marker}
        fresh |= {"step": None, "place": None, "tally": {}, "findings": []}
        return tables.audit_rounds.put("deep", fresh) | {"resumed": False, "base": None}
    base = None
    if p["mode"] == "incremental":
        finished = (row for row in _newest(tables) if row["marker"] is not None and row["marker"] <= marker)
        base = next(({name: row[name] for name in ("started_at", "marker", "findings")} for row in finished), None)
    return {
        "round": None, "resumed": False, "started_at": now, "marker": marker, "step": None, "place": None, "tally": {}, "findings": [],
        "base": base,
    }  # fmt: skip


def memory_audit_progress_v1(tables: Tables, p: Payload) -> Any:
    """Keep how far a deep round has come; nothing where another one has begun meanwhile."""
    for row in tables.audit_rounds:
        if row["round"] == p["round"]:
            fresh = {name: p.get(name) for name in ("step", "place", "tally")}
            tables.audit_rounds.put(row["mode"], row | fresh | {"at": iso(clock()), "findings": [*row["findings"], *p["findings"]]})
            return {"kept": True}
    return {"kept": False}


def memory_audit_touched_v1(tables: Tables, p: Payload) -> Any:
    """What was written to a projection, or is owed, since a round began, with a margin: buckets, and owners unless they are too many."""
    buckets: dict[str, set[int]] = {"memory": set(), "entity": set(), "relation": set()}
    owners: set[str] = set()
    since = moment(p["since"])
    for debt in tables.ledger:
        id_ = as_uuid(debt.id)
        written = debt.owed_number is not None or (debt.settled_marker or 0) > p["marker"] - _MARKERS_AROUND
        if debt.projection == "graph" and written and (place := _place(tables, debt.kind, id_)) is not None:
            buckets[debt.kind].add(cell(place)[0])
        late = debt.settled_at is not None and since is not None and debt.settled_at >= since - _AROUND
        if debt.projection == "embeddings" and late and id_ is not None:
            owners.add(id_)
    return {
        "buckets": {kind: sorted(found) for kind, found in buckets.items()},
        "owners": sorted(owners) if len(owners) <= _MOST_OWNERS else None,
    }


def _place(tables: Tables, kind: str, id_: str | None) -> str | None:
    """The id that says in which bucket a subject stands: a relation stands with its source."""
    if kind == "relation":
        relation = tables.relations.get(id_)
        return None if relation is None else relation.source
    return id_ if id_ in (tables.memories if kind == "memory" else tables.entities if kind == "entity" else ()) else None


class _Row(NamedTuple):
    """A row that a verdict names; of the ledger's rows a projection is part of the name."""

    store: str
    subject: str
    id: str
    projection: str


class _Named(NamedTuple):
    verdict: int
    mode: str
    kind: str
    row: _Row
    since: datetime | None


def memory_audit_context_v1(tables: Tables, p: Payload) -> Any:
    """The last write and settlement of the owners of rows that differ, and since when audits have seen them differ."""
    looks = _looks(tables)
    seen = _seen(looks, list(_named(looks)))
    answer = []
    for row in p["rows"]:
        named = _Row(row["store"], row["subject"], row["id"], row.get("projection") or "" if row["store"] == "ledger" else "")
        answer.append({
            "last_write": _last_write(tables, row.get("kind"), row.get("owner")),
            "last_settlement": _last_settlement(tables, row.get("projection"), row.get("kind"), row.get("owner")),
            "since": iso(seen.get(named) or clock()),
        })  # fmt: skip
    return answer


def _looks(tables: Tables) -> list[Payload]:
    """The newest verdicts of each mode: a row that was named keeps its time from verdict to verdict."""
    looks: dict[str, list[Payload]] = {}
    for row in _newest(tables)[:_NEWEST]:
        looks.setdefault(row["mode"], []).append(row)
    return [row for rows in looks.values() for row in rows[:_LOOKS]]


def _named(looks: list[Payload]) -> Iterator[_Named]:
    for look in looks:
        for found in look["findings"]:
            row = _Row(found["store"], found["subject"], found["id"], (found.get("hint") or {}).get("projection") or "")
            yield _Named(look["id"], look["mode"], found["kind"], row, moment(found.get("since")) or moment(look["at"]))


def _seen(looks: list[Payload], named: list[_Named]) -> dict[_Row, datetime]:
    """Since when each row differs. A later verdict that looked as closely, and did not name it, ends what an earlier one said."""
    said = {(one.verdict, one.row) for one in named}
    quickly = {(one.kind, one.row) for one in named if one.mode == "quick"}
    absent = {
        (one.verdict, one.row) for one in named for look in looks
        if look["id"] > one.verdict and look["more"] == 0 and look["mode"] in ("deep", "quick") and (look["id"], one.row) not in said
        and (look["mode"] == "deep" or one.mode != "deep" or (one.kind, one.row) in quickly)
    }  # fmt: skip
    seen: dict[_Row, datetime] = {}
    for one in named:
        if one.since is not None and (one.verdict, one.row) not in absent:
            seen[one.row] = min(one.since, seen.get(one.row, one.since))
    return seen


def _last_write(tables: Tables, kind: str | None, owner: str | None) -> Payload | None:
    if owner is None:
        return None
    if kind == "memory" and (memory := tables.memories.get(owner)) is not None:
        at = max(memory.updated_at, memory.deleted_at or memory.updated_at)
        return {"version": memory.version, "revision": memory.revision, "at": iso(at)}
    known: dict[str | None, Any] = {"entity": tables.entities, "relation": tables.relations}
    row = known[kind].get(owner) if kind in known else None
    return None if row is None else {"version": row.revision, "revision": row.revision, "at": iso(row.updated_at)}


def _last_settlement(tables: Tables, projection: str | None, kind: str | None, owner: str | None) -> Payload | None:
    if projection not in PROJECTIONS or kind is None or owner is None:
        return None
    debt = tables.ledger.get((projection, kind, owner))
    if debt is None or debt.settled_at is None:
        return None
    return {
        "projection": projection, "revision": debt.settled_revision, "version": debt.settled_version, "marker": debt.settled_marker,
        "at": iso(debt.settled_at),
    }  # fmt: skip


def memory_save_verdict_v1(tables: Tables, p: Payload) -> Any:
    """Keep a verdict, and end its round."""
    number, at = len(tables.verdicts) + 1, iso(tables.now)
    kept: Payload = {"id": number, "at": at}
    kept |= {name: p[name] for name in ("mode", "clean", "checked", "pending", "kinds", "findings", "seconds", "repaired")}
    kept |= {"started_at": iso(moment(p.get("started_at"))), "marker": p.get("marker"), "resumed": bool(p.get("resumed"))}
    kept |= {name: p.get(name) or 0 for name in ("more", "bytes", "paused_seconds")}
    tables.verdicts.put(number, kept)
    for row in tables.audit_rounds:
        if row["round"] == p.get("round"):
            tables.audit_rounds.drop(row["mode"])
    return {"id": number, "at": at}


def memory_verdicts_v1(tables: Tables, p: Payload) -> Any:
    """Stored verdicts, newest first, with what they named or without."""
    left_out = () if p.get("findings", True) is not False else ("findings",)
    return [{name: value for name, value in row.items() if name not in left_out} for row in _newest(tables)[: p["limit"]]]


def _newest(tables: Tables) -> list[Payload]:
    return sorted(tables.verdicts, key=lambda row: -row["id"])
