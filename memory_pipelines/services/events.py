"""Events of the stream: publishing what changed, after the commit; keeping what cannot be read.

Must stay out: anything that a lost event could lose; that is the ledger's.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Ref
from memory_pipelines.ports import StreamEntry
from memory_pipelines.services.platform import Platform

_PER_EVENT = 1000  # subjects


def publish(platform: Platform, refs: Sequence[Ref]) -> bool:
    """Say which subjects changed. False when Redis did not take it, or could not even be opened: they are owed all the same."""
    try:
        stream = platform.stream
    except Unavailable:
        return False
    reach("publish.begun")
    told = True
    for start in range(0, len(refs), _PER_EVENT):
        told &= stream.publish(refs[start : start + _PER_EVENT])
        reach("publish.sent")
    return told


def park(platform: Platform, projection: str, entries: Sequence[StreamEntry]) -> int:
    """Keep the entries that could not be read, with what they held, in the record; returns how many were new.

    Whoever read them acknowledges them only after this has returned. They stop nobody: what they may have named is owed in the ledger.

    Raises:
        Unavailable: the record did not take them; they are not to be acknowledged.
    """
    unread = [{"entry": entry.id, "payload": entry.payload, "problem": entry.problem} for entry in entries if entry.problem is not None]
    if not unread:
        return 0
    parked = platform.record.park_events(projection, unread)
    reach("events.parked")
    return parked
