"""The event stream: `XADD` after each commit, one consumer group per projection. Events say what to look at, never what to write.

An entry is `{"v": "1", "refs": "[[kind, id], …]"}`. Losing it, or all of Redis, costs time: the ledger owes what it named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pybreaker
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.domain.models import PROJECTIONS, Ref
from memory_pipelines.ports import StreamEntry
from memory_pipelines.stores.redis import keys


class RedisStream:
    """`ports.EventStream` on Redis 6.2+.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        prefix: first part of every key.
    """

    def __init__(self, url: str, prefix: str) -> None:
        # Three pools: publishing must never hold up a save; reading and waiting block on purpose, but never for ever.
        quick = {"socket_timeout": keys.PUBLISH_SECONDS, "socket_connect_timeout": keys.PUBLISH_SECONDS, "retry": None}
        # Bytes that are no text are somebody else's entry, malformed; they must not be an exception.
        text: dict[str, Any] = {"decode_responses": True, "encoding_errors": "replace"}
        self._quick = redis.Redis.from_url(url, **text, **quick)
        again = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))  # a connection that a restart has closed
        patient: dict[str, Any] = {**text, "socket_connect_timeout": 2.0, "retry": again}
        self._patient = redis.Redis.from_url(url, **patient, socket_timeout=keys.SILENCE_SECONDS)
        self._waiting = redis.Redis.from_url(url, **patient, socket_timeout=keys.LONGEST_BLOCK_SECONDS + keys.SILENCE_SECONDS)
        self._key = keys.stream(prefix)
        self._breaker = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=keys.BREAKER_SECONDS)
        self._groups: set[str] = set()

    def publish(self, refs: Sequence[Ref]) -> bool:
        """See `ports.EventStream.publish`. The breaker is this process's own: a dead Redis costs one save 100 ms, then nothing."""
        if not refs:
            return True
        entry: dict[Any, Any] = {"v": "1", "refs": json.dumps([[ref.kind, ref.id] for ref in refs], separators=(",", ":"))}
        try:
            self._breaker.call(self._quick.xadd, self._key, entry, maxlen=keys.STREAM_LENGTH, approximate=True)
        except (redis.RedisError, pybreaker.CircuitBreakerError):
            return False
        return True

    def read(self, group: str, consumer: str, *, count: int, block_ms: int) -> list[StreamEntry]:
        """See `ports.EventStream.read`."""
        try:
            self._ensure(group)
            idle = int(keys.DEAD_CONSUMER_SECONDS * 1000)
            claimed: Any = self._patient.xautoclaim(self._key, group, consumer, min_idle_time=idle, count=count)
            entries = [entry for entry in claimed[1] if entry[1]]
            if not entries:
                blocking = self._patient if block_ms <= 1000 else self._waiting
                answer: Any = blocking.xreadgroup(group, consumer, {self._key: ">"}, count=count, block=_block(block_ms))
                entries = answer[0][1] if answer else []
        except redis.ResponseError as error:
            self._groups.discard(group)
            if "NOGROUP" not in str(error):
                raise Unavailable("stream_unavailable", f"Redis refused to read the stream: {error}") from error
            return []  # emptied while we read; the group is made again at the next read
        except redis.RedisError as error:
            self._groups.discard(group)
            raise Unavailable("stream_unavailable", "Redis did not answer. The ledger goes on without it.") from error
        return [_entry(id_, fields) for id_, fields in entries]

    def acknowledge(self, group: str, ids: Sequence[str]) -> None:
        """See `ports.EventStream.acknowledge`."""
        if not ids:
            return
        try:
            self._patient.xack(self._key, group, *ids)
            with suppress(redis.ResponseError):  # the stream or a group is gone: so is what there was to trim
                self._trim()
        except redis.RedisError as error:
            raise Unavailable("stream_unavailable", "Redis did not take an acknowledgement; the entries will be seen again.") from error

    def wait(self, after: str, *, block_ms: int) -> str:
        """See `ports.EventStream.wait`."""
        try:
            answer: Any = self._waiting.xread({self._key: after}, count=1000, block=_block(block_ms))
        except redis.RedisError as error:
            raise Unavailable("stream_unavailable", "Redis did not answer. The ledger goes on without it.") from error
        return str(answer[0][1][-1][0]) if answer else after

    def last_id(self) -> str:
        """See `ports.EventStream.last_id`."""
        try:
            newest: Any = self._patient.xrevrange(self._key, count=1)
        except redis.RedisError as error:
            raise Unavailable("stream_unavailable", "Redis did not answer.") from error
        return str(newest[0][0]) if newest else "0-0"

    def health(self) -> Mapping[str, Any]:
        """Version, and how many entries wait."""
        try:
            return {"server": "Redis", "version": self._quick.info("server")["redis_version"], "entries": self._quick.xlen(self._key)}
        except redis.RedisError as error:
            raise Unavailable("stream_unavailable", "Redis did not answer. Is it running?") from error

    def close(self) -> None:
        """Close the pools."""
        self._quick.close()
        self._patient.close()
        self._waiting.close()

    def _ensure(self, group: str) -> None:
        if group in self._groups:
            return
        try:
            self._patient.xgroup_create(self._key, group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._groups.add(group)

    def _trim(self) -> None:
        """Drop entries that every group has acknowledged; a projection's group that was never made holds everything."""
        groups = {info["name"]: info for info in self._patient.xinfo_groups(self._key)}
        if not set(PROJECTIONS) <= set(groups):
            return
        oldest = []
        for name, group in groups.items():
            first = self._patient.xpending(self._key, name)["min"] if group["pending"] else None
            if first is None:  # nothing is pending, or no longer: its drain has acknowledged since we asked
                milliseconds, sequence = group["last-delivered-id"].split("-")
                first = f"{milliseconds}-{int(sequence) + 1}"
            oldest.append(first)
        lowest = min(oldest, key=lambda id_: tuple(int(part) for part in id_.split("-")))
        self._patient.xtrim(self._key, minid=lowest, approximate=True)


def _block(milliseconds: int) -> int:
    return min(max(milliseconds, 1), int(keys.LONGEST_BLOCK_SECONDS * 1000))


def _entry(id_: str, fields: Mapping[str, str]) -> StreamEntry:
    if fields.get("v") != "1":
        return StreamEntry(id_, (), f"unknown version {fields.get('v')!r}")
    try:
        refs = tuple(Ref(str(kind), str(subject)) for kind, subject in json.loads(fields["refs"]))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        return StreamEntry(id_, (), f"malformed: {type(error).__name__}")
    return StreamEntry(id_, refs)
