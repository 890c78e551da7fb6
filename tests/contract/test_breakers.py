"""Breakers against their port, and how they move: shared by processes through Redis, or kept by one.

To add a store, add a line to `STORES`: the same assertions must hold for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis

from memory_pipelines import embedded
from memory_pipelines.domain.errors import Refused, Unavailable
from memory_pipelines.ports import Breaker, BreakerStore
from memory_pipelines.services.breakers import breakers
from memory_pipelines.services.projections.projection import MarkerMoved
from memory_pipelines.stores.local.breakers import LocalBreakers
from memory_pipelines.stores.redis import keys
from memory_pipelines.stores.redis.breakers import RedisBreakers
from tests import engines, redis_servers
from tests.redis_servers import PASSWORD

PREFIX = "breaking"
SECRET = quote(PASSWORD, safe="")
Opener = Callable[[], BreakerStore]


@contextmanager
def in_the_process(home: Path) -> Iterator[Opener]:
    del home
    one = LocalBreakers()
    yield lambda: one


@contextmanager
def on_redis(home: Path) -> Iterator[Opener]:
    url = embedded.up(home, ("redis",)).redis_url
    with Redis.from_url(url) as admin:
        admin.flushall()
    yield lambda: RedisBreakers(url, PREFIX)


@contextmanager
def on_a_cluster(home: Path) -> Iterator[Opener]:
    del home
    with redis_servers.cluster() as nodes:
        yield lambda: RedisBreakers(f"redis+cluster://:{SECRET}@127.0.0.1:{nodes[0].port}", PREFIX)


STORES: dict[str, Callable[[Path], AbstractContextManager[Opener]]] = {
    "process": in_the_process,
    "redis": on_redis,
    "cluster": on_a_cluster,
}


@pytest.fixture(params=STORES)
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    monkeypatch.setattr(keys, "BREAKER_ANSWER_SECONDS", 5.0)  # who has no answer goes by what he knows himself: tests of that say so
    with STORES[request.param](request.getfixturevalue("home")) as found:
        yield found


class Dependency:
    """Something that is called through its breaker: up or down as the test says; counts who comes through."""

    def __init__(self, opener: Opener, *, failures: int = 3, seconds: float = 30.0) -> None:
        self.one, self.other = opener(), opener()
        self._failures, self._seconds = failures, seconds
        self.error: Exception | None = None
        self.calls = 0

    def __call__(self, store: BreakerStore | None = None) -> str:
        def call() -> str:
            self.calls += 1
            if self.error is not None:
                raise self.error
            return "well"

        found = store or self.one
        return breakers.through(found, "graph", call, outages={"graph_unavailable"}, failures=self._failures, seconds=self._seconds)

    def fails(self, code: str, store: BreakerStore | None = None) -> None:
        with pytest.raises((Unavailable, Refused)) as error:
            self(store)
        assert error.value.code == code

    def down(self) -> None:
        self.error = Unavailable("graph_unavailable", "It is away.")

    def await_the_next_probe(self) -> None:
        """The pause before it is short; the one after it is as long as `seconds` says."""
        self.one.open("graph", seconds=0.05, reason="graph_unavailable")
        engines.until(lambda: self.other.look("graph").mode == "half-open", "the pause ends")


def test_it_opens_after_some_failures_in_a_row_and_then_calls_nobody(opener: Opener) -> None:
    dependency = Dependency(opener)
    dependency.down()
    for n in range(3):
        assert dependency.one.look("graph").mode == "closed"
        dependency.fails("graph_unavailable", [dependency.one, dependency.other][n % 2])
    for store in (dependency.one, dependency.other):
        found = store.look("graph")
        assert (found.mode, found.failures, found.reason) == ("open", 3, "graph_unavailable")
        assert 0 < (found.probe_in_seconds or 0) <= 30
        dependency.fails("breaker_open", store)
    assert dependency.calls == 3
    assert dependency.one.look("embedder").mode == "closed", "each dependency has its own"


def test_whoever_waits_as_long_as_he_was_told_meets_the_probe() -> None:
    for left in (0.0, 0.0004, 0.29996, 30.0):
        told = breakers.away("graph", Breaker("open", 3, reason="graph_unavailable", probe_in_seconds=left)).detail["probe_in_seconds"]
        assert left <= told < left + 0.001001


def test_a_success_in_between_starts_the_count_anew(opener: Opener) -> None:
    dependency = Dependency(opener)
    for _ in range(4):
        dependency.down()
        dependency.fails("graph_unavailable")
        dependency.fails("graph_unavailable", dependency.other)
        dependency.error = None
        assert dependency() == "well"
        assert dependency.other.look("graph").failures == 0


def test_one_caller_a_period_is_the_probe_and_its_success_closes_it(opener: Opener) -> None:
    dependency = Dependency(opener, failures=1)
    dependency.down()
    dependency.fails("graph_unavailable")
    dependency.await_the_next_probe()
    dependency.fails("graph_unavailable", dependency.other)  # the probe
    dependency.fails("breaker_open", dependency.one)
    assert dependency.calls == 2
    dependency.error = None
    dependency.await_the_next_probe()
    assert dependency(dependency.other) == "well"
    assert dependency.one.look("graph").mode == "closed"
    assert dependency(dependency.one) == "well"


def test_of_many_callers_at_once_one_is_the_probe(opener: Opener) -> None:
    dependency = Dependency(opener, failures=1)
    dependency.down()
    dependency.fails("graph_unavailable")
    dependency.await_the_next_probe()

    def come(store: BreakerStore) -> str:
        try:
            return dependency(store)
        except Unavailable as error:
            return error.code

    stores = [dependency.one, dependency.other] * 4
    came = engines.at_once(*(lambda store=store: come(store) for store in stores))
    assert sorted(came).count("graph_unavailable") == 1
    assert dependency.calls == 2


def test_a_probe_whose_maker_died_holds_up_nobody(opener: Opener) -> None:
    store, other = opener(), opener()
    store.open("graph", seconds=0.1, reason="graph_unavailable")
    other.look("graph")  # it is connected from here on
    engines.until(lambda: store.probe("graph", seconds=2), "the probe is ours")  # and nothing comes of it
    assert not other.probe("graph", seconds=2)
    engines.until(lambda: other.probe("graph", seconds=2), "the next one may")


def test_what_says_nothing_about_the_dependency_neither_opens_nor_closes(opener: Opener) -> None:
    dependency = Dependency(opener, failures=1, seconds=0.1)
    dependency.error = Unavailable("record_unavailable", "Somebody else is away.")
    for _ in range(3):
        dependency.fails("record_unavailable")
    assert dependency.one.look("graph").mode == "closed"
    dependency.down()
    dependency.fails("graph_unavailable")
    engines.until(lambda: dependency.one.look("graph").mode == "half-open", "the period ends")
    dependency.error = Unavailable("record_unavailable", "Somebody else is away.")
    dependency.fails("record_unavailable")
    assert dependency.one.look("graph").mode != "closed"
    dependency.error = Refused("graph_error", "It refuses a statement, so it is there.")
    engines.until(lambda: dependency.one.look("graph").mode == "half-open", "the period ends")
    dependency.fails("graph_error")
    assert dependency.one.look("graph").mode == "closed"


def test_once_the_dependency_has_failed_an_outage_elsewhere_is_not_counted_with_it(opener: Opener) -> None:
    dependency = Dependency(opener, failures=2)
    dependency.down()
    dependency.fails("graph_unavailable")
    dependency.error = Unavailable("record_unavailable", "Somebody else is away.")
    for store in (dependency.one, dependency.other, dependency.one):
        dependency.fails("record_unavailable", store)
        found = store.look("graph")
        assert (found.mode, found.failures) == ("closed", 1)
    dependency.down()
    dependency.fails("graph_unavailable")
    assert dependency.other.look("graph").mode == "open"


def test_a_graph_that_has_answered_with_a_moved_marker_is_there(opener: Opener) -> None:
    """A killed graph often comes back as it was a while ago: the probe finds that out, and is no failure."""
    dependency = Dependency(opener, failures=1, seconds=0.1)
    dependency.down()
    dependency.fails("graph_unavailable")
    engines.until(lambda: dependency.one.look("graph").mode == "half-open", "the period ends")
    dependency.error = MarkerMoved()
    with pytest.raises(MarkerMoved):
        dependency()
    assert dependency.other.look("graph").mode == "closed"


def test_without_redis_a_process_goes_by_what_it_knows_itself() -> None:
    dependency = Dependency(lambda: RedisBreakers("redis://127.0.0.1:1", PREFIX), failures=2)
    dependency.down()
    dependency.fails("graph_unavailable")
    dependency.fails("graph_unavailable")
    dependency.fails("breaker_open")
    found = dependency.one.look("graph")
    assert (found.mode, found.shared) == ("open", False)
    assert dependency.other.look("graph").mode == "closed"


def test_a_redis_that_goes_away_leaves_what_was_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "BREAKER_SECONDS", 0.05)
    with redis_servers.server() as server:
        dependency = Dependency(lambda: RedisBreakers(f"redis://:{SECRET}@127.0.0.1:{server.port}", PREFIX), failures=1)
        dependency.down()
        dependency.fails("graph_unavailable")
        assert dependency.one.look("graph").shared
    found = dependency.one.look("graph")
    assert (found.mode, found.shared) == ("open", False)


def test_every_key_is_under_the_streams_hash_tag() -> None:
    names = [keys.stream(PREFIX), keys.breaker(PREFIX, "graph"), keys.breaker_pause(PREFIX, "graph")]
    assert all(name.startswith(f"{{{PREFIX}}}:") for name in names)
    assert len(set(names)) == 3
