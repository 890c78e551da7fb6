"""What a look at an engine finds: observations, each with the remedy for what is wrong.

Lives here: the nouns of `doctor`. Must stay out: looking (`stores/*/examine.py`) and comparing (`services/doctor.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer.

    Args:
        name: `engine.subject`, stable, for programs.
        state: `error` breaks a promise or will stop the platform; `warning` costs time or is a matter of choice.
        seen: what was found, for people; never a secret.
        fix: what to do about it; empty when there is nothing to do.
    """

    name: str
    state: State
    seen: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """What one engine showed: its checks, and the facts that only a comparison with others can judge.

    Facts of the record: `generation` (`model`, `dimensions`), `settled_marker`, `issued_claim`, `skew_seconds` with `skew_within`.
    Facts of the graph: `marker` (counter), `claim`. What could not be read is absent.
    """

    checks: tuple[Check, ...]
    facts: dict[str, Any] = field(default_factory=dict)


def ok(name: str, seen: str) -> Check:
    """Nothing to do."""
    return Check(name, "ok", seen)


def warning(name: str, seen: str, fix: str) -> Check:
    """Costs time, or is a matter of choice."""
    return Check(name, "warning", seen, fix)


def error(name: str, seen: str, fix: str) -> Check:
    """Breaks a promise, or will stop the platform."""
    return Check(name, "error", seen, fix)
