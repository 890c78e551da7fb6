"""How a breaker moves: pybreaker's state machine over our store.

A machine is made for each call, since its lock would let only one thread of a process call at a time. Its own storage for Redis is
not used; docs/decisions.md says why. Must stay out: which failures count (`breakers.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import TypeVar

import pybreaker

from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.ports import BreakerStore

T = TypeVar("T")


class _Storage(pybreaker.CircuitBreakerStorage):
    """One call's view of a breaker: looked at once; half-open only for the caller that has won the probe."""

    def __init__(self, store: BreakerStore, name: str, seconds: float) -> None:
        super().__init__(name)
        self.found = store.look(name)
        self.reason = "unknown"
        self.no_opinion = False  # the call ended without a word about the dependency
        self._store, self._seconds = store, seconds
        self._failures = self.found.failures
        self._mode = pybreaker.STATE_CLOSED if self.found.mode == "closed" else pybreaker.STATE_OPEN
        self._succeeded = 0

    @property
    def state(self) -> str:
        return self._mode

    @state.setter
    def state(self, state: str) -> None:
        if state == pybreaker.STATE_HALF_OPEN:
            if self.found.mode == "open" or not self._store.probe(self.name, seconds=self._seconds):
                raise pybreaker.CircuitBreakerError  # somebody else makes this period's probe
        elif state == pybreaker.STATE_OPEN:
            self._store.open(self.name, seconds=self._seconds, reason=self.reason)
        else:
            self._store.close_breaker(self.name)
        self._mode = state

    def increment_counter(self) -> None:
        self._failures = self._store.failed(self.name)

    def reset_counter(self) -> None:
        if self._failures and not self.no_opinion and self._mode == pybreaker.STATE_CLOSED:
            self._store.close_breaker(self.name)
            self._failures = 0

    def increment_success_counter(self) -> None:
        self._succeeded += not self.no_opinion

    def reset_success_counter(self) -> None:
        self._succeeded = 0

    @property
    def counter(self) -> int:
        return self._failures

    @property
    def success_counter(self) -> int:
        return self._succeeded

    @property
    def opened_at(self) -> datetime | None:
        return None  # when a probe may be made is the store's to say, by a clock that all share

    @opened_at.setter
    def opened_at(self, datetime: datetime) -> None:
        """The store notes it."""


def run(store: BreakerStore, name: str, call: Callable[[], T], *, outages: Collection[str], failures: int, seconds: float) -> T:
    """Call through a breaker; see `breakers.through`.

    Raises:
        pybreaker.CircuitBreakerError: it is open, and nothing was called.
    """
    storage = _Storage(store, name, seconds)

    def watched() -> T:
        try:
            return call()
        except BaseException as error:
            if is_outage(error, outages):
                storage.reason = getattr(error, "code", "unknown")
            else:  # whatever else went wrong, the dependency has answered; but for an outage elsewhere, or an interruption
                storage.no_opinion = isinstance(error, Unavailable) or not isinstance(error, Exception)
            raise

    machine = pybreaker.CircuitBreaker(
        fail_max=failures, reset_timeout=seconds, state_storage=storage, name=name, throw_new_error_on_trip=False,
        exclude=[lambda error: not is_outage(error, outages)],
    )  # fmt: skip
    return machine.call(watched)


def is_outage(error: BaseException, outages: Collection[str]) -> bool:
    """Whether an error is an outage of the dependency whose codes are given."""
    return isinstance(error, Unavailable) and error.code in outages
