"""Nightly work: expired memories become ordinary deletes, vectors move into their index, tombstones leave the graph."""

from __future__ import annotations

from collections.abc import Callable

from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Lease
from memory_pipelines.services import events, leases
from memory_pipelines.services.platform import Platform

_PAGE = 500


def maintain(platform: Platform, on_progress: Callable[[int, int], None] | None = None) -> dict[str, int]:
    """Do all of it, page by page; safe at any time and to repeat. One process at a time: another waits, as long as for a dead one's lease.

    Args:
        on_progress: called with (rows done, 0) after each page.

    Returns:
        Rows done per task: `expired`, `folded`, `purged`.

    Raises:
        Conflict: `lease_held` when another process is at it, `lease_lost` when one took over because this one slept.
    """
    with leases.hold(platform, leases.MAINTENANCE, wait_seconds=1.5 * platform.settings.lease_seconds) as lease:
        return _maintain(platform, lease, on_progress)


def _maintain(platform: Platform, lease: Lease, on_progress: Callable[[int, int], None] | None) -> dict[str, int]:
    done = {"expired": 0, "folded": 0, "purged": 0}
    for task, name in (("expire", "expired"), ("fold", "folded")):
        while True:
            page = platform.record.maintain(task, limit=_PAGE, lease=lease)
            done[name] += page["done"]
            if page.get("touched"):
                events.publish(platform, page["touched"])
            if on_progress is not None:
                on_progress(sum(done.values()), 0)
            if page["done"] < _PAGE:
                break
    done["purged"] = _purge(platform, lease)
    return done


def _purge(platform: Platform, lease: Lease) -> int:
    """List, fence, delete: a worker that claims behind the fence has read the record when these were tombstones already,
    and one that claimed before it writes nothing any more. So nothing can come back."""
    purged = 0
    for kind in ("relation", "memory", "entity"):
        while found := platform.graph.tombstones(kind, limit=_PAGE):
            reach("maintain.listed")
            platform.graph.raise_fence(int(platform.record.maintain("claim", limit=1, lease=lease)["done"]))
            reach("maintain.fenced")
            platform.graph.purge(kind, found)
            reach("maintain.purged")
            purged += len(found)
    return purged
