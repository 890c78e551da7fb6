"""Values as people read them: sizes, durations, counts, each with its unit.

To add a unit, add a function that takes the number and returns the words. Must stay out: printing (`output.py`).
"""

from __future__ import annotations

_PLURALS = {"memory": "memories", "entity": "entities"}


def size(octets: int) -> str:
    """A number of bytes, in the unit that fits: `812 B`, `20.4 KiB`, `1.2 MiB`."""
    value = float(octets)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} GiB"


def lasting(seconds: float) -> str:
    """A duration in seconds, in its two largest units: `0.18 s`, `42 s`, `1 min 13 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, length, smaller, part in (("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def count(number: int, noun: str) -> str:
    """A number of something: `1 memory`, `2 memories`, `1,000 rows`."""
    return f"{number:,} {noun if number == 1 else _PLURALS.get(noun, noun + 's')}"
