"""Breakers of one process: for what is local on purpose, and for the time that Redis is away.

Must stay out: when a breaker opens (`services/breakers/breakers.py`).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from memory_pipelines.ports import Breaker


@dataclass
class _Held:
    failures: int = 0
    opened_at: float | None = None
    pause_until: float = 0.0
    reason: str | None = None


class LocalBreakers:
    """`ports.BreakerStore` in this process."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()

    def look(self, name: str) -> Breaker:
        """See `ports.BreakerStore.look`."""
        with self._lock:
            held, now = self._held.get(name), time.monotonic()
            if held is None or held.opened_at is None:
                return Breaker(failures=held.failures if held else 0)
            left = held.pause_until - now
            return Breaker("open" if left > 0 else "half-open", held.failures, max(left, 0.0), now - held.opened_at, held.reason)

    def failed(self, name: str) -> int:
        """See `ports.BreakerStore.failed`."""
        with self._lock:
            held = self._held.setdefault(name, _Held())
            held.failures += 1
            return held.failures

    def open(self, name: str, *, seconds: float, reason: str) -> None:
        """See `ports.BreakerStore.open`."""
        with self._lock:
            held, now = self._held.setdefault(name, _Held()), time.monotonic()
            held.opened_at = held.opened_at if held.opened_at is not None else now
            held.pause_until, held.reason = now + seconds, reason

    def probe(self, name: str, *, seconds: float) -> bool:
        """See `ports.BreakerStore.probe`."""
        with self._lock:
            held, now = self._held.setdefault(name, _Held()), time.monotonic()
            if held.pause_until > now:
                return False
            held.pause_until = now + seconds
            return True

    def close_breaker(self, name: str) -> None:
        """See `ports.BreakerStore.close_breaker`."""
        with self._lock:
            self._held.pop(name, None)

    def close(self) -> None:
        """Nothing to close."""
