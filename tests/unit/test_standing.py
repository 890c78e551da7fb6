"""What `status` and `dead list` say of states that are hard to bring about: breakers, parked rows, events that cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from memory_pipelines.domain.dead_letters import DeadLetter
from memory_pipelines.domain.models import Status
from memory_pipelines.entrypoints.cli import dead, standing

CLOSED: dict[str, Any] = {"mode": "closed", "failures": 0, "reason": None, "open_seconds": None, "probe_in_seconds": None}
OPEN: dict[str, Any] = {"mode": "open", "failures": 5, "reason": "graph_unavailable", "open_seconds": 4.04, "probe_in_seconds": 11.2}
COUNTS: dict[str, Any] = {
    "memories": 1, "passages": 1, "embeddings": 2, "entities": 1, "mentions": 1, "relations": 0, "forgotten": 0,
    "namespaces": {"a": 1, "b": 0},
}  # fmt: skip


def projection(**facts: Any) -> dict[str, Any]:
    """The facts of a projection of which nothing is owed, but for those that are given."""
    return {"owed": 0, "ready": 0, "parked": 0, "dropped": 0, "oldest_owed_seconds": None, "draining": False, **facts}


def status(**facts: Any) -> Status:
    """A status in which all is well, but for what is given."""
    projections = {"entities": projection(), "embeddings": projection(), "graph": projection(), **facts.pop("projections", {})}
    ages = [one["oldest_owed_seconds"] for one in projections.values() if one["oldest_owed_seconds"] is not None]
    given = {"parked": 0, "engines": {"graph": {"ok": True}}, "counts": COUNTS, "breakers": {"graph": CLOSED, "redis": CLOSED}, **facts}
    return Status(
        owed={name: one["owed"] for name, one in projections.items()}, oldest_owed_seconds=max(ages, default=None),
        projections=projections, **given,
    )  # fmt: skip


def told(capsys: pytest.CaptureFixture[str], found: Status, dev: str | None = None) -> str:
    """What is printed, with runs of spaces made one."""
    standing.show(found, 30.0, dev)
    return " ".join(capsys.readouterr().out.split())


def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, status())
    assert "holds 1 memory in 1 namespace, with 1 passage, 2 vectors, 1 entity, 1 mention, 0 relations." in said
    assert "Nothing is owed." in said
    assert "Breakers: all closed" in said
    assert "dead list" not in said


@pytest.mark.parametrize(
    ("draining", "dev", "words"),
    [
        (False, None, "Nobody drains graph at this moment. To drain it now: memory-pipelines sync"),
        (False, "http://127.0.0.1:3000", "The sensors of the dev that runs here (http://127.0.0.1:3000) drain it within seconds."),
        (True, None, "It is being drained now."),
    ],
)
def test_who_drains_what_is_owed(capsys: pytest.CaptureFixture[str], draining: bool, dev: str | None, words: str) -> None:
    said = told(capsys, status(projections={"graph": projection(owed=2, ready=1, oldest_owed_seconds=3725.0, draining=draining)}), dev)
    assert "2 rows of the ledger are owed, the oldest for 1 h 2 min: longer than the sync budget of 30 s." in said
    assert words in said
    assert "1 row of them failed before" in said


def test_what_is_parked_given_up_and_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, status(parked=1, dropped=2, dead_events=3))
    for words in ("1 row is parked: no drain takes it.", "2 rows given up knowingly", "3 events could not be read."):
        assert words in said
    assert said.count("memory-pipelines dead list") == 3


def test_a_breaker_that_is_open_and_an_engine_that_is_down(capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, status(breakers={"graph": OPEN, "redis": CLOSED}, engines={"graph": {"ok": False, "message": "It is away."}}))
    assert "graph open: not asked 5 4.0 s 11 s graph_unavailable" in said
    assert "redis closed" not in said
    assert "An engine does not answer." in said
    assert "memory-pipelines doctor" in said


@pytest.mark.parametrize(
    ("kind", "dropped", "state"), [("memory", False, "parked"), ("memory", True, "given up"), ("event", False, "cannot be read")]
)
def test_a_dead_letter_in_words(capsys: pytest.CaptureFixture[str], kind: str, dropped: bool, state: str) -> None:
    at = datetime(2026, 5, 1, 8, 30, tzinfo=UTC)
    dead.show_briefly(
        DeadLetter(
            "graph:memory:7",
            "graph",
            kind,
            "7",
            "invalid_value",
            "no \x1b[31msuch",
            2,
            at,
            at,
            tokens_spent=1200,
            dropped_at=at if dropped else None,
        )
    )
    name, failed, reason = capsys.readouterr().out.splitlines()[:3]
    assert name == "graph:memory:7"
    assert failed == f"  {state} after 2 attempts, 1,200 tokens spent, last 2026-05-01 08:30:00 UTC"
    assert reason == "  invalid_value: no ·[31msuch"
