"""The event stream: `XADD` after each commit, one consumer group per projection. Events say what to look at, never what to write.

What an entry holds says `domain/events.py`. Losing it, or all of Redis, costs time: the ledger owes what it named.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis

from memory_pipelines.domain import events
from memory_pipelines.domain.errors import ConfigurationError, Unavailable
from memory_pipelines.domain.models import PROJECTIONS, Ref
from memory_pipelines.ports import Breaker, StreamEntry
from memory_pipelines.stores.redis import condition, keys
from memory_pipelines.stores.redis.address import parse
from memory_pipelines.stores.redis.connection import ERRORS, Connection
from memory_pipelines.stores.redis.courier import Courier

_log = logging.getLogger(__name__)
_SERVERS = {"standalone": "Redis", "sentinel": "Redis by Sentinel", "cluster": "Redis Cluster"}


class RedisStream:
    """`ports.EventStream` on Redis 6.2+.

    Args:
        url: see `address.py`.
        prefix: first part of every key.
        certificates: file of the certificates to trust, with TLS; the system's when empty.

    Raises:
        ConfigurationError: `config_invalid`; nothing is connected yet.
    """

    def __init__(self, url: str, prefix: str, *, certificates: Path | None = None) -> None:
        self._address = address = parse(url, certificates=certificates)
        local = address.path is not None
        # Three of them: publishing must never hold up a save; reading and waiting block on purpose, but never for ever.
        publishing = keys.PUBLISH_SECONDS if local else keys.PROBE_SECONDS
        self._quick = Connection(address, timeout=publishing, connecting=publishing, again=0 if local else 1)
        self._patient = Connection(address, timeout=keys.SILENCE_SECONDS)
        self._waiting = Connection(address, timeout=keys.LONGEST_BLOCK_SECONDS + keys.SILENCE_SECONDS)
        self._courier = Courier(direct=local)
        self._key = keys.stream(prefix)
        self._groups: set[str] = set()
        self._looked = False
        self._full = False  # at its bound: nothing is published, and the ledger owes
        self._unlooked = 0  # events to publish until its length is looked at

    def publish(self, refs: Sequence[Ref]) -> bool:
        """See `ports.EventStream.publish`. A Redis that is away costs one save 100 ms, and the others nothing (`courier.py`)."""
        if not refs:
            return True
        return self._courier.deliver(lambda: self._put(events.write(refs))) and not self._full

    def read(self, group: str, consumer: str, *, count: int, block_ms: int) -> list[StreamEntry]:
        """See `ports.EventStream.read`."""
        try:
            self._look_once()
            self._ensure(group)
            idle = int(keys.DEAD_CONSUMER_SECONDS * 1000)
            claimed: Any = self._patient.client.xautoclaim(self._key, group, consumer, min_idle_time=idle, count=count)
            entries = [entry for entry in claimed[1] if entry[1]]
            if not entries:
                blocking = self._patient if block_ms <= 1000 else self._waiting
                answer: Any = blocking.client.xreadgroup(group, consumer, {self._key: ">"}, count=count, block=_block(block_ms))
                entries = answer[0][1] if answer else []
        except redis.ResponseError as error:
            self._groups.discard(group)
            if "NOGROUP" not in str(error):
                raise Unavailable("stream_unavailable", f"Redis refused to read the stream: {error}") from error
            return []  # emptied while we read; the group is made again at the next read
        except ERRORS as error:
            self._groups.discard(group)
            raise Unavailable("stream_unavailable", "Redis did not answer. The ledger goes on without it.") from error
        return [_entry(id_, fields) for id_, fields in entries]

    def acknowledge(self, group: str, ids: Sequence[str]) -> None:
        """See `ports.EventStream.acknowledge`."""
        if not ids:
            return
        try:
            self._patient.client.xack(self._key, group, *ids)
            with suppress(redis.ResponseError):  # the stream or a group is gone: so is what there was to trim
                self._trim()
        except ERRORS as error:
            raise Unavailable("stream_unavailable", "Redis did not take an acknowledgement; the entries will be seen again.") from error

    def wait(self, after: str, *, block_ms: int) -> str:
        """See `ports.EventStream.wait`."""
        try:
            answer: Any = self._waiting.client.xread({self._key: after}, count=1000, block=_block(block_ms))
        except ERRORS as error:
            raise Unavailable("stream_unavailable", "Redis did not answer. The ledger goes on without it.") from error
        return str(answer[0][1][-1][0]) if answer else after

    def last_id(self) -> str:
        """See `ports.EventStream.last_id`."""
        try:
            newest: Any = self._patient.client.xrevrange(self._key, count=1)
        except ERRORS as error:
            raise Unavailable("stream_unavailable", "Redis did not answer.") from error
        return str(newest[0][0]) if newest else "0-0"

    def health(self) -> Mapping[str, Any]:
        """What answers: `server`, `version`, how many `entries` wait, its eviction `policy`, and `warnings` where there are any.

        Raises:
            Unavailable: `stream_unavailable`.
            ConfigurationError: `redis_unauthorised`, `redis_too_old`, `redis_evicts`: the stream cannot be relied on. Saves and drains
                go on all the same, from the ledger.
        """
        try:
            info = self._info(self._quick)
            condition.check(info, self._address.places)
            entries = int(self._quick.client.xlen(self._key))
        except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
            raise ConfigurationError(
                "redis_unauthorised",
                f"The Redis at {self._address.places} refused the user, the password or a command: see MEMORY_REDIS_URL and the user's ACL"
                " (docs/operating.md says which commands the stream needs).",
            ) from error
        except ERRORS as error:
            raise Unavailable("stream_unavailable", f"The Redis at {self._address.places} did not answer. Is it running?") from error
        facts = {"server": _SERVERS[self._address.topology], "version": str(info.get("redis_version", "unknown")), "entries": entries}
        full = (keys.FULL,) if entries >= keys.STREAM_LENGTH else ()
        return facts | {"policy": str(info.get("maxmemory_policy", "unknown")), "warnings": (*full, *condition.warnings(info))}

    def breaker(self) -> Breaker:
        """See `ports.EventStream.breaker`."""
        return self._courier.breaker()

    def close(self) -> None:
        """Close the connections."""
        self._courier.close()
        for connection in (self._quick, self._patient, self._waiting):
            connection.close()

    def _put(self, entry: dict[Any, Any]) -> None:
        """Add an entry, unless the stream is at its bound: what a group has not settled is never trimmed to make room."""
        if self._unlooked == 0 or self._full:
            self._full = int(self._quick.client.xlen(self._key)) >= keys.STREAM_LENGTH
            self._unlooked = keys.STREAM_LOOK_EVERY
        if not self._full:
            self._unlooked -= 1
            self._quick.client.xadd(self._key, entry)

    def _info(self, connection: Connection) -> dict[str, Any]:
        """What `INFO` says; nothing where the user may not ask."""
        found: dict[str, Any] = {}
        for section in ("server", "memory", "persistence"):
            with suppress(redis.exceptions.NoPermissionError):
                found |= connection.info(section, self._key)
        return found

    def _look_once(self) -> None:
        """Say in the log, once a process, what endangers the stream. It stops nobody: the ledger goes on without a stream."""
        if self._looked:
            return
        info = self._info(self._patient)
        self._looked = True
        try:
            condition.check(info, self._address.places)
        except ConfigurationError as error:
            _log.error("%s (%s)", error.message, error.code)
        for warning in condition.warnings(info):
            _log.warning("Redis: %s", warning)

    def _ensure(self, group: str) -> None:
        if group in self._groups:
            return
        try:
            self._patient.client.xgroup_create(self._key, group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._groups.add(group)

    def _trim(self) -> None:
        """Drop entries that every group has acknowledged; a projection's group that was never made holds everything."""
        groups = {info["name"]: info for info in self._patient.client.xinfo_groups(self._key)}
        if not set(PROJECTIONS) <= set(groups):
            return
        oldest = []
        for name, group in groups.items():
            first = self._patient.client.xpending(self._key, name)["min"] if group["pending"] else None
            if first is None:  # nothing is pending, or no longer: its drain has acknowledged since we asked
                milliseconds, sequence = group["last-delivered-id"].split("-")
                first = f"{milliseconds}-{int(sequence) + 1}"
            oldest.append(first)
        lowest = min(oldest, key=lambda id_: tuple(int(part) for part in id_.split("-")))
        self._patient.client.xtrim(self._key, minid=lowest, approximate=True)


def _block(milliseconds: int) -> int:
    return min(max(milliseconds, 1), int(keys.LONGEST_BLOCK_SECONDS * 1000))


def _entry(id_: str, fields: Mapping[str, str]) -> StreamEntry:
    refs, problem = events.read(fields)
    return StreamEntry(id_, refs) if problem is None else StreamEntry(id_, (), problem, events.payload(fields))
