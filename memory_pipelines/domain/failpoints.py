"""Named points at which a process kills itself, for fault tests and benches. Nobody else sets `MEMORY_FAILPOINT`.

    MEMORY_FAILPOINT=graph.applied    SIGKILL when that point is reached for the first time
    MEMORY_FAILPOINT=graph.applied:3  … for the third time

A killed process runs no `finally`, flushes nothing and gives nothing back: what it leaves behind is what a crash leaves. The
variable is read once, when this module is imported; without it, reaching a point costs one comparison.
To add one: a line `reach("subject.done")` behind what was done, and its name in `POINTS`. Must stay out: any other fault.
"""

from __future__ import annotations

import os
import signal

POINTS = frozenset({
    "save.committed",  # in the record, not yet published
    "sync.claimed",  # rows are claimed, nothing is computed
    "sync.computed",  # … computed, nothing is stored
    "entities.stored",  # stored and settled in one transaction; nothing is published or acknowledged
    "embeddings.stored",
    "merge.leased",  # nothing is merged, the lease is held
    "merge.committed",  # in the record, not yet published, the lease is held
    "unmerge.committed",
    "graph.applied",  # the graph has it, nothing is settled
    "graph.lost_owed",  # after a rollback: what was lost is owed again, the counter is still below
    "graph.dropping",  # a first page of the graph is deleted, the marker still forbids every batch
    "dead.parked",  # failures are charged, some rows parked; nothing is acknowledged
    "events.parked",  # entries that could not be read are parked, and not acknowledged
    "graph.settled",  # settled, nothing is acknowledged
    "audit.page",  # a page of a deep audit is looked at, and where to go on is kept
    "audit.kept",  # the verdict is kept, nobody has been told
    "repair.planned",  # the plan is made, nothing is written
    "repair.adopted",  # outside edits are in the record and owed, nothing else of the plan is
    "repair.owed",  # all of the plan is owed, nothing is published or drained
})  # fmt: skip

_name, _, _times = os.environ.get("MEMORY_FAILPOINT", "").partition(":")
_left = int(_times or 1)
if _name and _name not in POINTS:
    raise ValueError(f"MEMORY_FAILPOINT names no point: {_name!r}; there are {', '.join(sorted(POINTS))}.")


def reach(point: str) -> None:
    """Say that the process has come to `point`; it goes no further where the environment names that point."""
    if point == _name:
        _die()


def _die() -> None:
    global _left
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
