"""Errors: what they carry, and that they cross processes."""

from __future__ import annotations

import pickle

import pytest

from memory_pipelines.domain import errors
from memory_pipelines.entrypoints.errors import spoken

KINDS = sorted({*errors.STATUS.values(), errors.ConfigurationError, errors.Refused}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_processes_whole(kind: type[errors.MemoryPipelinesError]) -> None:
    error = pickle.loads(pickle.dumps(kind("some_code", "What happened.", {"index": 3})))
    assert type(error) is kind
    assert (error.as_dict(), str(error)) == (kind("some_code", "What happened.", {"index": 3}).as_dict(), "What happened.")


def test_the_command_line_speaks_of_its_options() -> None:
    options = {"revive": "--revive", "limit": "--limit", "created_after": "--created-after"}
    said = spoken("Save with revive=True; `limit` is a number, `text` is not, and `created_after` is a time, x=True.", options)
    assert said == "Save with --revive; --limit is a number, `text` is not, and --created-after is a time, x=True."
