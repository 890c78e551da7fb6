"""Poison: the row that makes a whole batch fail is found by halving, and charged alone; the others pass.

For work that takes many rows at once and raises for all of them. What is an outage, or somebody's to set right (a key, a model, a
schema), is no row's fault and is raised. Must stay out: what happens to a row that is charged (`memory_fail_v1`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from memory_pipelines.domain.errors import ConfigurationError, Conflict, InvalidInput, MemoryPipelinesError, Refused, Unavailable

Row = TypeVar("Row")
Result = TypeVar("Result")


@dataclass(slots=True)
class Sifted(Generic[Row, Result]):
    """Results of the rows that passed, part by part, in order; and the rows that did not, each with its error."""

    passed: list[tuple[Sequence[Row], Result]] = field(default_factory=list)
    poison: list[tuple[Row, Exception]] = field(default_factory=list)


def sift(rows: Sequence[Row], work: Callable[[Sequence[Row]], Result], *, control: Callable[[], object]) -> Sifted[Row, Result]:
    """Work on rows at once; where that fails, on halves of them, down to the row that fails alone.

    Args:
        work: may be called again with any part of the rows.
        control: work that is known to be harmless, tried where no row at all passed: if it fails too, no row is to blame.

    Raises:
        Unavailable, ConfigurationError: from `work`; nothing is charged.
        Exception: from `control`.
    """
    found: Sifted[Row, Result] = Sifted()
    _sift(rows, work, found)
    if found.poison and not found.passed:
        control()
    return found


def is_final(error: Exception) -> bool:
    """Whether the same row would always fail so: our own errors are verdicts on what was given; any other may pass."""
    return isinstance(error, (InvalidInput, Refused))


def code(error: Exception) -> str:
    """The stable name of an error."""
    return error.code if isinstance(error, MemoryPipelinesError) else f"unexpected_{type(error).__name__.lower()}"


def reason(error: Exception) -> str:
    """What happened, for people. What a library says is left out: it may quote the text."""
    return f"{error.code}: {error.message}" if isinstance(error, MemoryPipelinesError) else f"It failed with {type(error).__name__}."


def _sift(rows: Sequence[Row], work: Callable[[Sequence[Row]], Result], found: Sifted[Row, Result]) -> None:
    if not rows:
        return
    try:
        found.passed.append((rows, work(rows)))
    except (Unavailable, ConfigurationError, Conflict):
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, it is charged to the row that it belongs to
        if len(rows) == 1:
            found.poison.append((rows[0], error))
            return
        half = len(rows) // 2
        _sift(rows[:half], work, found)
        _sift(rows[half:], work, found)
