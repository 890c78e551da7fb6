"""A real Redis of a user's own: what is wrong with it is said, and its failures cost a save a moment, once, and no change."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import quote

import pytest
import redis

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import ConfigurationError, Unavailable
from memory_pipelines.domain.models import Ref
from memory_pipelines.stores.redis import keys
from memory_pipelines.stores.redis.streams import RedisStream
from tests import engines, redis_servers
from tests.redis_servers import PASSWORD, SERVICE, Server
from tests.streams import PREFIX

SECRET = quote(PASSWORD, safe="")
A, B = Ref("memory", "a"), Ref("memory", "b")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for the module; a test that changes its settings puts them back."""
    with redis_servers.server() as running:
        yield running


def stream_at(server: Server, password: str = SECRET) -> RedisStream:
    return RedisStream(f"redis://:{password}@127.0.0.1:{server.port}", PREFIX)


@contextmanager
def configured(server: Server, changes: dict[str, str]) -> Iterator[None]:
    """A server with other settings for a while."""
    before = {name: server.admin.config_get(name)[name] for name in changes}  # type: ignore[index]
    for name, value in changes.items():
        server.admin.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            server.admin.config_set(name, value)


# -- what is said --------------------------------------------------------------------------------------------------------


def test_an_evicting_redis_is_an_error_with_the_fix_and_carries_all_the_same(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with configured(server, {"maxmemory-policy": "allkeys-lru"}), closing(stream_at(server)) as stream:
        with pytest.raises(ConfigurationError, match="noeviction") as error:
            stream.health()
        assert error.value.code == "redis_evicts"
        assert stream.publish([A])
        with caplog.at_level(logging.ERROR):
            for _ in range(2):
                stream.acknowledge("graph", [entry.id for entry in stream.read("graph", "one", count=10, block_ms=1)])
        assert [record.levelname for record in caplog.records if "redis_evicts" in record.message] == ["ERROR"]  # once a process


def test_a_redis_without_persistence_is_a_warning_and_one_that_has_some_is_not(server: Server) -> None:
    with closing(stream_at(server)) as stream:
        assert ["appendonly" in warning for warning in stream.health()["warnings"]] == [True]
        with configured(server, {"appendonly": "yes"}):
            engines.until(lambda: not stream.health()["warnings"], "the append-only file is on")


def test_status_fails_on_an_evicting_redis_while_sync_goes_on(server: Server, settings: Settings) -> None:
    engines.empty(settings)
    own = engines.settings_for(settings.home, redis_url=f"redis://:{SECRET}@127.0.0.1:{server.port}")
    with configured(server, {"maxmemory-policy": "allkeys-lru"}), MemoryClient.from_env(own) as client:
        client.save("Kept in step without the stream's help.")
        assert sum(result.done for result in client.sync()) > 0
        found = client.status().engines["redis"]
        assert (found["ok"], found["error"], found["address"]) == (False, "redis_evicts", f"127.0.0.1:{server.port}")
        assert not any(client.status().owed.values())


@pytest.mark.parametrize("password", ["wrong-" + SECRET, ""])
def test_a_wrong_password_is_said_and_not_repeated(server: Server, password: str) -> None:
    with closing(stream_at(server, password)) as stream:
        assert not stream.publish([A])
        with pytest.raises(ConfigurationError) as error:
            stream.health()
        assert error.value.code == "redis_unauthorised"
        assert "wrong" not in error.value.message
        assert PASSWORD not in error.value.message
        with pytest.raises(Unavailable):  # which a drain takes for a reason to go on from the ledger
            stream.read("graph", "one", count=1, block_ms=1)


def test_a_certificate_that_nobody_vouches_for_is_refused(server: Server) -> None:
    with redis_servers.encrypted(server.port) as (port, certificate):
        for url, trusted in ((f"rediss://:{SECRET}@localhost:{port}", None), (f"rediss://:{SECRET}@127.0.0.2:{port}", certificate)):
            with closing(RedisStream(url, PREFIX, certificates=trusted)) as stream, pytest.raises(Unavailable):
                stream.health()


# -- away ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def dropping() -> Iterator[int]:
    """A port that drops whoever knocks: its queue is full, so the handshake is never answered."""
    with ExitStack() as exits:
        listener = exits.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        while True:
            knocking = exits.enter_context(socket.socket())
            knocking.settimeout(0.3)
            try:
                knocking.connect(("127.0.0.1", port))
            except TimeoutError:
                break
        yield port


FORMS = [
    "redis://127.0.0.1:{0}",
    "redis+sentinel://127.0.0.1:{0},localhost:{0},127.0.0.1:{0}/service",
    "redis+cluster://127.0.0.1:{0},localhost:{0}",
]


@pytest.mark.parametrize("form", FORMS)
def test_an_address_that_drops_packets_is_waited_for_once_and_probed_without_waiting(
    dropping: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs_one_save_a_moment(RedisStream(form.format(dropping), PREFIX), monkeypatch)


@pytest.mark.parametrize("form", FORMS)
def test_a_redis_that_is_frozen_is_waited_for_once_and_probed_without_waiting(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis_servers.server(password=None) as server, server.frozen():
        costs_one_save_a_moment(RedisStream(form.format(server.port), PREFIX), monkeypatch)


def costs_one_save_a_moment(stream: RedisStream, monkeypatch: pytest.MonkeyPatch) -> None:
    """One publish waits for 100 ms; the ones after it do not, whether they probe or not."""
    monkeypatch.setattr(keys, "BREAKER_SECONDS", 0.0)  # whoever finds no probe under way sends one
    monkeypatch.setattr(keys, "PUBLISH_SECONDS", 0.5)
    with closing(stream):
        started = time.monotonic()
        assert not stream.publish([A])
        first = time.monotonic() - started
        started = time.monotonic()
        assert not any(stream.publish([A]) for _ in range(200))
        assert time.monotonic() - started < first < 1.5  # two hundred of them together are quicker than the first
        assert first >= 0.5


def test_a_redis_that_woke_up_is_used_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "BREAKER_SECONDS", 0.05)
    with closing(stream_at(server)) as stream:
        assert stream.publish([A])
        with server.frozen():
            assert not stream.publish([A])
        engines.until(lambda: stream.publish([B]), "a probe has come through")


def test_a_first_connection_that_is_slow_is_no_reason_to_stay_away(server: Server) -> None:
    with closing(stream_at(server)) as stream:
        with server.frozen():
            assert not stream.publish([A])
        assert keys.BREAKER_SECONDS >= 5
        engines.until(lambda: stream.publish([B]), "what was late has come through", 4)


# -- Sentinel and cluster ------------------------------------------------------------------------------------------------


def test_after_a_failover_the_stream_goes_on_at_the_new_master(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "BREAKER_SECONDS", 0.1)
    with redis_servers.watched() as watched:
        url = f"redis+sentinel://:{SECRET}@127.0.0.1:{watched.sentinel.port}/{SERVICE}?sentinel_password={SECRET}"
        with closing(RedisStream(url, PREFIX)) as stream:
            assert stream.publish([A])
            assert stream.read("graph", "one", count=10, block_ms=1)
            engines.until(lambda: watched.replica.admin.xlen(keys.stream(PREFIX)), "the replica has the stream")
            watched.master.kill()
            assert not stream.publish([A])
            with pytest.raises(Unavailable):
                stream.read("graph", "one", count=10, block_ms=1)
            engines.until(lambda: watched.replica.admin.info("replication")["role"] == "master", "the replica is promoted", 30)  # type: ignore[index]
            engines.until(lambda: stream.publish([B]), "events go to the new master")
            entries = stream.read("graph", "one", count=10, block_ms=1)
            assert B in {ref for entry in entries for ref in entry.refs}
            stream.acknowledge("graph", [entry.id for entry in entries])
            assert stream.health()["server"] == "Redis by Sentinel"


def test_a_stream_whose_slot_moves_to_another_node_is_followed() -> None:
    with ExitStack() as exits:
        nodes = exits.enter_context(redis_servers.cluster())
        stream = exits.enter_context(closing(RedisStream(f"redis+cluster://:{SECRET}@127.0.0.1:{nodes[0].port}", PREFIX)))
        slot = int(nodes[0].admin.execute_command("CLUSTER KEYSLOT", keys.stream(PREFIX)))
        old = nodes[slot * 3 // 16384]
        new = nodes[(nodes.index(old) + 1) % 3]
        name = {node.port: node.admin.execute_command("CLUSTER MYID") for node in nodes}
        assert stream.publish([A])
        entries = stream.read("graph", "one", count=10, block_ms=1)
        stream.acknowledge("graph", [entry.id for entry in entries])
        new.admin.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", name[old.port])
        old.admin.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", name[new.port])
        old.admin.execute_command("MIGRATE", "127.0.0.1", new.port, keys.stream(PREFIX), 0, 5000, "AUTH", PASSWORD)
        for node in (new, old, *nodes):
            node.admin.execute_command("CLUSTER SETSLOT", slot, "NODE", name[new.port])
        assert stream.publish([B])
        assert [entry.refs for entry in stream.read("graph", "one", count=10, block_ms=1)] == [(B,)]
        assert new.admin.exists(keys.stream(PREFIX))


def test_what_a_cluster_takes_in_one_command_is_on_one_node() -> None:
    for key in (keys.stream("memory"), keys.stream("another:one")):
        tag = key[key.index("{") + 1 : key.index("}")]
        assert redis.crc.key_slot(key.encode()) == redis.crc.key_slot(tag.encode())
