"""Breakers that processes share through Redis; while it is away, each process goes by what it knows itself.

A breaker is a hash (`failures`, and while open `opened_at` and `reason`) and beside it a key that lives for as long as nobody may
probe. Whoever makes that key anew makes the probe: so there is one a period, whatever processes there are, and one that was killed
holds up nobody. No clock of ours counts but for what is shown. Must stay out: when a breaker opens (`services/breakers/breakers.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from memory_pipelines.ports import Breaker
from memory_pipelines.stores.local.breakers import LocalBreakers
from memory_pipelines.stores.redis import keys
from memory_pipelines.stores.redis.address import parse
from memory_pipelines.stores.redis.connection import ERRORS, Connection

T = TypeVar("T")


class RedisBreakers:
    """`ports.BreakerStore` on Redis.

    Args:
        url: see `address.py`.
        prefix: first part of every key.
        certificates: file of the certificates to trust, with TLS.
    """

    def __init__(self, url: str, prefix: str, *, certificates: Path | None = None) -> None:
        self._connection = Connection(
            parse(url, certificates=certificates), timeout=keys.BREAKER_ANSWER_SECONDS, connecting=keys.BREAKER_ANSWER_SECONDS
        )
        self._prefix = prefix
        self._local = LocalBreakers()
        self._blind_until = 0.0

    def look(self, name: str) -> Breaker:
        """See `ports.BreakerStore.look`."""
        return self._shared(lambda client: self._look(client, name), lambda: self._local.look(name))

    def failed(self, name: str) -> int:
        """See `ports.BreakerStore.failed`."""
        alone = self._local.failed(name)
        return self._shared(lambda client: int(client.hincrby(keys.breaker(self._prefix, name), "failures", 1)), lambda: alone)

    def open(self, name: str, *, seconds: float, reason: str) -> None:
        """See `ports.BreakerStore.open`."""
        self._local.open(name, seconds=seconds, reason=reason)
        self._shared(lambda client: self._open(client, name, seconds, reason), lambda: None)

    def probe(self, name: str, *, seconds: float) -> bool:
        """See `ports.BreakerStore.probe`."""
        key, pause = keys.breaker_pause(self._prefix, name), _milliseconds(seconds)
        return self._shared(lambda client: bool(client.set(key, "1", nx=True, px=pause)), lambda: self._local.probe(name, seconds=seconds))

    def close_breaker(self, name: str) -> None:
        """See `ports.BreakerStore.close_breaker`."""
        self._local.close_breaker(name)
        both = keys.breaker(self._prefix, name), keys.breaker_pause(self._prefix, name)
        self._shared(lambda client: client.delete(*both), lambda: None)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _look(self, client: Any, name: str) -> Breaker:
        found: dict[str, str] = client.hgetall(keys.breaker(self._prefix, name))
        failures = int(found.get("failures", 0))
        if "opened_at" not in found:
            return Breaker(failures=failures, shared=True)
        left = (int(client.pttl(keys.breaker_pause(self._prefix, name))) + 1) / 1000  # negative when it is gone
        since = max(time.time() - float(found["opened_at"]), 0.0)
        return Breaker("open" if left > 0 else "half-open", failures, max(left, 0.0), since, found.get("reason"), shared=True)

    def _open(self, client: Any, name: str, seconds: float, reason: str) -> None:
        key = keys.breaker(self._prefix, name)
        client.hsetnx(key, "opened_at", f"{time.time():.3f}")
        client.hset(key, "reason", reason)
        client.set(keys.breaker_pause(self._prefix, name), "1", px=_milliseconds(seconds))

    def _shared(self, ask: Callable[[Any], T], alone: Callable[[], T]) -> T:
        """What Redis answers; while it is away, or its user may not, what this process knows."""
        if time.monotonic() < self._blind_until:
            return alone()
        try:
            return ask(self._connection.client)
        except ERRORS:
            self._blind_until = time.monotonic() + keys.BREAKER_SECONDS
            return alone()


def _milliseconds(seconds: float) -> int:
    """How long a key is to live so that it is gone after so many seconds: Redis lets it live through its last millisecond."""
    return max(int(seconds * 1000) - 1, 1)
