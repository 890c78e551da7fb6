"""Drains: they pay what the ledger owes, one per projection.

A drain takes ids from its consumer group, then what has been owed longer than the budget straight from the ledger; when
the stream is silent or gone, it takes whatever is owed. Events say what to look at, never what to write: each batch reads
the present state, so order, duplicates and replays do not matter. Stream entries are acknowledged after their rows are
settled. While one batch is settled, the next is written, the one after computed, and the one after that claimed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import uuid_utils
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from memory_pipelines.domain.errors import InvalidInput, Unavailable
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import PROJECTIONS, Claim, DrainResult, Ref
from memory_pipelines.ports import StreamEntry
from memory_pipelines.services import embeddings, entities, graph
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projection import Batch, MarkerMoved, Settle, Stored
from memory_pipelines.services.stopping import ShouldStop, never

_PATIENCE_SECONDS = 15.0  # a dependency that is down is tried again for so long before the drain fails
_ENTRIES = 200  # of the stream, a read
_BLIND_SECONDS = 5.0  # after it did not answer, Redis is left alone for so long
_LATE_LOOK_SECONDS = 5.0  # under a steady stream, late debts are looked for so often
_INTERRUPTED_SECONDS = 2.0  # an interrupted drain waits so long for the batches under way
_CONSUMER = "drain"  # one name for all: Redis keeps every name for ever
REFS_PER_BATCH = {"entities": 500, "embeddings": 400}  # texts per call; the graph takes `batch_rows`

Compute = Callable[[Platform, Claim], Batch]
Store = Callable[[Platform, Batch], Settle]
Progress = Callable[[int, int], None]


def steps(projection: str) -> tuple[Compute, Store]:
    """How a projection is made: its compute and its store function; see `projection.py`."""
    found: dict[str, tuple[Compute, Store]] = {
        "entities": (entities.extract, entities.store),
        "embeddings": (embeddings.embed, embeddings.store),
        "graph": (graph.build, graph.apply),
    }
    if projection not in found:
        raise InvalidInput("projection_unknown", f"There is no projection {projection!r}: use {', '.join(PROJECTIONS)}.")
    return found[projection]


@dataclass(slots=True)
class _Tally:
    """What a drain has done so far."""

    done: int = 0
    failed: int = 0
    parked: int = 0
    superseded: int = 0
    batches: int = 0
    rolled_back: int = 0
    started: float = field(default_factory=time.monotonic)
    progress: list[tuple[float, int]] = field(default_factory=list)
    sample: list[dict[str, Any]] = field(default_factory=list)

    def add(self, batch: Batch, stored: Stored) -> None:
        self.done += stored.done
        self.failed += stored.failed
        self.parked += stored.parked
        self.superseded += stored.superseded
        self.batches += 1
        self.progress.append((round(time.monotonic() - self.started, 3), self.done))
        if len(self.sample) < 10:
            self.sample.extend(batch.sample[: 10 - len(self.sample)])


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
        `busy` when another drain holds the projection: nothing was done, and nothing needs to be.

    Raises:
        Unavailable: a dependency stayed away; everything undone is still owed.
        Refused: `record_rolled_back`
    """
    holder = str(uuid_utils.uuid7())
    if not platform.record.begin_drain(projection, holder, lease_seconds=platform.settings.lease_seconds):
        return _result(platform, projection, _Tally(), busy=True)
    reach("sync.begun")
    try:
        with _Drain(platform, projection, holder, on_progress, should_stop) as running:
            running.until_quiet(quiet_seconds, max_seconds)
        reach("sync.ended")
    finally:
        platform.record.end_drain(projection, holder)
    return _result(platform, projection, running.tally)


class _Drain:
    """One drain. Four batches are under way at once: one is claimed, one computed (in this thread), one written, one settled."""

    def __init__(self, platform: Platform, projection: str, holder: str, on_progress: Progress | None, should_stop: ShouldStop) -> None:
        self.tally = _Tally()
        self._should_stop = should_stop
        self._platform, self._projection, self._holder, self._on_progress = platform, projection, holder, on_progress
        self._compute, self._store = steps(projection)
        self._limit = min(REFS_PER_BATCH.get(projection, platform.settings.batch_rows), platform.settings.batch_rows)
        self._pool = ThreadPoolExecutor(3, thread_name_prefix=f"drain-{projection}")  # one claims ahead, one writes, one settles
        self._writing: tuple[Batch, Future[Settle]] | None = None
        self._settling: tuple[Batch, Future[Stored]] | None = None
        self._refused = False
        self._looked = time.monotonic()
        self._blind_until = 0.0
        self._until: float | None = None
        self._upto: int | None = None  # the newest debt that is to be paid

    def __enter__(self) -> _Drain:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, Exception):
            self._pool.shutdown(wait=True)
            return
        # Interrupted, and the process is to end soon: a server that hangs is not waited for. What it still writes is applied again.
        self._pool.shutdown(wait=False, cancel_futures=True)
        under_way: list[Future[Any]] = [pair[1] for pair in (self._writing, self._settling) if pair is not None]
        wait(under_way, timeout=_INTERRUPTED_SECONDS)

    def until_quiet(self, quiet_seconds: float, max_seconds: float | None) -> None:
        self._find_lost()
        busy_at = time.monotonic()
        self._until = None if max_seconds is None else self.tally.started + max_seconds
        self._upto = None if quiet_seconds > 0 else newest_number(self._platform)
        while True:
            block = min(500, int(max(quiet_seconds - (time.monotonic() - busy_at), 0) * 1000))
            entries = self._entries(block)
            worked = self._patiently(lambda found=entries: self._round(found))  # type: ignore[misc]
            now = time.monotonic()
            if worked or entries:
                busy_at = now
            if self._should_stop() or (self._until is not None and now >= self._until):
                return
            if self._upto is None:
                done = now - busy_at >= quiet_seconds
            else:
                quiet = not (worked or entries)
                done = quiet or (len(entries) < _ENTRIES and paid_up_to(self._platform, self._projection, self._upto))
            if done and not (self._is_behind() and self._find_lost()):
                return

    def _find_lost(self) -> bool:
        """Whether the graph was rolled back behind our back, so that there is more to pay."""
        return self._projection == "graph" and self._patiently(lambda: self._count_lost(graph.recover(self._platform)))

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

    def _round(self, entries: list[StreamEntry]) -> bool:
        """Work through some stream entries, with now and then a look at what is late, or through the ledger. True when there
        was something to do."""
        refs = list(dict.fromkeys(ref for entry in entries for ref in entry.refs))
        if entries:
            reach("sync.read")
        self._refused = False
        if refs:
            worked = self._work(self._claims_of(refs))
            if time.monotonic() - self._looked >= _LATE_LOOK_SECONDS:
                self._looked = time.monotonic()
                worked |= self._work(self._ledger(self._platform.settings.sync_budget_seconds))
        else:
            worked = self._work(self._ledger(0.0))
        reach("sync.settled")
        if not self._refused:  # else the entries come again; by then the ledger's next round has seen to their rows
            self._acknowledge(entries)
        return worked

    def _work(self, claims: Iterator[Claim]) -> bool:
        """Compute each claim while the one before is written; return when all is settled."""
        worked = False
        for claim in claims:
            if self._should_stop():
                self._refused = True  # the entries are not worked through, and come again
                break
            if claim.rows:
                worked = True
                reach("sync.claimed")
                batch = self._compute(self._platform, claim)
                reach("sync.computed")
                self._written()
                self._writing = batch, self._pool.submit(self._store, self._platform, batch)
        self._finish()
        return worked

    def _claims_of(self, refs: Sequence[Ref]) -> Iterator[Claim]:
        """Claims of some subjects, each asked for before the one ahead of it is worked on."""
        ahead: Future[Claim] | None = None
        for start in range(0, len(refs), self._limit):
            asked = self._ask(refs[start : start + self._limit], None, 0)
            if ahead is not None:
                yield ahead.result()
            ahead = asked
        if ahead is not None:
            yield ahead.result()

    def _ledger(self, owed_for_seconds: float) -> Iterator[Claim]:
        """Claims of what has been owed for so long, oldest debts first, each row once."""
        claim = self._ask(None, owed_for_seconds, 0).result()
        while claim.rows and (self._upto is None or min(row.number for row in claim.rows) <= self._upto):
            following = self._ask(None, owed_for_seconds, max(row.number for row in claim.rows))
            yield claim
            if self._should_stop() or (self._until is not None and time.monotonic() >= self._until):
                return
            claim = following.result()

    def _ask(self, refs: Sequence[Ref] | None, owed_for_seconds: float | None, after: int) -> Future[Claim]:
        return self._pool.submit(
            self._platform.record.claim, self._projection, refs=refs, limit=self._limit, owed_for_seconds=owed_for_seconds, after=after,
            holder=self._holder, lease_seconds=self._platform.settings.lease_seconds,
        )  # fmt: skip

    def _finish(self) -> None:
        """Wait until everything is settled."""
        self._written()
        self._settled()

    def _written(self) -> None:
        """Wait until the batch under way is written, and have it settled once the one before it is."""
        if self._writing is None:
            return
        (batch, future), self._writing = self._writing, None
        try:
            settlement = future.result()
        except MarkerMoved as moved:
            self._settled()
            self._recover(batch, moved)
        else:
            self._settled()
            self._settling = batch, self._pool.submit(settle, self._platform, self._projection, batch, settlement)

    def _settled(self) -> None:
        """Wait until the batch that is being settled is; claim again what the marker proves lost."""
        if self._settling is None:
            return
        (batch, future), self._settling = self._settling, None
        try:
            self.tally.add(batch, future.result())
        except MarkerMoved as moved:
            self._recover(batch, moved)
        if self._on_progress is not None:
            self._on_progress(self.tally.done, self.tally.done + self._owed())

    def _recover(self, batch: Batch, moved: MarkerMoved) -> None:
        self._refused = True
        self._count_lost(moved.lost + graph.recover(self._platform, batch.claim))

    def _owed(self) -> int:
        states = self._platform.record.status(self._platform.settings.sync_budget_seconds)["projections"]
        return int(states[self._projection]["ready"])

    def _count_lost(self, lost: int) -> bool:
        self.tally.rolled_back += lost
        if lost and self._upto is not None:
            self._upto = newest_number(self._platform)  # what was lost is owed under new numbers
        return lost > 0

    def _acknowledge(self, entries: list[StreamEntry]) -> None:
        try:
            self._platform.stream.acknowledge(self._projection, [entry.id for entry in entries])
        except Unavailable:
            return  # they will be seen again, and found settled
        if entries:
            reach("sync.acknowledged")

    def _patiently(self, work: Callable[[], bool]) -> bool:
        """Try again while a dependency is away, with growing pauses, then let the drain fail: everything is still owed."""
        for attempt in Retrying(
            retry=retry_if_exception_type(Unavailable), stop=self._out_of_patience,
            wait=wait_random_exponential(0.2, 3.0), reraise=True,
        ):  # fmt: skip
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    self._finish()  # what was under way when something else failed
                return work()
        raise AssertionError("unreachable: the loop above returns or raises")

    def _out_of_patience(self, state: RetryCallState) -> bool:
        return self._should_stop() or stop_after_delay(_PATIENCE_SECONDS)(state)


def settle(platform: Platform, projection: str, batch: Batch, settlement: Settle) -> Stored:
    """Settle one batch that is written, and charge the rows that failed on their own."""
    stored = settlement()
    if not batch.failures:
        return stored
    charged = platform.record.fail(projection, batch.failures, max_attempts=platform.settings.max_attempts)
    return Stored(stored.done, stored.superseded, stored.failed + charged["failed"], stored.parked + charged["parked"], stored.touched)


def _result(platform: Platform, projection: str, tally: _Tally, *, busy: bool = False) -> DrainResult:
    state = platform.record.status(platform.settings.sync_budget_seconds)["projections"][projection]
    costs = {"entities": lambda: platform.extractor.cost(), "embeddings": lambda: platform.embedder.cost()}
    return DrainResult(
        projection, done=tally.done, failed=tally.failed, parked=state["parked"], superseded=tally.superseded, batches=tally.batches,
        seconds=time.monotonic() - tally.started, owed=state["owed"], oldest_owed_seconds=state["oldest_owed_seconds"],
        rolled_back=tally.rolled_back, busy=busy, cost=costs[projection]() if projection in costs and tally.batches else {},
        progress=tuple(tally.progress), sample=tuple(tally.sample),
    )  # fmt: skip


def newest_number(platform: Platform) -> int:
    """Number of the newest debt: what is owed by now."""
    return int(platform.record.status(platform.settings.sync_budget_seconds)["newest_number"])


def settled_marker(platform: Platform) -> int:
    """The highest marker that a settlement has stored."""
    return int(platform.record.status(platform.settings.sync_budget_seconds)["settled_marker"])


def paid_up_to(platform: Platform, projection: str, upto: int) -> bool:
    """Whether every debt up to a number is paid, or cannot be paid now."""
    first = platform.record.status(platform.settings.sync_budget_seconds)["projections"][projection]["first_ready"]
    return first is None or int(first) > upto
