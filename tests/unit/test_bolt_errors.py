"""Each error that a Bolt server sends, built by the driver's own hand, as the error of ours that it becomes."""

from __future__ import annotations

import ssl

import pytest
from neo4j import exceptions as bolt

from memory_pipelines.domain.errors import ConfigurationError, MemoryPipelinesError, Refused, Unavailable
from memory_pipelines.ports import Layout
from memory_pipelines.stores.graph.bolt_errors import COLLISION, collided, translate
from memory_pipelines.stores.graph.bolt_transport import BoltTransport
from memory_pipelines.stores.graph.examine import INDEXED, UNIQUE
from memory_pipelines.stores.graph.statements import statements

VIOLATED = "Unable to commit due to unique constraint violation on :Memory(id)"


def sent(code: str, message: str = "what the server said") -> bolt.Neo4jError:
    """An error as the driver makes it from a server's answer."""
    return bolt.Neo4jError._basic_hydrate(neo4j_code=code, message=message)


@pytest.mark.parametrize(
    ("code", "kind", "ours"),
    [
        ("Neo.ClientError.Security.Unauthorized", ConfigurationError, "graph_unauthorised"),
        ("Neo.ClientError.Security.AuthenticationRateLimit", ConfigurationError, "graph_unauthorised"),
        ("Neo.ClientError.Security.Forbidden", ConfigurationError, "permission_denied"),
        ("Neo.ClientError.Database.DatabaseNotFound", ConfigurationError, "config_invalid"),
        ("Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration", Unavailable, "graph_unavailable"),
        ("Neo.ClientError.Cluster.NotALeader", Unavailable, "graph_unavailable"),
        ("Neo.TransientError.Transaction.DeadlockDetected", Unavailable, "graph_unavailable"),
        ("Neo.TransientError.General.DatabaseUnavailable", Unavailable, "graph_unavailable"),
        ("Neo.TransientError.General.MemoryPoolOutOfMemoryError", Unavailable, "graph_unavailable"),
        ("Neo.DatabaseError.Transaction.TransactionCommitFailed", Unavailable, "graph_unavailable"),
        ("Neo.ClientError.Statement.SyntaxError", Refused, "graph_error"),
        ("Neo.ClientError.Statement.TypeError", Refused, "graph_error"),
        ("Neo.ClientError.Schema.ConstraintValidationFailed", Refused, "graph_error"),
        ("Neo.DatabaseError.Schema.ConstraintCreationFailed", Refused, "graph_copies"),
        ("Memgraph.TransientError.MemgraphError.MemgraphError", Unavailable, "graph_unavailable"),
        ("Memgraph.ClientError.MemgraphError.MemgraphError", Refused, "graph_error"),
    ],
)
def test_what_a_server_says_becomes_an_error_of_ours(code: str, kind: type[MemoryPipelinesError], ours: str) -> None:
    error = translate(sent(code), "graph.test:7687")
    assert (type(error), error.code) == (kind, ours)


@pytest.mark.parametrize("error", [bolt.ServiceUnavailable("x"), bolt.SessionExpired("x"), bolt.ConnectionAcquisitionTimeoutError("x")])
def test_a_server_that_cannot_be_reached_is_named(error: bolt.DriverError) -> None:
    ours = translate(error, "graph.test:7687")
    assert (ours.code, ours.retryable) == ("graph_unavailable", True)
    assert "graph.test:7687" in ours.message


def test_no_routing_is_explained() -> None:
    assert "bolt://" in translate(bolt.ServiceUnavailable("Unable to retrieve routing information"), "graph.test:7687").message


def test_a_certificate_that_nobody_trusts_is_a_matter_of_settings() -> None:
    error = bolt.ServiceUnavailable("no connection")
    error.__cause__ = OSError("tls")
    error.__cause__.__cause__ = ssl.SSLCertVerificationError("self-signed")
    assert translate(error, "graph.test:7687").code == "config_invalid"


def test_memgraphs_unique_violation_at_commit_is_a_collision() -> None:
    error = sent("Memgraph.ClientError.MemgraphError.MemgraphError", VIOLATED)
    assert collided(error)
    assert not error.is_retryable(), "else the driver repeated it, and we need not"
    ours = translate(error, "graph.test:7687")
    assert (type(ours), ours.code, ours.retryable) == (Unavailable, COLLISION, True)


def test_memgraphs_constraint_over_copies_is_known_by_what_it_says() -> None:
    said = "Unable to create unique constraint :Memory(id), because an existing node violates it."
    ours = translate(sent("Memgraph.ClientError.MemgraphError.MemgraphError", said), "graph.test:7687")
    assert (type(ours), ours.code) == (Refused, "graph_copies")


class Colliding(BoltTransport):
    """A Memgraph, as far as one can be had here: its transactions end as told."""

    def __init__(self, collisions: int) -> None:
        super().__init__("bolt://graph.test:7687")
        self._dialect = "memgraph"
        self.left = collisions

    def _transaction(self, statement: str, parameters: object, write: bool) -> list[list[object]]:
        del statement, parameters, write
        if self.left == 0:
            return [[1]]
        self.left -= 1
        raise translate(sent("Memgraph.ClientError.MemgraphError.MemgraphError", VIOLATED), self.where)


def test_a_collision_is_tried_again_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Colliding(3).run("RETURN 1", write=True) == [[1]]
    monkeypatch.setattr("memory_pipelines.stores.graph.bolt_transport._RETRY_SECONDS", 0.3)
    with pytest.raises(Unavailable) as error:
        Colliding(10**9).run("RETURN 1", write=True)
    assert error.value.code == COLLISION


class LaidOut(BoltTransport):
    """A Memgraph, as far as one can be had here, that lacks one index. It keeps what is run by itself."""

    def __init__(self) -> None:
        super().__init__("bolt://graph.test:7687")
        self._dialect = "memgraph"
        self.ran: list[str] = []

    def laid_out(self) -> Layout:
        return Layout(INDEXED - {("Entity", "bucket")}, UNIQUE)

    def _alone(self, statement: str) -> list[dict[str, object]]:
        self.ran.append(statement)
        return []


def test_a_memgraph_is_asked_only_for_what_it_lacks() -> None:
    graph = LaidOut()
    for statement in statements("schema/memgraph").values():
        graph.schema(statement)
    assert graph.ran == ["CREATE INDEX ON :Entity(bucket)"]


@pytest.mark.parametrize("url", ["bolt://graph.test", "neo4j://graph.test", "bolt+ssc://graph.test"])
def test_certificates_without_a_scheme_that_checks_them_are_refused(url: str, tmp_path: object) -> None:
    with pytest.raises(ConfigurationError) as error:
        BoltTransport(url, certificates=tmp_path)  # type: ignore[arg-type]
    assert error.value.code == "config_invalid"
