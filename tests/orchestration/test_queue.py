"""How a queue sensor decides, moment by moment, on a ledger and a clock that the test moves."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from memory_pipelines import wiring
from memory_pipelines.assets import queue, repair
from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.sync import sync
from memory_pipelines.services.sync.sync import Wanted
from tests.e2e import command

IDLE = Wanted(0, None, False)
OWED = Wanted(3, 0.1, False)
DRAINING = Wanted(3, 0.1, True)


class Sensor:
    """A sensor's looks over time, its memo kept between them as a cursor would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ledger = IDLE
        self.cursor: str | None = None
        monkeypatch.setattr(sync, "wanted", lambda platform, projection: self.ledger)  # noqa: ARG005  # the service's names

    def at(self, now: float, ledger: Wanted) -> str:
        """What it decides at `now`, in seconds."""
        self.ledger = ledger
        nobody: Any = None
        found = queue.look(nobody, "graph", queue.Memo.parse(self.cursor), now=now)
        self.cursor = found.memo.cursor()
        return found.state


@pytest.fixture
def sensor(monkeypatch: pytest.MonkeyPatch) -> Sensor:
    return Sensor(monkeypatch)


def test_nothing_owed_is_idle(sensor: Sensor) -> None:
    assert sensor.at(100, IDLE) == "idle"


def test_owed_is_requested_once_while_the_run_starts(sensor: Sensor) -> None:
    assert [sensor.at(100, OWED), sensor.at(101, OWED), sensor.at(110, OWED)] == ["wanted", "starting", "starting"]


def test_a_drain_at_work_is_waited_for(sensor: Sensor) -> None:
    assert sensor.at(100, DRAINING) == "draining"


def test_new_work_after_a_drain_is_requested_at_once(sensor: Sensor) -> None:
    states = [sensor.at(100, OWED), sensor.at(103, DRAINING), sensor.at(109, IDLE), sensor.at(110, OWED)]
    assert states == ["wanted", "draining", "idle", "wanted"]


def test_work_that_came_while_a_drain_ended_is_requested_at_once(sensor: Sensor) -> None:
    assert [sensor.at(100, OWED), sensor.at(103, DRAINING), sensor.at(109, Wanted(1, 0.2, False))] == ["wanted", "draining", "wanted"]


def test_a_run_that_died_while_starting_is_requested_again(sensor: Sensor) -> None:
    assert [sensor.at(100, OWED), sensor.at(121, Wanted(3, 21.0, False))] == ["wanted", "wanted"]


def test_a_drain_that_fails_at_once_is_not_tried_every_few_seconds(sensor: Sensor) -> None:
    requests = []
    for second in range(100, 700):
        failed = Wanted(3, float(second - 99), False)
        if sensor.at(second, failed) == "wanted":
            requests.append(second)
            assert sensor.at(second + 0.5, Wanted(3, second - 98.5, True)) == "draining"  # it begins, and fails within the second
    pauses = [later - earlier for earlier, later in pairwise(requests)]
    assert pauses[0] == pytest.approx(20, abs=1)
    assert pauses == sorted(pauses)
    assert max(pauses) <= 61
    assert len(requests) < 14


def test_a_drain_that_ended_for_its_time_is_followed_at_once(sensor: Sensor) -> None:
    assert [sensor.at(100, OWED), sensor.at(102, DRAINING), sensor.at(400, Wanted(90_000, 310.0, False))] == [
        "wanted",
        "draining",
        "wanted",
    ]


def test_a_graph_that_shows_less_than_was_settled_is_drained(sensor: Sensor) -> None:
    assert sensor.at(100, Wanted(0, None, False, behind=True)) == "wanted"


class Stream:
    """A stream that is down."""

    def last_id(self) -> str:
        raise Unavailable("stream_unavailable", "down")

    def wait(self, after: str, *, block_ms: int) -> str:
        raise Unavailable("stream_unavailable", f"down {after} {block_ms}")


def test_without_redis_the_ledger_is_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    ledgers = iter([IDLE, IDLE, OWED])
    monkeypatch.setattr(sync, "wanted", lambda platform, projection: next(ledgers))  # noqa: ARG005
    monkeypatch.setattr(queue, "BLIND_POLL_SECONDS", 0.01)
    platform: Any = type("Platform", (), {"stream": Stream()})()
    assert queue.watch(platform, "graph", queue.Memo(), patience_seconds=5).state == "wanted"


ENDING = """
from concurrent.futures import ThreadPoolExecutor
from memory_pipelines.assets import queue
from memory_pipelines import wiring
from memory_pipelines.config import load
platform = wiring.open_platform(load())
assert queue.watch(platform, "graph", queue.Memo(), patience_seconds=0).state == "idle"
ThreadPoolExecutor(1).submit(queue.watch, platform, "graph", queue.Memo(), patience_seconds=120)
"""


def test_a_process_that_ends_does_not_wait_for_its_sensors(platform: Platform, tmp_path: Path) -> None:
    """A code server that was asked to stop has threads in which sensors wait for events; Python waits for threads."""
    wiring.bring_schema(platform)
    platform.graph.prepare()
    env = command.environment(platform.settings.home_path)
    done = subprocess.run([sys.executable, "-c", ENDING], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def verdict(*, at: str = "2026-01-01T00:00:00+00:00", clean: bool = False, repaired: int = 0, found: int = 3) -> dict[str, Any]:
    return {"at": at, "clean": clean, "repaired": repaired, "kinds": {"missing": found - 1, "edited": 1}}


@pytest.mark.parametrize(
    ("history", "wanted"),
    [
        ([], False),
        ([verdict(clean=True), verdict()], False),
        ([verdict(), verdict(clean=True)], True),
        ([verdict(repaired=3)], False),
    ],
    ids=["no audit yet", "clean again", "unclean", "unclean after a repair"],
)
def test_a_repair_is_wanted_when_the_newest_verdict_is_unclean(history: list[dict[str, Any]], wanted: bool) -> None:
    assert repair.decide(history, None).wanted is wanted


@pytest.mark.parametrize(
    ("kinds", "wanted"), [({"parked": 1}, False), ({"parked": 1, "given_up": 2}, False), ({"parked": 1, "extra": 1}, True)]
)
def test_dead_letters_alone_are_for_a_person(kinds: dict[str, int], wanted: bool) -> None:
    assert repair.decide([verdict() | {"kinds": kinds}], None).wanted is wanted


def test_more_than_the_bound_is_for_a_person() -> None:
    enough = repair.decide([verdict(found=10)], None, bound=10)
    assert (enough.wanted, enough.alert) == (True, False)
    too_much = repair.decide([verdict(found=11)], None, bound=10)
    assert (too_much.wanted, too_much.alert) == (False, True)
    assert "MEMORY_REPAIR_BOUND" in too_much.reason


def test_a_repair_is_requested_once_and_again_when_it_died() -> None:
    first = repair.decide([verdict()], None, now=1000)
    second = repair.decide([verdict()], first.cursor, now=1100)
    third = repair.decide([verdict()], second.cursor, now=1000 + repair.GRACE_SECONDS + 1)
    fourth = repair.decide([verdict(at="2026-01-02T00:00:00+00:00")], third.cursor, now=1101 + repair.GRACE_SECONDS)
    assert [decision.wanted for decision in (first, second, third, fourth)] == [True, False, True, True]
