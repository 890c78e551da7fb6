"""Named points at which a process kills or freezes itself, for fault tests and benches. Nobody else sets `MEMORY_FAILPOINT`.

    MEMORY_FAILPOINT=graph.applied           SIGKILL when that point is reached for the first time
    MEMORY_FAILPOINT=graph.applied:3         … for the third time
    MEMORY_FAILPOINT=graph.applied:3:freeze  SIGSTOP instead: it stands still, heartbeats and all, until somebody sends SIGCONT

A killed process runs no `finally`, flushes nothing and gives nothing back: what it leaves behind is what a crash leaves. The
variable is read once, when this module is imported; a process that was forked later calls `arm`. Unarmed, reaching a point costs one
comparison. To add one: a line `reach("subject.done")` behind what was done, and its name in `POINTS`. Must stay out: any other fault.
"""

from __future__ import annotations

import os
import signal
from typing import Literal

POINTS = frozenset({
    # save, update, forget
    "save.begun",  # valid, and nothing written
    "save.committed",  # in the record, not yet published
    "save.published",  # published, and its caller has not heard
    "update.committed",
    "update.published",
    "forget.committed",
    "forget.published",
    # publish
    "publish.begun",  # committed somewhere, no event sent
    "publish.sent",  # one event is in the stream; more may follow
    # read, claim
    "sync.begun",  # the lease is ours, nothing is read
    "sync.read",  # entries are ours, nothing is claimed
    "sync.claimed",  # rows are claimed, nothing is computed
    "sync.computed",  # … computed, nothing is stored
    # apply, settle
    "entities.stored",  # stored and settled in one transaction; nothing is published or acknowledged
    "entities.published",  # … published, not acknowledged
    "embeddings.stored",
    "graph.applying",  # nothing of the batch is in the graph
    "graph.written",  # one statement is in the graph; more may follow
    "graph.applied",  # the graph has the batch, nothing is settled
    "graph.settled",  # settled, nothing is acknowledged
    "merge.leased",  # nothing is merged, the lease is held
    "merge.committed",  # in the record, not yet published, the lease is held
    "unmerge.committed",
    "graph.lost_owed",  # after a rollback: what was lost is owed again, the counter is still below
    "graph.raised",  # … and the counter is back where it was
    "graph.dropping",  # a first page of the graph is deleted, the marker still forbids every batch
    # acknowledge
    "sync.settled",  # a round is settled, its entries are not acknowledged
    "sync.acknowledged",
    "sync.ended",  # nothing is left to do, the lease is still ours
    "dead.parked",  # failures are charged, some rows parked; nothing is acknowledged
    "events.parked",  # entries that could not be read are parked, and not acknowledged
    # maintenance
    "maintain.listed",  # tombstones are listed, no fence is raised
    "maintain.fenced",  # … the fence is raised, nothing is purged
    "maintain.purged",
    # audit, repair
    "audit.summed",  # candidates are known, none is confirmed
    "audit.page",  # a page of a deep audit is looked at, and where to go on is kept
    "audit.looked",  # everything was looked at, no verdict is stored
    "audit.kept",
    "repair.planned",  # the plan is made, nothing is written
    "repair.adopted",  # outside edits are in the record and owed, nothing else of the plan is
    "repair.owed",  # what differed is owed again, nothing is drained
    "repair.drained",  # … drained, not audited again
})  # fmt: skip

Deed = Literal["kill", "freeze"]

_name = ""
_left = 0
_signal = signal.SIGKILL


def arm(point: str, times: int = 1, deed: Deed = "kill") -> None:
    """Kill or freeze this process when it comes to a point.

    Args:
        point: one of `POINTS`.
        times: how often it must be reached, from now on.

    Raises:
        ValueError: there is no such point or deed.
    """
    global _name, _left, _signal
    if point not in POINTS:
        raise ValueError(f"There is no fail point {point!r}; there are {', '.join(sorted(POINTS))}.")
    if deed not in ("kill", "freeze"):
        raise ValueError(f"A fail point kills or freezes; {deed!r} is neither.")
    _name, _left, _signal = point, times, signal.SIGKILL if deed == "kill" else signal.SIGSTOP


def disarm() -> None:
    """Go on at every point."""
    global _name
    _name = ""


def reach(point: str) -> None:
    """Say that the process has come to `point`; it goes no further where that point is armed."""
    if point == _name:
        _stop()


def _stop() -> None:
    global _left
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), _signal)


def _from_environment() -> None:
    point, _, rest = os.environ.get("MEMORY_FAILPOINT", "").partition(":")
    times, _, deed = rest.partition(":")
    if point:
        arm(point, int(times or 1), deed or "kill")  # type: ignore[arg-type]  # another word is refused


_from_environment()
