"""Incremental sync, from outside: is there something to do, do it all, which version is where. The work is in `drains.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from memory_pipelines.domain import validation
from memory_pipelines.domain.errors import InvalidInput, Unavailable
from memory_pipelines.domain.models import PROJECTIONS, DrainResult, SyncState
from memory_pipelines.ports import Breaker
from memory_pipelines.services.breakers import breakers
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projections import graph
from memory_pipelines.services.projections.projections import steps
from memory_pipelines.services.sync.drains import drain
from memory_pipelines.services.sync.ledger import newest_number, paid_up_to
from memory_pipelines.services.sync.stopping import ShouldStop, never

__all__ = ["Wanted", "drain", "drain_all", "rebuild", "rebuild_owe", "sync_state", "wanted"]

_SHARDS = 16  # so many calls owe a projection again: each must end within seconds


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whether a projection wants a drain: `owed` rows can be claimed now, or the graph shows less than was settled (`behind`).

    `away` is the breaker of what the projection needs, while it lets nobody call: a drain would end at once.
    """

    owed: int
    oldest_owed_seconds: float | None
    draining: bool
    behind: bool = False
    away: Breaker | None = None

    @property
    def work(self) -> bool:
        """True when there is something to do, whether or not someone is at it."""
        return self.owed > 0 or self.behind


def wanted(platform: Platform, projection: str) -> Wanted:
    """Look, and change nothing: what a sensor decides by.

    Raises:
        Unavailable: the record, or for the graph's projection the graph, could not be looked at.
    """
    steps(projection)
    answer = platform.record.status(platform.settings.sync_budget_seconds)
    state = answer["projections"][projection]
    found = platform.breakers.look(breakers.NEEDED_BY[projection])
    if found.mode == "open":
        return Wanted(state["ready"], state["oldest_owed_seconds"], state["draining"], away=found)
    behind = projection == "graph" and state["ready"] == 0 and graph.behind(platform, int(answer["settled_marker"]))
    return Wanted(state["ready"], state["oldest_owed_seconds"], state["draining"], behind)


def drain_all(
    platform: Platform,
    projections: Sequence[str] = (),
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
    should_stop: ShouldStop = never,
) -> list[DrainResult]:
    """Drain the named projections (all, in order, by default): each until it owes nothing that could be paid when its turn came.

    Once `should_stop` is true, the drain at work ends after its batch, and no other is begun.
    """
    names = list(projections) or list(PROJECTIONS)
    results: dict[str, DrainResult] = {}
    for name in names:
        if should_stop():
            break
        progress = None if on_progress is None else (lambda done, of, name=name: on_progress(name, done, of))
        upto = newest_number(platform)
        while True:
            once = partial(drain, platform, name, quiet_seconds=0.0, on_progress=progress, should_stop=should_stop)
            results[name] = _through_a_probe(platform, once, should_stop)
            elsewhere = results[name].busy or results[name].lease_lost
            if should_stop() or not elsewhere or (paid_up_to(platform, name, upto) and not wanted(platform, name).behind):
                break
            time.sleep(0.2)  # another drain is at it: look again
    return list(results.values())


def _through_a_probe(platform: Platform, work: Callable[[], DrainResult], should_stop: ShouldStop) -> DrainResult:
    """Whoever asks by hand has perhaps just mended what was away: where a breaker is open, its next probe is waited for, once."""
    try:
        return work()
    except Unavailable as error:
        wait = float(error.detail.get("probe_in_seconds", 0.0))
        if error.code != breakers.OPEN or wait > max(platform.settings.breaker_seconds, 0.0):
            raise
    end = time.monotonic() + wait
    while not should_stop() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))
    return work()


def rebuild_owe(platform: Platform, projection: str, shard: int, shards: int) -> int:
    """Owe every row of one shard again; returns how many."""
    steps(projection)
    return platform.record.owe_shard(projection, shard, shards)


def rebuild(
    platform: Platform, projection: str, *, drop: bool = False, on_progress: Callable[[str, int, int], None] | None = None
) -> DrainResult:
    """Make a whole projection again from the record.

    Args:
        drop: delete the graph first, whatever it holds: the way out where the record was rolled back. Only the graph can be dropped; the
            other projections live in the record, and making them again replaces them.

    Raises:
        InvalidInput: `projection_unknown`, `drop_invalid`
    """
    steps(projection)
    if drop and projection != "graph":
        raise InvalidInput("drop_invalid", f"Only the graph can be dropped: {projection} lives in the record, and a rebuild replaces it.")
    if drop:
        graph.drop(platform)
    for shard in range(_SHARDS):
        rebuild_owe(platform, projection, shard, _SHARDS)
    return drain_all(platform, (projection,), on_progress=on_progress)[0]


def sync_state(platform: Platform, id: str) -> SyncState:  # noqa: A002
    """Which version of a memory each projection holds; see `MemoryClient.sync_state`."""
    return platform.record.sync_state(validation.identifier(id))
