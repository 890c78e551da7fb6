"""What a queue sensor decides: by level (something is owed and nobody drains it), never by cursor or by the status of a run.

Lives here: looking and waiting, shared by the sensors and by `run_wanted`. Must stay out: writing anything, launching anything.

The stream only wakes us up: a look always reads the ledger. So a lost event, an emptied Redis or a Redis that is down costs a second
or a few, and nothing else. An outage of Postgres is an error of the tick, because nobody knows then what is owed.

Between a request and the first heartbeat of its drain a run needs seconds to start. The memo of the last request, kept as the
sensor's cursor, bridges that: no second request within the grace. The grace doubles with every request that changed nothing, up to a
minute, so that a drain which fails at once (an engine is down) is not tried every few seconds. While the breaker of what a projection
needs is open no run is requested at all: the run that opened it has failed, which is the error; the tick says since when, and once the
breaker lets a probe through, the next run is that probe.
"""

import concurrent.futures.thread  # noqa: F401  # registers first what joins its threads
import threading
import time
from dataclasses import asdict, dataclass, replace
from json import dumps, loads
from typing import Literal

from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.domain.models import Projection
from memory_pipelines.services.breakers import breakers
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.sync import sync

GRACE_SECONDS = 20.0
LONGEST_GRACE_SECONDS = 60.0
DRAINING_POLL_SECONDS = 0.25
BLIND_POLL_SECONDS = 1.0
AWAY_POLL_SECONDS = 1.0
LOOK_AT_LEAST_EVERY_SECONDS = 5.0
LISTEN_SECONDS = 1.0

# Set when this process has done its work and only waits for its threads, as a code server does after a SIGTERM: ticks are such threads.
# Called before Python joins the threads of executors, because it is registered after that; there is no public way to be told.
_ending = threading.Event()
threading._register_atexit(_ending.set)  # type: ignore[attr-defined]

State = Literal["wanted", "draining", "starting", "idle", "away"]


@dataclass(frozen=True)
class Memo:
    """The last request of this sensor: when (seconds since 1970), whether its drain was seen, and how many before it changed nothing; and
    whether the projection was on time when the sensor last said so."""

    requested_at: float = 0.0
    seen: bool = False
    in_vain: int = 0
    on_time: bool | None = None

    @property
    def grace_seconds(self) -> float:
        """How long the requested run is given before another one is requested."""
        return float(min(GRACE_SECONDS * 2**self.in_vain, LONGEST_GRACE_SECONDS))

    @classmethod
    def parse(cls, cursor: str | None) -> "Memo":
        """The memo in a sensor's cursor; an empty one when there is none."""
        return cls(**loads(cursor)) if cursor else cls()

    def knowing(self, on_time: bool | None) -> "Memo":
        """The same, with what was said of the projection."""
        return replace(self, on_time=on_time)

    def cursor(self) -> str:
        """As a sensor's cursor."""
        return dumps(asdict(self))


@dataclass(frozen=True)
class Look:
    """What a look at the ledger found, in words too. `memo` is what to remember until the next look."""

    state: State
    owed: int
    reason: str
    memo: Memo


def look(platform: Platform, projection: Projection, memo: Memo, *, now: float | None = None) -> Look:
    """Look once, without waiting.

    Raises:
        Unavailable: the record, or for the graph's projection the graph, could not be looked at.
    """
    now = time.time() if now is None else now
    found = sync.wanted(platform, projection)
    if found.draining:
        return Look("draining", found.owed, f"A drain is at work; {found.owed} owed.", replace(memo, seen=True))
    if found.away is not None:
        return Look("away", found.owed, f"{found.owed} owed. What they need is away: {breakers.words(found.away)}.", memo)
    if not found.work:
        return Look("idle", 0, "Nothing is owed.", Memo())
    what = f"{found.owed} owed" if found.owed else "The graph shows less than was settled"
    since = max(now - memo.requested_at, 0.0)
    arrived_since = memo.seen and found.owed > 0 and (found.oldest_owed_seconds or 0.0) < since
    if memo.requested_at and not arrived_since and since < memo.grace_seconds:
        return Look("starting", found.owed, f"{what}; a run was requested {since:.0f} s ago.", memo)
    in_vain = memo.in_vain + 1 if memo.requested_at and not arrived_since else 0
    return Look("wanted", found.owed, f"{what}, and nobody is draining.", Memo(requested_at=now, in_vain=in_vain))


def watch(platform: Platform, projection: Projection, memo: Memo, *, patience_seconds: float) -> Look:
    """Look, and as long as nothing is wanted wait for the next event and look again, until patience or the process ends.

    Raises:
        Unavailable: as `look`. A stream that is down is not an error: the ledger is then polled.
    """
    end = time.monotonic() + patience_seconds
    seen = _newest(platform)
    while True:
        found = look(platform, projection, memo)
        left = end - time.monotonic()
        if found.state == "wanted" or left <= 0 or _ending.is_set():
            return found
        memo = found.memo
        if found.state == "away":
            time.sleep(min(left, AWAY_POLL_SECONDS))
        elif found.state == "idle":
            seen = _next(platform, seen, min(left, LOOK_AT_LEAST_EVERY_SECONDS))
        else:
            time.sleep(min(left, DRAINING_POLL_SECONDS))


def _newest(platform: Platform) -> str | None:
    """Id of the newest event, read before the ledger so that nothing falls between; None while the stream is down."""
    try:
        return platform.stream.last_id()
    except Unavailable:
        return None


def _next(platform: Platform, seen: str | None, seconds: float) -> str | None:
    """Wait for an event after `seen`; return the newest one's id."""
    if seen is not None:
        end, newest = time.monotonic() + seconds, seen
        try:
            while newest == seen and (left := end - time.monotonic()) > 0 and not _ending.is_set():
                newest = platform.stream.wait(seen, block_ms=max(int(min(left, LISTEN_SECONDS) * 1000), 1))
            return newest
        except Unavailable:
            pass
    time.sleep(min(seconds, BLIND_POLL_SECONDS))
    return _newest(platform)
