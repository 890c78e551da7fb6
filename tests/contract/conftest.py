"""What the suites of the record share: one empty record a test, behind each transport."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from memory_pipelines.ports import RecordStore
from tests import records


@pytest.fixture(params=list(records.TRANSPORTS))
def transport(request: pytest.FixtureRequest) -> str:
    """Which transport a test runs on."""
    return str(request.param)


@pytest.fixture
def place(request: pytest.FixtureRequest, transport: str) -> Iterator[records.Place]:
    """An empty record behind the transport, and how to empty it again."""
    with records.TRANSPORTS[transport](request) as found:
        yield found


@pytest.fixture
def record(place: records.Place) -> RecordStore:
    """An empty record behind the transport."""
    assert place.record.namespaces() == []
    return place.record
