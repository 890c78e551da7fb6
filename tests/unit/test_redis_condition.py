"""What `INFO` is taken to mean, also of servers that hide part of it. Real servers stand in `tests/integration/test_redis.py`."""

from __future__ import annotations

from typing import Any

import pytest

from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.stores.redis.condition import check, warnings

SOUND: dict[str, Any] = {
    "redis_version": "7.4.1", "maxmemory_policy": "noeviction", "aof_enabled": 1, "aof_last_write_status": "ok",
    "rdb_last_bgsave_time_sec": -1, "rdb_last_bgsave_status": "ok",
}  # fmt: skip


def test_a_sound_server_is_left_alone() -> None:
    check(SOUND, "here")
    assert warnings(SOUND) == ()


@pytest.mark.parametrize("version", ["6.0.16", "5.0", "2.8.24"])
def test_a_server_that_lacks_what_the_stream_needs_is_refused(version: str) -> None:
    with pytest.raises(ConfigurationError, match=r"needs 6\.2") as error:
        check(SOUND | {"redis_version": version}, "here")
    assert error.value.code == "redis_too_old"


@pytest.mark.parametrize("version", ["6.2", "6.2.14", "7.0.0-rc1", "10.0.0"])
def test_a_server_that_is_new_enough_is_not(version: str) -> None:
    check(SOUND | {"redis_version": version}, "here")


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_a_server_that_may_drop_the_stream_is_refused_with_the_fix(policy: str) -> None:
    with pytest.raises(ConfigurationError, match="Set maxmemory-policy to noeviction") as error:
        check(SOUND | {"maxmemory_policy": policy}, "host:6379")
    assert error.value.code == "redis_evicts"
    assert "host:6379" in error.value.message


def test_a_server_that_drops_only_what_expires_spares_the_stream() -> None:
    check(SOUND | {"maxmemory_policy": "volatile-lru"}, "here")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"aof_enabled": 0}, "no append-only file"),
        ({"aof_last_write_status": "err"}, "append-only file"),
        ({"rdb_last_bgsave_status": "err"}, "snapshot failed"),
        ({"redis_version": "unknown"}, "version"),
        ({"redis_version": None}, "version"),
    ],
)
def test_what_may_lose_events_is_a_warning(change: dict[str, Any], said: str) -> None:
    (warning,) = warnings(SOUND | change)
    assert said in warning


@pytest.mark.parametrize("snapshot", [{"rdb_last_bgsave_time_sec": 0}, {"rdb_saves": 3}])
def test_snapshots_are_persistence_too(snapshot: dict[str, int]) -> None:
    assert warnings(SOUND | {"aof_enabled": 0} | snapshot) == ()


def test_what_a_server_hides_is_said_to_be_unknown() -> None:
    check({}, "here")
    assert len(warnings({})) == 3
