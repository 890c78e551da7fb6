"""What services ask of the event stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from memory_pipelines.domain.models import Ref
from memory_pipelines.ports.breakers import Breaker


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One event: `id` acknowledges it, `refs` say what to look at. A malformed entry has `problem` set, no refs, and in `payload`
    what it held, as JSON of bounded length: it is parked before it is acknowledged."""

    id: str
    refs: tuple[Ref, ...]
    problem: str | None = None
    payload: str = ""


class EventStream(Protocol):
    """Carries which subjects changed. Losing it costs time, never data: every method says whether it worked."""

    def publish(self, refs: Sequence[Ref]) -> bool:
        """One `XADD`, 100 ms at most. False when Redis is slow, down, its breaker is open, or the stream is at its bound: nothing that a
        group has not settled is trimmed for a new event."""
        ...

    def read(self, group: str, consumer: str, *, count: int, block_ms: int) -> list[StreamEntry]:
        """New entries for `consumer`, after those it (or a dead consumer of the group) left unacknowledged.

        Raises:
            Unavailable: `stream_unavailable`.
        """
        ...

    def acknowledge(self, group: str, ids: Sequence[str]) -> None:
        """Acknowledge entries, then trim what every group has settled."""
        ...

    def wait(self, after: str, *, block_ms: int) -> str:
        """Block until an entry newer than `after` exists (plain `XREAD`), 5 s at most; returns the newest id, or `after`."""
        ...

    def last_id(self) -> str:
        """Id of the newest entry, `0-0` in an empty stream."""
        ...

    def breaker(self) -> Breaker:
        """Whether this process takes the stream for away: its own breaker, which no other process sees."""
        ...

    def health(self) -> Mapping[str, Any]: ...

    def close(self) -> None: ...
