"""The rounds of a drain: claims computed, written and settled one behind the other, and stream entries acknowledged after them.

While one batch is settled, the next is written, the one after computed, and the one after that claimed. Must stay out: when a
drain begins and ends, and what it does while a dependency is away (`drains.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Claim, Lease, Ref
from memory_pipelines.ports import StreamEntry
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projections import graph
from memory_pipelines.services.projections.projection import Batch, MarkerMoved, Settle, Stored
from memory_pipelines.services.projections.projections import REFS_PER_BATCH, settle, steps
from memory_pipelines.services.sync.ledger import newest_number
from memory_pipelines.services.sync.stopping import ShouldStop

_LATE_LOOK_SECONDS = 5.0  # under a steady stream, late debts are looked for so often
_INTERRUPTED_SECONDS = 2.0  # an interrupted drain waits so long for the batches under way

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Tally:
    """What a drain has done so far. `working` are the seconds of rounds that had something to do."""

    done: int = 0
    failed: int = 0
    parked: int = 0
    superseded: int = 0
    batches: int = 0
    rolled_back: int = 0
    lease_lost: bool = False
    working: float = 0.0
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


class Rounds:
    """Works through claims. Four batches are under way at once: one is claimed, one computed (in this thread), one written, one settled.

    Attributes:
        tally: what has been done so far.
        until: the moment (`time.monotonic`) after which no further claim of the ledger is begun.
        upto: the newest debt that is to be paid; None for all of them.
        lease: the drain's own; writers present it.
    """

    def __init__(self, platform: Platform, projection: str, holder: str, on_progress: Progress | None, should_stop: ShouldStop) -> None:
        self.tally = Tally()
        self.until: float | None = None
        self.upto: int | None = None
        self.lease: Lease | None = None
        self._should_stop = should_stop
        self._platform, self._projection, self._holder, self._on_progress = platform, projection, holder, on_progress
        self._compute, self._store = steps(projection)
        self._limit = min(REFS_PER_BATCH.get(projection, platform.settings.batch_rows), platform.settings.batch_rows)
        self._pool = ThreadPoolExecutor(3, thread_name_prefix=f"drain-{projection}")  # one claims ahead, one writes, one settles
        self._writing: tuple[Batch, Future[Settle]] | None = None
        self._settling: tuple[Batch, Future[Stored]] | None = None
        self._refused = False
        self._looked = time.monotonic()

    def end(self, kind: type[BaseException] | None) -> None:
        """End the threads. Where `kind` is an interruption, what hangs is not waited for: what it still writes is applied again."""
        if kind is None or issubclass(kind, Exception):
            self._pool.shutdown(wait=True)
            return
        self._pool.shutdown(wait=False, cancel_futures=True)
        under_way: list[Future[Any]] = [pair[1] for pair in (self._writing, self._settling) if pair is not None]
        wait(under_way, timeout=_INTERRUPTED_SECONDS)

    def work(self, entries: list[StreamEntry]) -> bool:
        """Work through some stream entries, with now and then a look at what is late, or through the ledger. True when there
        was something to do."""
        began = time.monotonic()
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
        if worked:
            self.tally.working += time.monotonic() - began
        if not self._refused:  # else the entries come again; by then the ledger's next round has seen to their rows
            self._acknowledge(entries)
        return worked

    def finish(self) -> None:
        """Wait until everything is settled."""
        self._written()
        self._settled()

    def count_lost(self, lost: int) -> bool:
        """Count rows that are owed again because the graph was rolled back. Whether there are any."""
        self.tally.rolled_back += lost
        if lost and self.upto is not None:
            self.upto = newest_number(self._platform)  # what was lost is owed under new numbers
        return lost > 0

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
                batch.lease = self.lease
                reach("sync.computed")
                self._written()
                self._writing = batch, self._pool.submit(self._store, self._platform, batch)
        self.finish()
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
        while claim.rows and (self.upto is None or min(row.number for row in claim.rows) <= self.upto):
            following = self._ask(None, owed_for_seconds, max(row.number for row in claim.rows))
            yield claim
            if self._should_stop() or (self.until is not None and time.monotonic() >= self.until):
                return
            claim = following.result()

    def _ask(self, refs: Sequence[Ref] | None, owed_for_seconds: float | None, after: int) -> Future[Claim]:
        return self._pool.submit(
            self._platform.record.claim, self._projection, refs=refs, limit=self._limit, owed_for_seconds=owed_for_seconds, after=after,
            holder=self._holder, lease_seconds=self._platform.settings.lease_seconds,
        )  # fmt: skip

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
        self.count_lost(moved.lost + graph.recover(self._platform, batch.claim))

    def _owed(self) -> int:
        states = self._platform.record.status(self._platform.settings.sync_budget_seconds)["projections"]
        return int(states[self._projection]["ready"])

    def _acknowledge(self, entries: list[StreamEntry]) -> None:
        try:
            self._platform.stream.acknowledge(self._projection, [entry.id for entry in entries])
        except Unavailable:
            return  # they will be seen again, and found settled
        if entries:
            reach("sync.acknowledged")
