"""Poison is found by halving; whose fault it is where nothing passed, a control tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.services.projections import poison


def working(*bad: int) -> Callable[[Sequence[int]], list[int]]:
    """Work that fails with some rows."""

    def work(rows: Sequence[int]) -> list[int]:
        if set(rows) & set(bad):
            raise ValueError("odd")
        return list(rows)

    return work


def control() -> None:
    raise AssertionError("it is asked only where nothing passed")


def test_the_row_that_fails_is_found_and_the_others_pass_in_order() -> None:
    found = poison.sift(range(9), working(3, 7), control=control)
    assert [row for rows, _ in found.passed for row in rows] == [0, 1, 2, 4, 5, 6, 8]
    assert [row for row, _ in found.poison] == [3, 7]


def test_where_nothing_passed_the_control_says_whether_the_rows_are_to_blame() -> None:
    asked: list[str] = []
    found = poison.sift([1, 2], working(1, 2), control=lambda: asked.append("control"))
    assert ([row for row, _ in found.poison], asked) == ([1, 2], ["control"])

    def failing() -> None:
        raise ValueError("what is harmless fails too")

    with pytest.raises(ValueError, match="harmless"):
        poison.sift([1, 2], working(1, 2), control=failing)


def test_an_outage_is_charged_to_nobody() -> None:
    def work(_: Sequence[int]) -> list[int]:
        raise Unavailable("graph_unavailable", "away")

    with pytest.raises(Unavailable):
        poison.sift([1, 2], work, control=control)
    assert poison.sift([], work, control=control).passed == []
