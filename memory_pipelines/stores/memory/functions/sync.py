"""The ledger's protocol: begin, claim, settle, owe again. Failures are charged in `dead_letters.py`; what a claim shows of its subjects
is in `states.py`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from memory_pipelines.stores.memory.functions import leases
from memory_pipelines.stores.memory.functions.base import Payload, clock, refuse, seconds_since, settled, strings, uuid
from memory_pipelines.stores.memory.functions.states import present_state
from memory_pipelines.stores.memory.rows import Debt
from memory_pipelines.stores.memory.tables import Tables

_MARKERS_KEPT = 10_000


def memory_begin_drain_v1(tables: Tables, p: Payload) -> Any:
    """Take the projection for a drain unless another one's heartbeat is fresh: its fencing number, or 0."""
    granted = leases.grant(tables, p["projection"], p["holder"], p["lease_seconds"])
    return 0 if granted is None else granted.fence


def memory_end_drain_v1(tables: Tables, p: Payload) -> Any:
    """Give the projection back."""
    beat = tables.heartbeats.get(p["projection"])
    if beat is not None and beat.holder == p["holder"]:
        tables.heartbeats.put(p["projection"], replace(beat, holder=None, lease_until=None))
    return True


def memory_claim_v1(tables: Tables, p: Payload) -> Any:
    """Claim a batch: number it, note each row's owed number, read the rows' present state. Renews the holder's heartbeat."""
    projection, limit = p["projection"], p["limit"]
    beat = tables.heartbeats.get(projection)
    if p.get("holder") is not None and beat is not None and beat.holder == p["holder"]:
        tables.heartbeats.put(projection, replace(beat, lease_until=clock() + timedelta(seconds=p["lease_seconds"])))
    noted: dict[tuple[str, str, str], Debt] = {}
    kinds: dict[str, list[str]] = {}
    for kind, id_ in p["refs"] or ():
        kinds.setdefault(kind, []).append(id_)
    for kind, ids in kinds.items():
        asked = (tables.ledger.get((projection, kind, id_)) for id_ in set(ids))
        noted |= _oldest(tables, (debt for debt in asked if debt is not None), limit)
    if p.get("owed_for_seconds") is not None and len(noted) < limit:
        since, after = clock() - timedelta(seconds=p["owed_for_seconds"]), p.get("after") or 0
        owed = (debt for debt in tables.ledger.having("owed", projection) if (debt.owed_number or 0) > after)
        noted |= _oldest(tables, (debt for debt in owed if debt.owed_since is not None and debt.owed_since <= since), limit)
    chosen = list(_oldest(tables, noted.values(), limit).values())
    if not chosen:
        return {"claim": 0, "issued": 0, "settled_marker": 0, "rows": []}
    number = tables.claims.next()
    rows = [
        {"kind": debt.kind, "id": debt.id, "number": debt.owed_number, "attempts": debt.attempts, "forced": debt.forced, "hint": debt.hint,
         "state": present_state(tables, debt)}
        for debt in chosen
    ]  # fmt: skip
    return {"claim": number, "issued": tables.claims.last, "settled_marker": settled_marker(tables), "rows": rows}


def _oldest(tables: Tables, debts: Iterable[Debt], limit: int) -> dict[tuple[str, str, str], Debt]:
    """Those that are ready to be paid, oldest debts first."""
    ready = (debt for debt in debts if debt.owed_number is not None and is_ready(tables, debt))
    return {debt.key: debt for debt in sorted(ready, key=lambda debt: debt.owed_number or 0)[:limit]}


def is_ready(tables: Tables, debt: Debt) -> bool:
    """Whether a debt is neither parked nor in the pause after a failure."""
    return debt.parked_at is None and (debt.retry_at is None or debt.retry_at <= tables.now)


def settled_marker(tables: Tables) -> int:
    """The highest graph marker that a settlement stored."""
    return tables.graph_state.get("settled_marker") or 0


def memory_settle_graph_v1(tables: Tables, p: Payload) -> Any:
    """Settle graph rows that the graph now has, each only if its owed number is still the one that was noted."""
    claim: int = p["claim"]
    if (tables.graph_state.get("void_claim") or 0) >= claim:
        return {"settled": 0, "lost": 0}
    for marker in p["markers"]:
        if marker not in tables.graph_batches:
            tables.graph_batches.put(marker, claim)
    twice = [marker for marker in p["markers"] if tables.graph_batches[marker] != claim]
    if twice:
        return {"settled": 0, "lost": _owe_settled_above(tables, min(twice) - 1)}
    paid: list[int | None] = []
    for row in p["rows"]:
        debt = tables.ledger.get(("graph", row["kind"], row["id"]))
        if debt is not None and debt.owed_number is not None and debt.owed_number == row["number"]:
            marker = row.get("marker")
            tables.ledger.put(debt.key, settled(debt, revision=row["revision"], version=row["version"], settled_marker=marker))
            paid.append(marker)
    highest = max((marker for marker in paid if marker is not None), default=None)
    if highest is not None:
        tables.graph_state.put("settled_marker", max(settled_marker(tables), highest))
        for marker in [marker for marker in tables.graph_batches.ids() if marker < highest - _MARKERS_KEPT]:
            tables.graph_batches.drop(marker)
    return {"settled": len(paid), "lost": 0}


def _owe_settled_above(tables: Tables, marker: int, limit: int | None = None) -> int:
    """Owe again what was settled above a marker, the newest first, and void every claim so far. Returns how many rows."""
    tables.graph_state.put("void_claim", tables.claims.last)
    above = [debt for debt in tables.ledger.having("marked", "graph") if (debt.settled_marker or 0) > marker]
    lost = sorted(above, key=lambda debt: -(debt.settled_marker or 0))[:limit]
    for debt in lost:
        number = debt.owed_number if debt.owed_number is not None else tables.owings.next()
        tables.ledger.put(debt.key, replace(
            debt, owed_number=number, owed_since=debt.owed_since or clock(), settled_marker=None, attempts=0, retry_at=None, parked_at=None,
        ))  # fmt: skip
    return len(lost)


def memory_owe_lost_v1(tables: Tables, p: Payload) -> Any:
    """Owe again what was settled above a marker that the graph was seen at, a page at a time."""
    highest = settled_marker(tables)
    return {"owed": _owe_settled_above(tables, p["marker"], p["limit"]), "settled_marker": highest}


def memory_owe_v1(tables: Tables, p: Payload) -> Any:
    """Owe rows again, for a repair."""
    chosen: dict[tuple[str, str, str], Payload] = {}
    for row in p["rows"]:  # of a subject that is there twice, the one with the highest revision seen
        key = (row["projection"], row["kind"], row["id"])
        if key not in chosen or _seen(row) > _seen(chosen[key]):
            chosen[key] = row
    for key, row in sorted(chosen.items()):
        old = tables.ledger.get(key) or Debt(*key)
        hint = row.get("hint")
        tables.ledger.put(key, replace(
            old, owed_number=tables.owings.next(), owed_since=old.owed_since or clock(), forced=row.get("forced"),
            hint=old.hint if hint is None else hint, attempts=0, retry_at=None, last_error=None, parked_at=None,
        ))  # fmt: skip
    return {"owed": len(chosen)}


def _seen(row: Payload) -> int:
    return -1 if row.get("forced") is None else int(row["forced"])


def memory_owe_shard_v1(tables: Tables, p: Payload) -> Any:
    """Owe a page of one shard of a projection's subjects again, to rebuild it. What a repair saw stays."""
    after = tuple(p.get("after") or ("", ""))
    mine = [
        debt for debt in tables.ledger
        if debt.projection == p["projection"] and (debt.kind, debt.id) > after and _shard(debt.id, p["shards"]) == p["shard"]
    ]  # fmt: skip
    page = sorted(mine, key=lambda debt: debt.key)[: p["limit"]]
    for debt in page:
        number, since = tables.owings.next(), debt.owed_since or clock()
        tables.ledger.put(debt.key, replace(debt, owed_number=number, owed_since=since, attempts=0, retry_at=None, parked_at=None))
    return {"owed": len(page), "next": [page[-1].kind, page[-1].id] if page else None}


def _shard(id_: str, shards: int) -> int:
    return int.from_bytes(hashlib.sha256(id_.encode()).digest()[4:8], "big") % shards


def memory_owed_links_v1(tables: Tables, p: Payload) -> Any:
    """What some memories mention and state that the graph does not show yet, whoever owes it."""
    ids = [uuid(i) for i in strings(p["ids"])]
    links = {("entity", link.shows) for id_ in ids for link in tables.mentions.having("memory", id_)}
    links |= {("relation", link.shows) for id_ in ids for link in tables.statements.having("memory", id_)}
    debts = (tables.ledger.get(("graph", kind, subject)) for kind, subject in sorted(links))
    return [[debt.kind, debt.id] for debt in debts if debt is not None and debt.owed_number is not None]


def memory_sync_state_v1(tables: Tables, p: Payload) -> Any:
    """Which version each projection holds of one memory."""
    id_ = uuid(p["id"])
    row = tables.memories.get(id_)
    if row is None:
        refuse(404, "memory_unknown", "There is no memory with this id.", id=id_)
    debts = [tables.ledger.get((projection, "memory", id_)) for projection in ("entities", "embeddings", "graph")]
    projections = {
        debt.projection: {
            "owed": debt.owed_number is not None, "settled_version": debt.settled_version, "settled_revision": debt.settled_revision,
            "owed_seconds": seconds_since(debt.owed_since), "parked": None if debt.parked_at is None else debt.last_error,
        }
        for debt in debts if debt is not None
    }  # fmt: skip
    return {
        "id": row.id, "version": row.version, "revision": row.revision, "forgotten": row.deleted_at is not None, "projections": projections
    }  # fmt: skip
