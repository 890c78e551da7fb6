"""Publishing what changed, after the commit. Must stay out: anything that a lost event could lose; that is the ledger's."""

from __future__ import annotations

from collections.abc import Sequence

from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Ref
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
