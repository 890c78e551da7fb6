"""What an import did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LineError:
    """A line of an import that was not taken, with its reason. `line` counts from 1."""

    line: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did, line by line counted."""

    imported: int = 0
    updated: int = 0
    unchanged: int = 0
    forgotten: int = 0
    rejected: int = 0
    errors: tuple[LineError, ...] = ()
