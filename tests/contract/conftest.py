"""What the suites of a port share: one empty record a test, behind each transport; one empty graph, and who changes it from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from memory_pipelines import Settings, wiring
from memory_pipelines.ports import GraphStore, RecordStore
from tests import engines, records
from tests.graph_rows import entity, memory, relation, write
from tests.vandals import Vandal


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


@pytest.fixture
def graph(settings: Settings) -> Iterator[GraphStore]:
    """The store of an empty graph."""
    engines.empty(settings)
    with closing(wiring.open_platform(settings)) as platform:
        platform.graph.prepare()
        yield platform.graph


@pytest.fixture
def vandal(settings: Settings, graph: GraphStore) -> Iterator[Vandal]:
    """Who changes the graph without asking its store."""
    del graph  # which is empty by then
    with closing(engines.graph_server(settings)) as transport:
        yield Vandal(transport)


@pytest.fixture
def furnished(graph: GraphStore) -> GraphStore:
    """Ada and Ben, who know each other, and two memories."""
    write(graph, "entity", entity("ada"), entity("ben"))
    write(graph, "memory", memory("m1", "ada", "ben"), memory("m2", "ada"))
    write(graph, "relation", relation("r1", "ada", "ben"))
    return graph
