"""Faults by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.faults.trial import Script

BOTH, EMBEDDED = ("falkordb", "neo4j"), ("falkordb",)
UNHURRIED = 0.003  # seconds between deeds, where a fault shall fall among them


@dataclass(frozen=True)
class Fault:
    """A fault that can be asked for by name."""

    name: str
    script: Script
    engines: tuple[str, ...]


FAULTS: dict[str, Fault] = {}


def fault(name: str, engines: tuple[str, ...] = BOTH) -> Callable[[Script], Script]:
    """Enter a script under a name."""

    def enter(script: Script) -> Script:
        FAULTS[name] = Fault(name, script, engines)
        return script

    return enter
