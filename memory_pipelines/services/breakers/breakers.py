"""Circuit breakers: whose fault an outage is, and when its dependency is asked again.

There is one for each dependency of a drain: `graph`, `embedder`, `extractor`. Their state is shared between processes, because
drains are short-lived. After some failures in a row a breaker opens; nobody calls meanwhile, and once a period one call is the
probe that may close it. An outage is charged here, never to a row. The record's breaker and Redis' are local to the process
(`record.py`, `stores/redis/courier.py`).
To add a dependency: a line in `DEPENDENCIES`, and its calls through `guarded`. Must stay out: where the state is (`ports.BreakerStore`),
and how it moves (`machine.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.ports import Breaker, BreakerStore
from memory_pipelines.services.platform import Platform

T = TypeVar("T")

# Which failures are an outage of which dependency. A failure of another one, as of the record in between, says nothing.
DEPENDENCIES: Mapping[str, frozenset[str]] = {
    "graph": frozenset({"graph_unavailable", "engine_failed"}),
    "embedder": frozenset({"embedder_unavailable", "embedding_invalid"}),
    "extractor": frozenset({"extractor_unavailable"}),
}
NEEDED_BY = {"entities": "extractor", "embeddings": "embedder", "graph": "graph"}
OPEN = "breaker_open"


def guarded(platform: Platform, name: str, call: Callable[[], T]) -> T:
    """Call a dependency through its breaker.

    Raises:
        Unavailable: `breaker_open`, without a call; or what the call raised.
    """
    settings = platform.settings
    return through(
        platform.breakers, name, call, outages=DEPENDENCIES[name], failures=settings.breaker_failures, seconds=settings.breaker_seconds
    )


def through(store: BreakerStore, name: str, call: Callable[[], T], *, outages: Collection[str], failures: int, seconds: float) -> T:
    """Call through the breaker of this name.

    Args:
        outages: codes of `Unavailable` that are this dependency's.
        failures: in a row, until it opens.
        seconds: until the first probe, and between probes.

    Raises:
        Unavailable: `breaker_open`, without a call; or what the call raised.
    """
    found = store.look(name)
    if found.mode == "closed" and not found.failures:
        try:
            return call()
        except Unavailable as error:
            if error.code not in outages:
                raise
            happened = error

        def call() -> T:  # what has happened is the machine's to count
            raise happened

    import pybreaker  # it loads redis, which a client that only saves may not need

    from memory_pipelines.services.breakers.machine import run

    try:
        return run(store, name, call, outages=outages, failures=failures, seconds=seconds)
    except pybreaker.CircuitBreakerError:
        raise away(name, store.look(name)) from None


def need(platform: Platform, projection: str) -> None:
    """Say at once when a projection's dependency is away, before anything is claimed.

    Raises:
        Unavailable: `breaker_open`, with `detail["probe_in_seconds"]`; everything is still owed.
    """
    name = NEEDED_BY[projection]
    found = platform.breakers.look(name)
    if found.mode == "open":
        raise away(name, found)


def away(name: str, found: Breaker) -> Unavailable:
    """The error of a call that an open breaker has not let through. The wait is rounded up: whoever waits so long meets the probe."""
    return Unavailable(
        OPEN,
        f"The {name} is away: {words(found)}. Nothing was asked of it, and what is owed stays owed.",
        {"dependency": name, "probe_in_seconds": math.ceil((found.probe_in_seconds or 0.0) * 1000) / 1000},
    )


def words(found: Breaker) -> str:
    """A breaker's state in words."""
    if found.mode == "closed":
        return "its breaker is closed"
    since = f"its breaker has been open for {found.open_seconds or 0.0:.0f} s ({found.reason or 'unknown'})"
    return since + (
        f"; the next probe is in {found.probe_in_seconds or 0.0:.0f} s" if found.mode == "open" else "; the next call is a probe"
    )


def states(platform: Platform) -> dict[str, dict[str, Any]]:
    """Each breaker as data, for people and programs; see `ports.Breaker`."""
    found = {name: platform.breakers.look(name) for name in DEPENDENCIES}
    found |= {"record": platform.local_breakers.look("record"), "redis": _redis(platform)}
    return {name: shown(breaker) for name, breaker in found.items()}


def shown(found: Breaker) -> dict[str, Any]:
    """A breaker as JSON-serialisable data."""
    return {
        "mode": found.mode, "failures": found.failures, "reason": found.reason, "shared": found.shared,
        "open_seconds": None if found.open_seconds is None else round(found.open_seconds, 1),
        "probe_in_seconds": None if found.probe_in_seconds is None else round(found.probe_in_seconds, 1),
    }  # fmt: skip


def _redis(platform: Platform) -> Breaker:
    try:
        return platform.stream.breaker()
    except Unavailable as error:  # it could not even be opened
        return Breaker("open", 1, reason=error.code)
