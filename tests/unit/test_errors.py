"""Errors: what they carry, and that they cross processes."""

from __future__ import annotations

import pickle

import pytest

from memory_pipelines.domain import errors

KINDS = sorted({*errors.STATUS.values(), errors.ConfigurationError, errors.Refused}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_processes_whole(kind: type[errors.MemoryPipelinesError]) -> None:
    error = pickle.loads(pickle.dumps(kind("some_code", "What happened.", {"index": 3})))
    assert type(error) is kind
    assert (error.as_dict(), str(error)) == (kind("some_code", "What happened.", {"index": 3}).as_dict(), "What happened.")
