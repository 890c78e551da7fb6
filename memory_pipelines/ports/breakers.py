"""What services ask of whoever remembers the state of circuit breakers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

BreakerMode = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one dependency's breaker.

    Attributes:
        mode: `open` while nobody may call; `half-open` when one call may find out.
        failures: in a row, so far.
        probe_in_seconds: until the next probe, while open.
        open_seconds: since it opened.
        reason: code of the failure that opened it.
        shared: whether other processes see the same; else it is this one's alone.
    """

    mode: BreakerMode = "closed"
    failures: int = 0
    probe_in_seconds: float | None = None
    open_seconds: float | None = None
    reason: str | None = None
    shared: bool = False


class BreakerStore(Protocol):
    """Remembers breakers by name. Never fails: what cannot be shared is remembered by this process."""

    def look(self, name: str) -> Breaker:
        """How a breaker is."""
        ...

    def failed(self, name: str) -> int:
        """Count a failure; returns how many there are in a row."""
        ...

    def open(self, name: str, *, seconds: float, reason: str) -> None:
        """Open it; the first probe may be made after `seconds`."""
        ...

    def probe(self, name: str, *, seconds: float) -> bool:
        """Whether the caller may make the probe of these `seconds`: one caller may, whatever processes there are."""
        ...

    def close_breaker(self, name: str) -> None:
        """Close it, and forget its failures."""
        ...

    def close(self) -> None: ...
