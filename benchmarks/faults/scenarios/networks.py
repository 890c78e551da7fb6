"""Slow, cut and silent networks, and clocks that jump."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.faults.scenarios.registry import BOTH, EMBEDDED, UNHURRIED, fault
from benchmarks.faults.trial import Trial
from memory_pipelines.embedded import Engine

_EVERYBODY = frozenset({"writers", "workers"})


def _weather(engine: Engine) -> None:
    engines = EMBEDDED if engine == "graph" else BOTH
    title = {"postgres": "the record", "redis": "Redis", "graph": "the graph"}[engine]

    def slow(trial: Trial) -> Iterator[None]:
        """Every piece takes its time."""
        trial.proxied, trial.retried = _EVERYBODY, engine == "postgres"
        trial.stack.proxy.tell(engine, delay=(0.0, trial.rng.uniform(0.004, 0.01)))
        yield
        yield from trial.until(lambda: not trial.writing, 20.0)
        trial.stack.proxy.calm()

    def cut(trial: Trial) -> Iterator[None]:
        """Connections are reset and refused, for a moment, twice."""
        trial.proxied, trial.retried = _EVERYBODY, engine == "postgres"
        trial.writer = {"pause_seconds": UNHURRIED}
        yield
        for _ in range(2):
            yield from trial.until_deeds(trial.somewhere())
            trial.stack.proxy.tell(engine, cut=True)
            yield from trial.pause(trial.rng.uniform(0.05, 0.4))
            trial.stack.proxy.tell(engine, cut=False)

    def silent(trial: Trial) -> Iterator[None]:
        """Nothing passes for a moment, and then all of it does."""
        trial.proxied, trial.retried = _EVERYBODY, engine == "postgres"
        trial.writer = {"pause_seconds": UNHURRIED}
        yield
        yield from trial.until_deeds(trial.somewhere())
        trial.stack.proxy.tell(engine, silent=True)
        yield from trial.pause(trial.rng.uniform(0.1, 0.6))
        trial.stack.proxy.tell(engine, silent=False)

    def lost(trial: Trial) -> Iterator[None]:
        """Requests and answers are lost, with their connection: whether it was done, nobody knows."""
        trial.proxied, trial.retried = _EVERYBODY, engine == "postgres"
        trial.stack.proxy.tell(engine, lose=trial.rng.uniform(0.02, 0.08))
        yield
        yield from trial.until(lambda: not trial.writing, 20.0)
        trial.stack.proxy.calm()

    fault(f"slow network to {title}", engines)(slow)
    fault(f"network to {title} cut", engines)(cut)
    fault(f"network to {title} silent", engines)(silent)
    fault(f"answers of {title} lost", engines)(lost)


_weather("postgres")
_weather("redis")
_weather("graph")


def _jumping(trial: Trial, who: str) -> Iterator[None]:
    changes = {"clock": True}
    trial.writer = {"pause_seconds": UNHURRIED} | (changes if who == "writer" else {})
    trial.workers = [changes if who == "worker" else {}, {}]
    yield
    for milliseconds in trial.rng.sample((3_600_000, -3_600_000, 86_400_000, 40_000, -5_000), 3):
        yield from trial.until_deeds(trial.somewhere())
        for child in trial.crew.named(who):
            child.seat.jump_ms = milliseconds
        yield from trial.pause(0.05)


@fault("clock of a worker jumps")
def worker_jumps(trial: Trial) -> Iterator[None]:
    """An hour or a day forward and back, its monotonic clock too."""
    yield from _jumping(trial, "worker")


@fault("clock of a writer jumps")
def writer_jumps(trial: Trial) -> Iterator[None]:
    """The same; what the record says of times is not touched by it."""
    yield from _jumping(trial, "writer")
