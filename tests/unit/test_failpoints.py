"""Fail points: each name is a place in the code and the other way round, and an armed one stops the process that comes there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memory_pipelines.domain import failpoints

PACKAGE = Path(failpoints.__file__).parents[1]
ROOT = PACKAGE.parent


def test_every_name_is_reached_somewhere_and_every_place_has_a_name() -> None:
    reached = {name for file in PACKAGE.rglob("*.py") for name in re.findall(r'\breach\("([^"]+)"\)', file.read_text("utf-8"))}
    assert reached - {"subject.done"} == failpoints.POINTS


@pytest.mark.parametrize("bad", [("nowhere", 1, "kill"), ("graph.applied", 1, "hesitate")])
def test_what_is_no_point_or_no_deed_is_refused(bad: tuple[str, int, str]) -> None:
    with pytest.raises(ValueError, match="point"):
        failpoints.arm(*bad)  # type: ignore[arg-type]


def child(value: str, *, after: str = "") -> subprocess.Popen[str]:
    """A process that reaches a point three times and says so each time."""
    script = f"""
from memory_pipelines.domain.failpoints import arm, disarm, reach
{after}
for n in range(3):
    reach("graph.applied")
    print(n, flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MEMORY_FAILPOINT": value}
    return subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("value", "after", "said"),
    [
        ("graph.applied", "", ""), ("graph.applied:3", "", "0\n1\n"), ("", "arm('graph.applied', 2)", "0\n"),
        ("graph.settled", "", "0\n1\n2\n"), ("graph.applied", "disarm()", "0\n1\n2\n"),
    ],
)  # fmt: skip
def test_a_process_dies_where_it_was_told_and_nowhere_else(value: str, after: str, said: str) -> None:
    with child(value, after=after) as process:
        out, errors = process.communicate(timeout=30)
    assert out == said
    assert process.returncode == (0 if said.endswith("2\n") else -signal.SIGKILL), errors


def test_a_frozen_process_stands_still_until_it_is_woken() -> None:
    with child("graph.applied:2:freeze") as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        os.kill(process.pid, signal.SIGCONT)
        out, _ = process.communicate(timeout=30)
    assert out == "0\n1\n2\n"


def test_a_misspelt_variable_stops_the_process_at_its_start() -> None:
    for value in ("graph.aplied", "graph.applied:1:hesitate"):
        with child(value) as process:
            _, errors = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "fail point" in errors
