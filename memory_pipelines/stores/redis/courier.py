"""Takes events to Redis without holding up whoever saves: one call may cost a moment, the ones after it nothing.

A socket's timeout bounds one answer only. Finding a name's address has none, a name with several addresses has one for each, and
Sentinels and clusters are asked one node after the other. So what goes over a network goes from a thread, which is waited for no longer
than `keys.PUBLISH_SECONDS`. Once a call has failed or was late, Redis counts as away: later calls are not waited for, one of them is
sent as a probe every `keys.BREAKER_SECONDS`, and the first probe that succeeds in time ends it. This is the process's own breaker; a
breaker that waits for its probes (pybreaker's) would hold up a save every few seconds for as long as Redis is away.
Must stay out: what is sent.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from memory_pipelines.ports import Breaker
from memory_pipelines.ports.breakers import BreakerMode
from memory_pipelines.stores.redis import keys
from memory_pipelines.stores.redis.connection import ERRORS

_THREADS = 4
Call = Callable[[], object]


class Courier:
    """Runs calls that end within `keys.PUBLISH_SECONDS` for their caller. Threads may share it.

    Args:
        direct: run calls in the caller's thread, which is quicker: for a socket of this machine, whose timeout bounds the whole call.
    """

    def __init__(self, *, direct: bool) -> None:
        self._direct = direct
        self._calls: queue.SimpleQueue[tuple[Future[float], Call] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._probe_at: float | None = None  # not None while Redis counts as away
        self._probe: Future[float] | None = None
        self._away_since = 0.0

    def deliver(self, call: Call) -> bool:
        """Whether `call` ended well and in time. One that was late goes on by itself, and may still end well."""
        if self._probe_at is not None:
            self._try_again(call)
            return False
        try:
            if self._direct:
                call()
                return True
            outcome = self._sent(call)
            outcome.result(keys.PUBLISH_SECONDS)
        except ERRORS:
            self._away_for(keys.BREAKER_SECONDS)
            return False
        except TimeoutError:
            self._away_for(keys.BREAKER_SECONDS)
            outcome.add_done_callback(self._late)
            return False
        return True

    def breaker(self) -> Breaker:
        """Whether Redis counts as away."""
        with self._lock:
            if self._probe_at is None:
                return Breaker()
            left = self._probe_at - time.monotonic()
            mode: BreakerMode = "open" if left > 0 else "half-open"
            return Breaker(mode, 1, max(left, 0.0), time.monotonic() - self._away_since, "stream_unavailable")

    def close(self) -> None:
        """End the threads as soon as they are idle."""
        with self._lock:
            for _ in self._threads:
                self._calls.put(None)
            self._threads.clear()

    def _away_for(self, seconds: float) -> None:
        with self._lock:
            if self._probe_at is None:
                self._away_since = time.monotonic()
            self._probe_at = time.monotonic() + seconds

    def _late(self, outcome: Future[float]) -> None:
        """A call that was late has ended. If well, as after a slow first connection, the next one is a probe already."""
        if outcome.exception() is None:
            self._away_for(0.0)

    def _try_again(self, call: Call) -> None:
        """Send a probe when it is time for one."""
        with self._lock:
            if self._probe_at is None or time.monotonic() < self._probe_at or (self._probe is not None and not self._probe.done()):
                return
            probe = Future[float]()
            self._probe = probe
        probe.add_done_callback(self._probed)
        self._sent(call, probe)

    def _probed(self, probe: Future[float]) -> None:
        in_time = probe.exception() is None and probe.result() <= keys.PUBLISH_SECONDS
        with self._lock:
            self._probe_at = None if in_time else time.monotonic() + keys.BREAKER_SECONDS

    def _sent(self, call: Call, outcome: Future[float] | None = None) -> Future[float]:
        outcome = outcome or Future()
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]  # none is, in a process that was forked
            if len(self._threads) < _THREADS:
                # Daemons: a call that hangs must not hold up the end of the process.
                self._threads.append(threading.Thread(target=self._work, name="redis-publish", daemon=True))
                self._threads[-1].start()
        self._calls.put((outcome, call))
        return outcome

    def _work(self) -> None:
        while (asked := self._calls.get()) is not None:
            outcome, call = asked
            started = time.monotonic()
            try:
                call()
            except BaseException as error:  # noqa: BLE001  # it is the caller's
                outcome.set_exception(error)
            else:
                outcome.set_result(time.monotonic() - started)
