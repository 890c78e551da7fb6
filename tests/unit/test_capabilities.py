"""A missing capability skips a test, unless it is required: then the test fails."""

from __future__ import annotations

import pytest

from tests import capabilities


@pytest.fixture(autouse=True)
def _absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(capabilities.PROBES, "moon", lambda: "it is not here")
    monkeypatch.setitem(capabilities.PROBES, "sun", lambda: None)
    monkeypatch.delenv(capabilities.VARIABLE, raising=False)


def test_what_is_here_lets_the_test_go_on() -> None:
    capabilities.need("sun")


def test_missing_and_not_required_skips_with_the_reason() -> None:
    with pytest.raises(pytest.skip.Exception, match="needs moon: it is not here"):
        capabilities.need("moon")


def test_missing_and_required_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(capabilities.VARIABLE, "sun, moon")
    with pytest.raises(pytest.fail.Exception, match="moon is required"):
        capabilities.need("moon")


def test_a_misspelt_requirement_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(capabilities.VARIABLE, "sun,mooon")
    with pytest.raises(pytest.UsageError, match="mooon"):
        capabilities.required()
