"""Leases with fencing numbers: one holder a name, for a while. Who drains a projection is one of them. The twin of `leases.sql`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from memory_pipelines.stores.memory.functions.base import Payload, clock, iso, refuse
from memory_pipelines.stores.memory.rows import Heartbeat
from memory_pipelines.stores.memory.tables import Tables


def grant(tables: Tables, name: str, holder: str, seconds: float) -> Heartbeat | None:
    """Grant a lease under a new number; None while another holder's is fresh.

    Args:
        seconds: until it runs out.
    """
    beat = tables.heartbeats.get(name)
    if beat is not None and beat.holder not in (None, holder) and beat.lease_until is not None and beat.lease_until >= clock():
        return None
    return tables.heartbeats.put(name, Heartbeat(holder, _until(seconds), tables.fences.next()))


def check_lease(tables: Tables, lease: Payload | None) -> None:
    """Refuse what is written under a lease that was granted anew since. No lease, no question.

    Raises:
        Conflict: `lease_lost`
    """
    if lease is None:
        return
    beat = tables.heartbeats.get(lease["name"])
    if beat is None or beat.fence != lease["fence"]:
        message = "This lease has run out and was granted to another holder: nothing was written."
        refuse(409, "lease_lost", message, name=lease["name"], fence=lease["fence"])


def memory_lease_acquire_v1(tables: Tables, p: Payload) -> Any:
    """Grant a lease."""
    granted = grant(tables, p["name"], p["holder"], p["lease_seconds"])
    if granted is None:
        other = tables.heartbeats[p["name"]]
        message = "Another holder has this lease: it ends by itself, at the latest at the time given."
        refuse(409, "lease_held", message, name=p["name"], holder=other.holder, until=iso(other.lease_until))
    return {"fence": granted.fence, "lease_until": iso(granted.lease_until)}


def memory_lease_renew_v1(tables: Tables, p: Payload) -> Any:
    """Renew a lease that nobody else was granted since, also one that has run out."""
    mine = _held(tables, p)
    if mine is None:
        message = "This lease was given back, or has run out and was granted to another holder."
        refuse(409, "lease_lost", message, name=p["name"], fence=p["fence"])
    renewed = tables.heartbeats.put(p["name"], Heartbeat(mine.holder, _until(p["lease_seconds"]), mine.fence))
    return {"fence": renewed.fence, "lease_until": iso(renewed.lease_until)}


def memory_lease_release_v1(tables: Tables, p: Payload) -> Any:
    """Give a lease back; of one that is another's by now, nothing. Whether it was ours."""
    mine = _held(tables, p)
    if mine is not None:
        tables.heartbeats.put(p["name"], Heartbeat(None, None, mine.fence))
    return mine is not None


def _held(tables: Tables, p: Payload) -> Heartbeat | None:
    beat = tables.heartbeats.get(p["name"])
    return beat if beat is not None and beat.holder is not None and beat.fence == p["fence"] else None


def _until(seconds: float) -> datetime:
    return clock() + timedelta(seconds=seconds)
