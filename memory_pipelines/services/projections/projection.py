"""What the three projections have in common: a batch that was computed, and what storing it did.

A projection is two functions. `compute(platform, claim) -> Batch` does the slow work and writes nothing; `store(platform,
batch) -> Settle` writes the result and returns what settles the debt. Apart, so that one batch is computed while the one
before is written and the one before that is settled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from memory_pipelines.domain.models import Claim, Lease, Owed, Ref
from memory_pipelines.ports import Vectors


@dataclass(slots=True)
class Batch:
    """A claim with its computed result. `rows`, and `vectors` in the order of their rows, are what the store function takes; `lease` is
    the drain's own, None where a save drains its own rows."""

    claim: Claim
    rows: list[dict[str, Any]] = field(default_factory=list)
    vectors: Vectors = ()
    failures: list[dict[str, Any]] = field(default_factory=list)
    sample: list[dict[str, Any]] = field(default_factory=list)
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What storing did: rows settled, rows whose debt was renewed meanwhile, and subjects that are owed because of it."""

    done: int = 0
    superseded: int = 0
    failed: int = 0
    parked: int = 0
    touched: tuple[Ref, ...] = ()


Settle = Callable[[], Stored]
"""Settles a batch whose result is written. Where result and settlement are one transaction, that has happened already."""


class MarkerMoved(Exception):  # not a failure: the batch is claimed again
    """The graph's marker refused a batch, or showed too late that the graph was rolled back: nothing of the batch is settled.

    Args:
        lost: rows that are owed again because of it.
    """

    def __init__(self, lost: int = 0) -> None:
        super().__init__()
        self.lost = lost


def failure(row: Owed, error: str, *, final: bool, code: str = "failed", tokens: int = 0) -> dict[str, Any]:
    """A charge to one row.

    Args:
        error: what happened, for people; never a memory's text.
        final: it would always fail so: it is parked at once.
        code: stable name of the failure.
        tokens: spent on it in vain.
    """
    seen = row.state or {}
    return {
        "kind": row.kind, "id": row.id, "number": row.number, "error": error, "code": code, "final": final, "tokens": tokens,
        "revision": seen.get("revision"), "version": seen.get("version"),
    }  # fmt: skip
