"""What failed for a reason of its own and is parked: rows of the ledger, entries of the stream. The twin of `dead_letters.sql`."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

from memory_pipelines.stores.memory.functions.base import Payload, as_uuid, clock, iso
from memory_pipelines.stores.memory.rows import DeadEvent, Debt
from memory_pipelines.stores.memory.tables import Tables

_ERROR_CHARS = 2000
_CODE_CHARS = 100
_LONGEST_PAUSE_SECONDS = 300


def memory_fail_v1(tables: Tables, p: Payload) -> Any:
    """Charge failures to rows. A row is parked when its error is final or it has failed often enough; it blocks nobody."""
    failed = parked = 0
    for row in p["rows"]:
        debt = tables.ledger.get((p["projection"], row["kind"], row["id"]))
        if debt is None or debt.owed_number is None or debt.owed_number != row["number"]:
            continue
        park = bool(row.get("final")) or debt.attempts + 1 >= p["max_attempts"]
        # Jitter: rows that failed together are not all tried again at one moment.
        pause = timedelta(seconds=min(2 ** min(debt.attempts, 10), _LONGEST_PAUSE_SECONDS) * random.uniform(0.75, 1.25))
        code, now = row.get("code"), clock()
        tables.ledger.put(debt.key, replace(
            debt, attempts=debt.attempts + 1, last_error=row["error"][:_ERROR_CHARS], error_code=code and code[:_CODE_CHARS],
            first_failed_at=now if debt.attempts == 0 else debt.first_failed_at or now, last_failed_at=now, dropped_at=None,
            tokens_spent=(debt.tokens_spent if debt.attempts else 0) + (row.get("tokens") or 0),
            failed_seen=row.get("revision" if debt.projection == "graph" else "version"),
            retry_at=now + pause, parked_at=now if park else None,
        ))  # fmt: skip
        failed, parked = failed + 1, parked + park
    return {"failed": failed, "parked": parked}


def memory_dead_letters_v1(tables: Tables, p: Payload) -> Any:
    """Parked rows, the longest owed first."""
    after = p.get("after") or 0
    wanted = None if "letters" not in p else _named(p)
    page = [
        debt for debt in _parked(tables)
        if (debt.owed_number or 0) > after and p.get("projection") in (None, debt.projection) and p.get("id") in (None, debt.id)
        and (wanted is None or debt.key in wanted)
    ][: p["limit"]]  # fmt: skip
    return {"letters": [_letter(tables, debt) for debt in page], "next": page[-1].owed_number if page and len(page) == p["limit"] else None}


def _parked(tables: Tables) -> list[Debt]:
    owed = (debt for debt in tables.ledger if debt.parked_at is not None and debt.owed_number is not None)
    return sorted(owed, key=lambda debt: debt.owed_number or 0)


def _named(p: Payload) -> set[tuple[str, str, str]]:
    return {(projection, kind, id_) for projection, kind, id_ in p["letters"]}


def _letter(tables: Tables, debt: Debt) -> Payload:
    known: dict[str, Any] = {"memory": tables.memories, "entity": tables.entities, "relation": tables.relations}
    row = known[debt.kind].get(as_uuid(debt.id)) if debt.kind in known else None
    return {
        "projection": debt.projection, "kind": debt.kind, "id": debt.id, "namespace": None if row is None else row.namespace,
        "code": debt.error_code or "failed", "reason": debt.last_error, "attempts": debt.attempts, "tokens_spent": debt.tokens_spent,
        "first_failed_at": iso(debt.first_failed_at or debt.parked_at), "last_failed_at": iso(debt.last_failed_at or debt.parked_at),
        "owed_since": iso(debt.owed_since), "parked_at": iso(debt.parked_at), "dropped_at": iso(debt.dropped_at),
    }  # fmt: skip


def memory_retry_dead_v1(tables: Tables, p: Payload) -> Any:
    """Release parked rows: those named, dropped ones included; or a page of all that nobody dropped."""
    named = None if "letters" not in p else _named(p)
    chosen = [
        debt for debt in _parked(tables)
        if (debt.dropped_at is None and p.get("projection") in (None, debt.projection) if named is None else debt.key in named)
    ][: p.get("limit")]  # fmt: skip
    for debt in chosen:
        accepts = bool(p.get("accept_empty")) and debt.projection == "entities"
        hint = (debt.hint or {}) | {"accept_empty": True} if accepts else debt.hint
        fresh = replace(debt, attempts=0, retry_at=None, last_error=None, parked_at=None, dropped_at=None, hint=hint)
        tables.ledger.put(debt.key, fresh)
    return {"retried": len(chosen), "touched": [list(ref) for ref in sorted({(debt.kind, debt.id) for debt in chosen})]}


def memory_drop_dead_v1(tables: Tables, p: Payload) -> Any:
    """Give up parked debts knowingly. They stay parked and named by audits."""
    dropped = [debt for debt in map(tables.ledger.get, _named(p)) if debt is not None and debt.parked_at is not None]
    for debt in dropped:
        tables.ledger.put(debt.key, replace(debt, dropped_at=debt.dropped_at or clock()))
    return {"dropped": len(dropped)}


def memory_park_events_v1(tables: Tables, p: Payload) -> Any:
    """Park entries of the stream that could not be read; an entry that comes again is parked once."""
    parked = 0
    for event in p["events"]:
        if tables.dead_events.having("once", (p["projection"], event["entry"], event["payload"])):
            continue
        id_ = tables.dead_event_ids.next()
        row = DeadEvent(id_, p["projection"], event["entry"], event["payload"], event["problem"][:_ERROR_CHARS], tables.now)
        tables.dead_events.put(id_, row)
        parked += 1
    return {"parked": parked}


def memory_dead_events_v1(tables: Tables, p: Payload) -> Any:
    """Parked entries of the stream, oldest first."""
    after, ids = p.get("after") or 0, None if "ids" not in p else set(p["ids"])
    page = [
        row for row in _by_id(tables.dead_events)
        if row.id > after and p.get("projection") in (None, row.projection) and (ids is None or row.id in ids)
    ][: p["limit"]]  # fmt: skip
    events = [asdict(row) | {"at": iso(row.at)} for row in page]
    return {"events": events, "next": page[-1].id if page and len(page) == p["limit"] else None}


def _by_id(rows: Iterable[DeadEvent]) -> list[DeadEvent]:
    return sorted(rows, key=lambda row: row.id)


def memory_drop_events_v1(tables: Tables, p: Payload) -> Any:
    """Delete parked entries: nothing hangs on them."""
    known = [id_ for id_ in set(p["ids"]) if id_ in tables.dead_events]
    for id_ in known:
        tables.dead_events.drop(id_)
    return {"dropped": len(known)}
