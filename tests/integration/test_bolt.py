"""A graph over Bolt, on a real Neo4j: every way to reach it, every way to be turned away, and the whole path of a memory."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import ConfigurationError, MemoryPipelinesError, Refused, Unavailable
from memory_pipelines.ports import GraphTransport
from memory_pipelines.services.platform import Platform
from tests import engines
from tests.integration import drift

pytestmark = pytest.mark.parametrize("named_graph", ["neo4j"], indirect=True)

ADA, BEN = {"name": "Ada", "type": "person"}, {"name": "Ben", "type": "person"}
MET = {"source": "Ada", "predicate": "met", "target": "Ben"}


@pytest.fixture
def place(named_graph: dict[str, Any]) -> str:
    """Host and port of the server."""
    return str(named_graph["graph_url"]).partition("://")[2]


def its_own_certificate(settings: Settings) -> None:
    """Go on only with the server that was started here; one of `NEO4J_TEST_URL` is taken as it is."""
    if settings.graph_certificates is None:
        pytest.skip("needs a server with a certificate of its own: NEO4J_TEST_URL names another")


@pytest.fixture
def server(settings: Settings) -> Iterator[GraphTransport]:
    """A way of the test's own into the graph."""
    graph = engines.bolt_server(settings)
    yield graph
    graph.close()


# -- reaching it ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["bolt", "bolt+ssc", "bolt+s", "neo4j", "neo4j+ssc", "neo4j+s"])
def test_every_scheme_reaches_it(settings: Settings, place: str, scheme: str) -> None:
    its_own_certificate(settings)
    trusted = settings.graph_certificates if scheme.endswith("+s") else None
    graph = engines.bolt_server(settings, url=f"{scheme}://{place}", certificates=trusted, database="neo4j")
    assert graph.dialect == "neo4j"
    assert graph.run("RETURN $x AS x", {"x": "ü"}) == graph.run("RETURN $x AS x", {"x": "ü"}, write=True) == [["ü"]]
    assert graph.health()["server"] == "Neo4j"
    assert graph.durability() == ()
    graph.close()


def test_user_and_password_may_stand_in_the_url(settings: Settings, named_graph: dict[str, Any], place: str) -> None:
    scheme = named_graph["graph_url"].partition("://")[0]
    login = f"{named_graph['graph_user']}:{named_graph['graph_password']}"
    graph = engines.bolt_server(settings, url=f"{scheme}://{login}@{place}", user=None, password=None)
    assert graph.run("RETURN 1") == [[1]]
    assert graph.where == place
    graph.close()


def told(graph: GraphTransport) -> MemoryPipelinesError:
    """The error of a question, which must be one of ours."""
    with pytest.raises(MemoryPipelinesError) as error:
        graph.run("RETURN 1")
    graph.close()
    return error.value


def test_a_wrong_password_is_refused_and_never_repeated(settings: Settings) -> None:
    error = told(engines.bolt_server(settings, password="open sesame"))
    assert (type(error), error.code) == (ConfigurationError, "graph_unauthorised")
    assert "sesame" not in "".join(traceback.format_exception(error))


def test_a_certificate_that_nobody_vouches_for_is_refused(settings: Settings) -> None:
    its_own_certificate(settings)
    error = told(engines.bolt_server(settings, certificates=None))
    assert (type(error), error.code) == (ConfigurationError, "config_invalid")
    assert "MEMORY_GRAPH_CERTIFICATES" in error.message


def test_certificates_that_are_not_there_are_named_by_their_setting(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        engines.bolt_server(settings, certificates=tmp_path / "none.pem")
    assert error.value.code == "config_invalid"


def test_a_database_that_is_not_there_is_a_matter_of_settings(settings: Settings) -> None:
    error = told(engines.bolt_server(settings, database="elsewhere"))
    assert (type(error), error.code) == (ConfigurationError, "config_invalid")
    assert "MEMORY_GRAPH_DATABASE" in error.message


def test_a_transaction_that_takes_too_long_is_ended_by_the_server(settings: Settings) -> None:
    graph = engines.bolt_server(settings, timeout=0.2)
    with pytest.raises(Unavailable) as error:
        graph.run("UNWIND range(1, 1000000000) AS x WITH x WHERE x % 7 = 8 RETURN count(x)")
    assert error.value.code == "graph_unavailable"
    graph.close()


def test_a_statement_that_it_cannot_read_is_refused(server: GraphTransport) -> None:
    with pytest.raises(Refused) as error:
        server.run("MATCH (m RETURN m")
    assert error.value.code == "graph_error"


def test_a_read_cannot_write(server: GraphTransport) -> None:
    with pytest.raises(Refused) as error:
        server.run("CREATE (:Memory {id: 'x'})")
    assert error.value.code == "graph_error"
    assert server.run("MATCH (m:Memory {id: 'x'}) RETURN m") == []


def test_nodes_edges_and_dates_come_out_as_plain_data(server: GraphTransport) -> None:
    row = "CREATE (a:Probe {n: 1})-[e:HAS {l: [1, 2]}]->(b:Probe {at: date('2026-11-23')}) RETURN a, e, b, {inner: [b]}"
    assert server.run(row, write=True) == [[{"n": 1}, {"l": [1, 2]}, {"at": "2026-11-23"}, {"inner": [{"at": "2026-11-23"}]}]]
    server.run("MATCH (p:Probe) DETACH DELETE p", write=True)


# -- copies of nodes -----------------------------------------------------------------------------------------------------


def test_copies_that_forbid_a_constraint_stop_no_drain_and_a_repair_removes_them(
    client: MemoryClient, settings: Settings, server: GraphTransport
) -> None:
    id_ = client.save("Ada met Ben.", entities=[ADA, BEN], wait="graph").id
    for name in ("memory_id", "entity_id"):
        server.schema(f"DROP CONSTRAINT {name}")
    server.run("MATCH (m:Memory {id: $id}) WITH properties(m) AS p CREATE (again:Memory) SET again = p", {"id": id_}, write=True)
    server.run("MATCH (e:Entity {name: 'Ada'}) WITH properties(e) AS p CREATE (again:Entity) SET again = p", write=True)
    with MemoryClient.from_env(settings) as newcomer:  # whose first batch asks for the constraints
        other = newcomer.save("Ben stayed.", entities=[BEN], wait="graph").id
        assert server.run("MATCH (m:Memory {id: $id}) RETURN count(m)", {"id": other}) == [[1]]
        found = newcomer.audit(deep=True)
        assert {finding.subject for finding in found.findings if finding.kind == "duplicate_node"} == {"memory", "entity"}
        assert newcomer.audit(deep=True, repair=True).clean
        newcomer.save("Ada came back.", entities=[ADA], wait="graph")
    assert server.laid_out().unique >= {("Memory", "id"), ("Entity", "id")}
    client.sync()
    agree(client)


# -- the whole path ------------------------------------------------------------------------------------------------------


def agree(client: MemoryClient) -> None:
    for deep in (False, True):
        verdict = client.audit(deep=deep)
        assert drift.findings(verdict) == []
        assert (verdict.clean, verdict.pending) == (True, 0)


def test_a_memory_goes_its_whole_way(client: MemoryClient, platform: Platform, server: GraphTransport) -> None:
    assert client.health()["graph"]["server"] == "Neo4j"
    ids = [
        saved.id
        for saved in client.save_many([{"text": f"{n}: Ada met Ben.", "entities": [ADA, BEN], "relations": [MET]} for n in range(40)])
    ]
    client.sync()
    agree(client)
    assert {other.name for other in client.related("Ada").neighbours} == {"Ben"}
    assert platform.graph.counts() == {"memory": 40, "entity": 2, "mention": 80, "relation": 1}
    client.update(ids[0], text="Ada stayed at home.", entities=[ADA], relations=[])
    client.forget(ids[1], wait="all")
    assert server.run("MATCH (m:Memory {id: $id}) RETURN m.deleted", {"id": ids[1]}) == [[True]]
    client.sync()
    agree(client)
    assert platform.graph.counts()["mention"] == 77

    server.run("MATCH (m:Memory {id: $id}) DETACH DELETE m", {"id": ids[2]}, write=True)
    server.run("MATCH (m:Memory {id: $id}) SET m.created_at = date('2026-11-23')", {"id": ids[3]}, write=True)
    server.run("MATCH (m:Memory {id: $id})-[n:MENTIONS]->(:Entity) DELETE n", {"id": ids[4]}, write=True)
    server.run("MATCH (e:Entity {name: 'Ada'}) CREATE (:Memory {id: 'nobody'})-[:MENTIONS]->(e)", write=True)
    found = client.audit(deep=True)
    assert {(finding.kind, finding.subject) for finding in found.findings} >= {
        ("settled_absent", "memory"),
        ("edited", "memory"),
        ("settled_absent", "mention"),
    }
    assert {finding.id for finding in found.findings} >= {ids[2], ids[3], "nobody"}
    assert client.audit(repair=True, deep=True).clean
    agree(client)

    client.forget(namespace="default")
    client.sync()
    agree(client)
    assert platform.graph.counts() == {"memory": 0, "entity": 0, "mention": 0, "relation": 0}
