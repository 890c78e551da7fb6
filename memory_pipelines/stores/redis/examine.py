"""What `doctor` looks at in Redis: read from `INFO` and `ACL`, since managed services refuse `CONFIG`. Nothing is written.

To add a check: a function of the server's answers that returns `Check`s. Must stay out: the stream itself (`streams.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import redis
from redis.cluster import RedisCluster

from memory_pipelines.domain.diagnosis import Check, Examination, error, ok, warning
from memory_pipelines.stores.redis import keys
from memory_pipelines.stores.redis.address import parse
from memory_pipelines.stores.redis.connection import ERRORS, Connection

OLDEST_SERVER = (6, 2)
_NEEDED = ("xadd", "xreadgroup", "xread", "xautoclaim", "xack", "xgroup", "xinfo", "xpending", "xtrim", "xlen", "xrevrange")


class RedisExaminer:
    """`ports.Examiner` of the event stream's Redis.

    Args:
        url: see `address.py`.
        prefix: first part of every key.
        certificates: file of the certificates to trust, with TLS.
    """

    def __init__(self, url: str, prefix: str, *, certificates: Path | None = None) -> None:
        self._connection = Connection(parse(url, certificates=certificates), timeout=keys.SILENCE_SECONDS)
        self._key = keys.stream(prefix)

    def examine(self) -> Examination:
        """Look at the version, what it does when memory is full, what a restart leaves, and what the user may do."""
        try:
            info: dict[str, Any] = {}
            for section in ("server", "memory", "persistence", "replication"):
                info |= self._connection.info(section, self._key)
            return Examination((*version(info), *eviction(info), *persistence(info), *self._permissions(info)))
        except ERRORS as failure:
            fix = "Start it, or correct MEMORY_REDIS_URL. Until then saves succeed, and are found more slowly."
            return Examination((error("redis.connection", f"Redis did not answer: {_said(failure)}", fix),))
        finally:
            self._connection.close()

    def _permissions(self, info: Mapping[str, Any]) -> Iterable[Check]:
        if _numbers(info) < (7, 0):
            yield ok("redis.permissions", "not looked at: Redis before 7.0 cannot be asked without writing")
            return
        try:
            client = self._connection.client
            if isinstance(client, RedisCluster):
                client = client.get_redis_connection(client.get_node_from_key(self._key))  # type: ignore[no-untyped-call]
            user = str(client.acl_whoami())
            refused = [name for name in _NEEDED if str(client.acl_dryrun(user, name, *_arguments(name, self._key))) != "OK"]
        except redis.ResponseError as failure:
            fix = "Let the user call ACL WHOAMI and ACL DRYRUN, or see for yourself that it may use streams."
            yield warning("redis.permissions", f"could not look: {_said(failure)}", fix)
            return
        if refused:
            yield error("redis.permissions", f"user {user} may not: {', '.join(refused)}", f"ACL SETUSER {user} ~{self._key} +@stream")
        else:
            yield ok("redis.permissions", f"user {user} may use the stream")


def version(info: Mapping[str, Any]) -> Iterable[Check]:
    """Streams with `XAUTOCLAIM` came with 6.2; a replica takes no entries."""
    if _numbers(info) < OLDEST_SERVER:
        yield error("redis.server", f"Redis {info.get('redis_version')}", "Upgrade to Redis 6.2 or later.")
    else:
        yield ok("redis.server", f"Redis {info.get('redis_version')}")
    if info.get("role", "master") != "master":
        yield error("redis.writable", "a replica, which takes no events", "Set MEMORY_REDIS_URL to the primary.")


def eviction(info: Mapping[str, Any]) -> Iterable[Check]:
    """A Redis that drops keys when memory is full drops the stream too."""
    policy = info.get("maxmemory_policy")
    if policy is None:
        yield warning("redis.eviction", "its policy could not be read from INFO", "See that maxmemory-policy is noeviction.")
    elif policy != "noeviction" and not str(policy).startswith("volatile"):
        yield error("redis.eviction", f"maxmemory-policy {policy}: the stream may be dropped", "Set maxmemory-policy noeviction.")
    else:
        yield ok("redis.eviction", f"maxmemory-policy {policy}")
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most and used > 0.9 * most:
        yield warning(
            "redis.memory", f"{used / most:.0%} of {most:,} bytes are in use", "Raise maxmemory: when it is full, events are refused."
        )


def persistence(info: Mapping[str, Any]) -> Iterable[Check]:
    """Redis holds nothing that the ledger does not: not to persist costs a full look after a restart."""
    if info.get("loading"):
        yield warning("redis.persistence", "it is loading its data", "Wait until it has.")
    if info.get("aof_enabled"):
        if info.get("aof_last_write_status", "ok") != "ok":
            yield error("redis.persistence", "its append-only file could not be written", "See its log: the disk may be full.")
        else:
            yield ok("redis.persistence", "append-only file")
    elif info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield error("redis.persistence", "its last snapshot failed; writes may be refused", "See its log: the disk may be full.")
    else:
        yield warning(
            "redis.persistence",
            "no append-only file",
            "appendonly yes: otherwise a restart forgets events, and the ledger is read instead.",
        )


def _arguments(command: str, key: str) -> tuple[str, ...]:
    """Arguments in the form that each command wants; none is carried out."""
    return {
        "xadd": (key, "*", "v", "1"), "xreadgroup": ("GROUP", "graph", "doctor", "STREAMS", key, ">"), "xread": ("STREAMS", key, "0"),
        "xautoclaim": (key, "graph", "doctor", "1", "0"), "xack": (key, "graph", "0-0"), "xgroup": ("CREATE", key, "graph", "0"),
        "xinfo": ("GROUPS", key), "xpending": (key, "graph"), "xtrim": (key, "MINID", "0"), "xlen": (key,), "xrevrange": (key, "+", "-"),
    }[command]  # fmt: skip


def _numbers(info: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", str(info.get("redis_version", "")))[:2])


def _said(failure: Exception) -> str:
    text = str(failure).strip()
    return text.splitlines()[0][:200] if text else type(failure).__name__
