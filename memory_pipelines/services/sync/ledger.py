"""Levels of the ledger that drains and waits go by: the newest debt, what is paid by now, the highest settled marker.

To add one, add a function over `record.status`. Must stay out: claiming and settling (`rounds.py`).
"""

from __future__ import annotations

from memory_pipelines.services.platform import Platform


def newest_number(platform: Platform) -> int:
    """Number of the newest debt: what is owed by now."""
    return int(platform.record.status(platform.settings.sync_budget_seconds)["newest_number"])


def settled_marker(platform: Platform) -> int:
    """The highest marker that a settlement has stored."""
    return int(platform.record.status(platform.settings.sync_budget_seconds)["settled_marker"])


def paid_up_to(platform: Platform, projection: str, upto: int) -> bool:
    """Whether every debt up to a number is paid, or cannot be paid now."""
    first = platform.record.status(platform.settings.sync_budget_seconds)["projections"][projection]["first_ready"]
    return first is None or int(first) > upto
