"""Drains: they pay what the ledger owes, one per projection.

A drain takes ids from its consumer group, then what has been owed longer than the budget straight from the ledger; when
the stream is silent or gone, it takes whatever is owed. Events say what to look at, never what to write: each batch reads
the present state, so order, duplicates and replays do not matter. Stream entries are acknowledged after their rows are
settled. Lives here: when a drain begins and ends. Must stay out: how batches follow each other (`rounds.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import uuid_utils
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from memory_pipelines.domain.errors import Conflict, Unavailable
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import DrainResult, Lease
from memory_pipelines.ports import StreamEntry
from memory_pipelines.services import events, leases
from memory_pipelines.services.breakers import breakers
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projections import graph
from memory_pipelines.services.sync.ledger import newest_number, paid_up_to, settled_marker
from memory_pipelines.services.sync.rounds import Progress, Rounds, Tally
from memory_pipelines.services.sync.stopping import ShouldStop, never

_PATIENCE_SECONDS = 15.0  # a dependency that is down is tried again for so long before the drain fails
_ENTRIES = 200  # of the stream, a read
_BLIND_SECONDS = 5.0  # after it did not answer, Redis is left alone for so long
_CONSUMER = "drain"  # one name for all: Redis keeps every name for ever


def drain(
    platform: Platform,
    projection: str,
    *,
    quiet_seconds: float = 1.0,
    max_seconds: float | None = None,
    on_progress: Progress | None = None,
    should_stop: ShouldStop = never,
) -> DrainResult:
    """Pay what is owed to one projection until nothing has come for a moment.

    Args:
        quiet_seconds: how long nothing may come before the drain ends; under load, lag is then a batch, not a start. With 0
            it ends at the latest when all is paid that was owed when it began, whatever is saved meanwhile.
        max_seconds: end after so long even if more is owed.
        on_progress: called with (rows done, rows owed) after each batch.
        should_stop: looked at between batches; once true, what is under way is finished, the lease given back, and the rest stays owed.

    Returns:
        `busy` when another drain holds the projection: nothing was done, and nothing needs to be. `lease_lost` when this one slept past its
        lease and another took over: what it wrote late was refused, charged to no row, and is still owed.

    Raises:
        Unavailable: a dependency stayed away, or its breaker is open (`breaker_open`); everything undone is still owed.
        Refused: `record_rolled_back`
    """
    breakers.need(platform, projection)
    holder = str(uuid_utils.uuid7())
    fence = platform.record.begin_drain(projection, holder, lease_seconds=platform.settings.lease_seconds)
    if not fence:
        return _result(platform, projection, Tally(), busy=True)
    reach("sync.begun")
    try:
        with _Drain(platform, projection, holder, on_progress, should_stop) as running:
            running.rounds.lease = Lease(projection, fence)
            running.until_quiet(quiet_seconds, max_seconds)
        reach("sync.ended")
    except Conflict as error:
        if not leases.is_lost(error):
            raise
        running.rounds.tally.lease_lost = True  # what was refused is owed, its entries come again, and whoever took over goes on
    finally:
        platform.record.end_drain(projection, holder)
    return _result(platform, projection, running.rounds.tally)


class _Drain:
    """One drain: rounds, one after the other, until it has been quiet for a while."""

    def __init__(self, platform: Platform, projection: str, holder: str, on_progress: Progress | None, should_stop: ShouldStop) -> None:
        self.rounds = Rounds(platform, projection, holder, on_progress, should_stop)
        self._platform, self._projection, self._should_stop = platform, projection, should_stop
        self._blind_until = 0.0

    def __enter__(self) -> _Drain:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.rounds.end(kind)

    def until_quiet(self, quiet_seconds: float, max_seconds: float | None) -> None:
        """Work until nothing has come for `quiet_seconds`, or `max_seconds` are over; see `drain`."""
        rounds = self.rounds
        self._find_lost()
        busy_at = time.monotonic()
        rounds.until = None if max_seconds is None else rounds.tally.started + max_seconds
        rounds.upto = None if quiet_seconds > 0 else newest_number(self._platform)
        while True:
            block = min(500, int(max(quiet_seconds - (time.monotonic() - busy_at), 0) * 1000))
            entries = self._entries(block)
            self._patiently(lambda found=entries: self._park(found))  # type: ignore[misc]
            worked = self._patiently(lambda found=entries: rounds.work(found))  # type: ignore[misc]
            now = time.monotonic()
            if worked or entries:
                busy_at = now
            if self._should_stop() or (rounds.until is not None and now >= rounds.until):
                return
            if rounds.upto is None:
                done = now - busy_at >= quiet_seconds
            else:
                quiet = not (worked or entries)
                done = quiet or (len(entries) < _ENTRIES and paid_up_to(self._platform, self._projection, rounds.upto))
            if done and not (self._is_behind() and self._find_lost()):
                return

    def _park(self, entries: list[StreamEntry]) -> bool:
        """Keep what cannot be read, before anything acknowledges it."""
        events.park(self._platform, self._projection, entries)
        return True

    def _find_lost(self) -> bool:
        """Whether the graph was rolled back behind our back, so that there is more to pay."""
        return self._projection == "graph" and self._patiently(lambda: self.rounds.count_lost(graph.recover(self._platform)))

    def _is_behind(self) -> bool:
        return self._projection == "graph" and self._patiently(lambda: graph.behind(self._platform, settled_marker(self._platform)))

    def _entries(self, block_ms: int) -> list[StreamEntry]:
        """What the stream brings; while Redis is away, a short pause and the ledger alone."""
        if time.monotonic() >= self._blind_until:
            try:
                return self._platform.stream.read(self._projection, _CONSUMER, count=_ENTRIES, block_ms=block_ms)
            except Unavailable:
                self._blind_until = time.monotonic() + _BLIND_SECONDS
        time.sleep(min(block_ms, 200) / 1000)
        return []

    def _patiently(self, work: Callable[[], bool]) -> bool:
        """Try again while a dependency is away, with growing pauses, then let the drain fail: everything is still owed."""
        for attempt in Retrying(
            retry=retry_if_exception(_may_pass), stop=self._out_of_patience,
            wait=wait_random_exponential(0.2, 3.0), reraise=True,
        ):  # fmt: skip
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    self.rounds.finish()  # what was under way when something else failed
                return work()
        raise AssertionError("unreachable: the loop above returns or raises")

    def _out_of_patience(self, state: RetryCallState) -> bool:
        return self._should_stop() or stop_after_delay(_PATIENCE_SECONDS)(state)


def _may_pass(error: BaseException) -> bool:
    """Whether to try again: an outage may be over, but an open breaker says when that is found out."""
    return isinstance(error, Unavailable) and error.code != breakers.OPEN


def _result(platform: Platform, projection: str, tally: Tally, *, busy: bool = False) -> DrainResult:
    state = platform.record.status(platform.settings.sync_budget_seconds)["projections"][projection]
    costs = {"entities": lambda: platform.extractor.cost(), "embeddings": lambda: platform.embedder.cost()}
    return DrainResult(
        projection, done=tally.done, failed=tally.failed, parked=state["parked"], superseded=tally.superseded, batches=tally.batches,
        seconds=time.monotonic() - tally.started, working_seconds=tally.working, owed=state["owed"],
        oldest_owed_seconds=state["oldest_owed_seconds"], rolled_back=tally.rolled_back, busy=busy, lease_lost=tally.lease_lost,
        cost=costs[projection]() if projection in costs and tally.batches else {},
        progress=tuple(tally.progress), sample=tuple(tally.sample),
    )  # fmt: skip
