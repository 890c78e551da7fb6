"""The graph is away for long: saves go on, the ledger grows, nothing spins or is parked, and drains resume by themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.assets import queue
from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.services.sync import sync
from tests import engines
from tests.integration import faults
from tests.integration.test_kills import all_is_well, row

SECONDS = 1.0


@pytest.fixture
def brittle(own_home: Path) -> Settings:
    """Engines that may be killed, and a breaker that opens and probes quickly."""
    settings = engines.settings_for(own_home, lease_seconds=1.0, batch_rows=20, breaker_failures=3, breaker_seconds=SECONDS)
    engines.empty(settings)
    return settings


@pytest.fixture
def client(brittle: Settings) -> Iterator[MemoryClient]:
    with MemoryClient.from_env(brittle) as client:
        client.health()  # what is embedded starts when it is first opened; from now on it is away when it is killed
        yield client


def open_breaker(client: MemoryClient) -> None:
    with pytest.raises(Unavailable):
        sync.drain(client._platform, "graph", quiet_seconds=0.0)


def test_while_the_graph_is_away_saves_go_on_and_drains_end_at_once_and_resume_by_themselves(
    client: MemoryClient, brittle: Settings
) -> None:
    ids = [client.save_many([row(n)])[0].id for n in range(10)]
    client.sync("entities", "embeddings")
    faults.kill(brittle, "graph")
    open_breaker(client)
    breaker = client.status().breakers["graph"]
    assert (breaker["mode"] == "closed", breaker["reason"], breaker["shared"]) == (False, "graph_unavailable", True)
    owed = client.status().owed["graph"]
    ids += [client.save_many([row(n)])[0].id for n in range(10, 30)]
    assert client.status().owed["graph"] > owed
    with MemoryClient.from_env(brittle) as other:  # another process would see the same
        engines.until(lambda: not other._platform.breakers.probe("graph", seconds=SECONDS), "a period begins")
        started = time.monotonic()
        with pytest.raises(Unavailable) as error:
            sync.drain(other._platform, "graph")
        assert (error.value.code, error.value.detail["dependency"]) == ("breaker_open", "graph")
        assert time.monotonic() - started < 0.5
        assert other._platform.record.status(30)["projections"]["graph"]["draining"] is False
    status = client.status()
    assert status.parked == 0
    with engines.connect(brittle) as connection:
        assert connection.execute("select max(attempts) from memory.ledger").fetchone() == (0,)
    faults.start(brittle, "graph")
    client.sync()
    assert client.status().breakers["graph"]["mode"] == "closed"
    all_is_well(client, ids)


def test_the_sensor_asks_for_no_run_while_the_breaker_is_open_and_for_one_probe_a_period(client: MemoryClient, brittle: Settings) -> None:
    client.save("Ada lives in Porto.")
    client.sync("entities", "embeddings")
    faults.kill(brittle, "graph")
    open_breaker(client)
    platform, memo = client._platform, queue.Memo()
    engines.until(lambda: not platform.breakers.probe("graph", seconds=SECONDS), "a period begins")
    found = queue.look(platform, "graph", memo)
    assert found.state == "away"
    assert "breaker has been open" in found.reason
    assert "graph_unavailable" in found.reason
    assert queue.look(platform, "embeddings", memo).state == "idle", "the others go on"
    engines.until(lambda: queue.look(platform, "graph", memo).state == "wanted", "the next run is the probe")
    faults.start(brittle, "graph")
    client.sync()
    assert queue.look(platform, "graph", memo).state == "idle"


def test_without_redis_too_a_breaker_opens_and_closes(brittle: Settings) -> None:
    alone = brittle.model_copy(update={"redis_url": engines.settings_for(brittle.home, redis_url="unix:///nowhere/redis.sock").redis_url})
    with MemoryClient.from_env(alone) as client:
        saved = client.save("Ada lives in Porto.").id
        client.health()
        client.sync("entities", "embeddings")
        faults.kill(brittle, "graph")
        open_breaker(client)
        breaker = client.status().breakers["graph"]
        assert (breaker["mode"] == "closed", breaker["shared"]) == (False, False)
        assert client.status().breakers["redis"]["mode"] != "closed"
        faults.start(brittle, "graph")
        client.sync()
        assert client.sync_state(saved).settled


def test_an_event_that_was_never_published_or_is_gone_is_still_done(client: MemoryClient, brittle: Settings) -> None:
    first = client.save("Ada lives in Porto.").id
    with engines.redis_server(brittle) as server:
        (stream,) = server.scan_iter("*events")
        server.xtrim(stream, maxlen=0, approximate=False)
        second = client.save("Ben lives in Rome.").id
        server.delete(stream)
    with engines.connect(brittle) as connection:
        connection.execute("update memory.ledger set owed_since = now() - interval '400 days' where owed_number is not null")
    client.sync()
    all_is_well(client, [first, second])


def test_a_malformed_event_is_parked_with_what_it_held_and_stops_nobody(client: MemoryClient, brittle: Settings) -> None:
    first = client.save("Ada lives in Porto.").id
    with engines.redis_server(brittle) as server:
        (stream,) = server.scan_iter("*events")
        entry = server.xadd(stream, {"v": "9", "what": "from tomorrow"})
        second = client.save("Ben lives in Rome.").id
        for projection in ("entities", "embeddings", "graph"):
            sync.drain(client._platform, projection, quiet_seconds=0.2)
            assert server.xpending(stream, projection)["pending"] == 0
    letters = list(client.dead_letters())
    assert sorted(letter.projection for letter in letters) == ["embeddings", "entities", "graph"]
    assert {letter.id for letter in letters} == {entry}
    assert all("from tomorrow" in (letter.payload or "") for letter in letters)
    assert client.status().dead_events == 3
    client.sync()
    assert all(client.sync_state(id_).settled for id_ in (first, second))
    done = client.retry_dead(*(letter.name for letter in letters))
    assert (done.events, len(done.unreadable)) == (0, 3), "it still cannot be read"
    assert client.drop_dead(*(letter.name for letter in letters)).events == 3
    assert client.status().dead_events == 0


def test_a_drain_that_is_killed_between_parking_an_event_and_acknowledging_it_parks_it_once(
    client: MemoryClient, brittle: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from memory_pipelines.stores.redis import keys

    saved = client.save("Ada lives in Porto.").id
    with engines.redis_server(brittle) as server:
        (stream,) = server.scan_iter("*events")
        server.xadd(stream, {"v": "9"})
        faults.killed_at(brittle, "events.parked", "sync.drain(client._platform, 'graph')")
        assert server.xpending(stream, "graph")["pending"] == 2, "nothing was acknowledged"
        assert client.status().dead_events == 1
        monkeypatch.setattr(keys, "DEAD_CONSUMER_SECONDS", 0.0)
        client.sync()
        assert server.xpending(stream, "graph")["pending"] == 0
    assert client.status().dead_events == 3, "one for each projection"
    assert client.sync_state(saved).settled


def test_a_dropped_row_stays_a_finding_through_repairs_until_it_changes(client: MemoryClient) -> None:
    saved = client.save("Ada lives in Porto.").id
    client.sync("entities", "embeddings")
    platform = client._platform
    (owed,) = [one for one in platform.record.claim("graph", refs=None, limit=99, owed_for_seconds=0).rows if one.id == saved]
    charge = {"kind": "memory", "id": saved, "number": owed.number, "error": "too odd", "code": "odd", "final": True}
    platform.record.fail("graph", [charge | {"revision": (owed.state or {})["revision"]}], max_attempts=5)
    assert client.drop_dead(f"graph:memory:{saved}").rows == 1
    client.sync()
    for _ in range(2):
        verdict = client.audit(repair=True)
        assert {finding.kind for finding in verdict.findings if finding.store == "ledger"} == {"given_up"}
    assert client.dead_letter(saved)[0].dropped_at is not None
    client.update(saved, text="Ada lives in Rome.")
    client.sync()
    all_is_well(client, [saved])
