"""The event stream within one process. Its end is an emptied Redis: the ledger owes what it held.

Must stay out: anything that Redis would not do; the same suite holds for both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memory_pipelines.domain import events
from memory_pipelines.domain.models import PROJECTIONS, Ref
from memory_pipelines.ports import Breaker, StreamEntry
from memory_pipelines.stores.redis import keys  # its lifetimes hold here too


@dataclass
class _Group:
    """What a consumer group has been given: up to `last`, and since when each entry is without an acknowledgement."""

    last: int = 0
    pending: dict[int, float] = field(default_factory=dict)


@dataclass
class Held:
    """What the clients of one address share."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    entries: dict[int, Mapping[str, str]] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)
    newest: int = 0
    waiting: int = 0
    epoch: int = 0  # how often it was emptied

    def add(self, fields: Mapping[str, str]) -> None:
        """Add an entry, and wake whoever waits. Its lock is held."""
        self.newest += 1
        self.entries[self.newest] = fields
        self.changed.notify_all()

    def empty(self) -> None:
        """Drop everything; whoever reads at the moment ends with nothing."""
        with self.changed:
            self.entries.clear()
            self.groups.clear()
            self.epoch += 1
            self.changed.notify_all()


_all: dict[str, Held] = {}
_lock = threading.Lock()


def held(name: str) -> Held:
    """What the clients of `name` share in this process."""
    with _lock:
        return _all.setdefault(name, Held())


class MemoryStream:
    """`ports.EventStream` in this process.

    Args:
        name: clients with the same name share a stream.
    """

    def __init__(self, name: str) -> None:
        self._held = held(name)

    def publish(self, refs: Sequence[Ref]) -> bool:
        """See `ports.EventStream.publish`."""
        if not refs:
            return True
        with self._held.changed:
            if len(self._held.entries) >= keys.STREAM_LENGTH:
                return False
            self._held.add(events.write(refs))
        return True

    def read(self, group: str, consumer: str, *, count: int, block_ms: int) -> list[StreamEntry]:
        """See `ports.EventStream.read`. Which consumer has an entry makes no difference here, only for how long."""
        del consumer
        with self._held.changed:
            epoch, mine = self._held.epoch, self._held.groups.setdefault(group, _Group())
            now = time.monotonic()
            stale = [number for number, since in sorted(mine.pending.items()) if now - since >= keys.DEAD_CONSUMER_SECONDS]
            taken = [number for number in stale if number in self._held.entries][:count]
            for number in set(stale) - self._held.entries.keys():
                del mine.pending[number]
            if not taken:
                self._until(lambda: self._held.epoch != epoch or self._newest() > mine.last, block_ms)
                if self._held.groups.get(group) is not mine:
                    return []  # emptied while we waited; the group is made again at the next read
                taken = [number for number in self._held.entries if number > mine.last][:count]
                mine.last = taken[-1] if taken else mine.last
            mine.pending.update(dict.fromkeys(taken, time.monotonic()))
            return [_entry(number, self._held.entries[number]) for number in taken]

    def acknowledge(self, group: str, ids: Sequence[str]) -> None:
        """See `ports.EventStream.acknowledge`."""
        with self._held.changed:
            if (mine := self._held.groups.get(group)) is None:
                return
            for id_ in ids:
                mine.pending.pop(_number(id_), None)
            if set(PROJECTIONS) <= self._held.groups.keys():
                lowest = min(min(one.pending, default=one.last + 1) for one in self._held.groups.values())
                for number in [number for number in self._held.entries if number < lowest]:
                    del self._held.entries[number]

    def wait(self, after: str, *, block_ms: int) -> str:
        """See `ports.EventStream.wait`."""
        with self._held.changed:
            self._until(lambda: self._newest() > _number(after), block_ms)
            return max(after, _id(self._newest()), key=_number)

    def last_id(self) -> str:
        """See `ports.EventStream.last_id`."""
        with self._held.changed:
            return _id(self._newest())

    def breaker(self) -> Breaker:
        """See `ports.EventStream.breaker`. It is never away."""
        return Breaker()

    def health(self) -> Mapping[str, Any]:
        """What it is; a warning that nothing of it outlives the process."""
        lost = "It lives in this process alone: other processes do not see its events, and its end drops them."
        full = (keys.FULL,) if len(self._held.entries) >= keys.STREAM_LENGTH else ()
        return {"server": "memory", "version": "1", "entries": len(self._held.entries), "warnings": (*full, lost)}

    def close(self) -> None:
        """Nothing to close: what is held is the process's."""

    def _newest(self) -> int:
        return next(reversed(self._held.entries), 0)

    def _until(self, condition: Callable[[], bool], block_ms: int) -> None:
        self._held.waiting += 1
        try:
            self._held.changed.wait_for(condition, min(block_ms / 1000, keys.LONGEST_BLOCK_SECONDS))
        finally:
            self._held.waiting -= 1


def _entry(number: int, fields: Mapping[str, str]) -> StreamEntry:
    refs, problem = events.read(fields)
    return StreamEntry(_id(number), refs) if problem is None else StreamEntry(_id(number), (), problem, events.payload(fields))


def _id(number: int) -> str:
    return f"{number}-0" if number else "0-0"


def _number(id_: str) -> int:
    return int(id_.partition("-")[0])
