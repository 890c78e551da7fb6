"""Runs Cypher on Neo4j and Memgraph over Bolt, with the `neo4j` driver.

Statements run in managed transactions, which the driver repeats when two writers meet; every repetition is bounded in time, because
Memgraph calls an unknown function transient too. Schema statements and questions about the server run by themselves (autocommit): Memgraph
takes them in no other way. What the driver raises is translated in `bolt_errors.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from neo4j import GraphDatabase, NotificationMinimumSeverity, TrustCustomCAs, unit_of_work
from neo4j import exceptions as bolt
from neo4j.graph import Node, Relationship
from tenacity import Retrying, retry_if_exception, retry_if_exception_type, stop_after_delay, wait_random_exponential

from memory_pipelines.domain.errors import ConfigurationError, Refused, Unavailable
from memory_pipelines.ports import Layout
from memory_pipelines.stores.graph import memgraph
from memory_pipelines.stores.graph.bolt_errors import COLLISION, translate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neo4j import Driver, ManagedTransaction, Session

    Dialect = Literal["neo4j", "memgraph"]

SCHEMES = frozenset({"bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"})
_RETRY_SECONDS = 5.0  # for meeting other writers, and for a server that is away
_PLAIN = (str, int, float, bool, type(None))


class BoltTransport:
    """`ports.GraphTransport` on Neo4j 5.26+ and Memgraph 3.x. Threads may share it; connections are made on first use.

    Args:
        url: `bolt://host:port` for one server; `neo4j://…` for a cluster, whose leader is then asked for everything. `+s` encrypts
            and checks the certificate, `+ssc` encrypts only. User and password may stand in it.
        database: name of the database; None for the user's own, which Memgraph needs.
        user, password: override those of the URL.
        certificates: file of the certificates to trust with `+s`; None for the system's.
        timeout: seconds for one transaction.
        connections: most connections at a time.

    Raises:
        ConfigurationError: `config_invalid`.
    """

    def __init__(
        self, url: str, *, database: str | None = None, user: str | None = None, password: str | None = None,
        certificates: Path | None = None, timeout: float = 30.0, connections: int = 50,
    ) -> None:  # fmt: skip
        parts = urlsplit(url)
        scheme, place = parts.scheme, parts.netloc.rpartition("@")[2]
        self.where = place
        # A follower may lag behind the leader: a marker read there would look like a rollback.
        self._leader_only = scheme.startswith("neo4j")
        user, password = user or unquote(parts.username or ""), password or unquote(parts.password or "")
        self._options: dict[str, Any] = {
            "auth": (user, password) if user else None, "max_connection_pool_size": connections,
            "connection_timeout": 5.0, "connection_acquisition_timeout": 15.0, "max_transaction_retry_time": _RETRY_SECONDS,
            "initial_retry_delay": 0.02, "telemetry_disabled": True,
        }  # fmt: skip
        if certificates is not None:
            if not scheme.endswith("+s"):
                raise ConfigurationError(
                    "config_invalid", "MEMORY_GRAPH_CERTIFICATES needs a MEMORY_GRAPH_URL that starts with bolt+s or neo4j+s."
                )
            if not certificates.is_file():
                raise ConfigurationError("config_invalid", "MEMORY_GRAPH_CERTIFICATES names no file.")
            scheme = scheme.removesuffix("+s")
            self._options |= {"encrypted": True, "trusted_certificates": TrustCustomCAs(str(certificates))}
        self._url = f"{scheme}://{place}{'?' + parts.query if parts.query else ''}"
        self._session: dict[str, Any] = {"database": database, "fetch_size": -1}
        self._timeout = timeout
        self._lock = threading.RLock()
        self._driver: Driver | None = None
        self._dialect: Dialect | None = None
        self._agent = ""

    @property
    def dialect(self) -> str:
        """`neo4j` or `memgraph`, as the server says; it is asked once.

        Raises:
            Unavailable: `graph_unavailable`.
            ConfigurationError: `config_invalid`: it is neither; `graph_unauthorised`.
        """
        if self._dialect is None:
            with self._lock:
                self._dialect = self._dialect or self._found_dialect()
                if self._dialect == "neo4j":  # Memgraph may speak a Bolt that knows no such filter
                    self._session["notifications_min_severity"] = NotificationMinimumSeverity.OFF
        return self._dialect

    def run(self, statement: str, parameters: Mapping[str, Any] | None = None, *, write: bool = False) -> list[list[Any]]:
        """See `ports.GraphTransport.run`. Meeting another writer is tried again for some seconds; every statement may be repeated."""
        self._known()
        for attempt in Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, Unavailable) and error.code == COLLISION),
            stop=stop_after_delay(_RETRY_SECONDS), wait=wait_random_exponential(0.02, 0.5), reraise=True,
        ):  # fmt: skip
            with attempt:
                return self._transaction(statement, dict(parameters or {}), write)
        raise AssertionError("unreachable: the loop above returns or raises")

    def _transaction(self, statement: str, parameters: dict[str, Any], write: bool) -> list[list[Any]]:
        @unit_of_work(timeout=self._timeout)
        def work(transaction: ManagedTransaction) -> list[list[Any]]:
            return [[_plain(value) for value in record.values()] for record in transaction.run(statement, parameters)]

        with self._opened() as session:
            return (session.execute_write if write or self._leader_only else session.execute_read)(work)

    def schema(self, statement: str) -> None:
        """Run a schema statement by itself; one that repeats an existing index or constraint is silent. Memgraph refuses while somebody
        writes: there it is tried again for some seconds, and not at all for what is there already."""
        if self.dialect == "memgraph" and memgraph.there(statement, self.laid_out()):
            return
        try:
            self._alone(statement)
        except Refused as error:
            if "already exists" not in error.message:
                raise

    def laid_out(self) -> Layout:
        """See `ports.GraphTransport.laid_out`; the database of a Bolt server exists, or it does not answer."""
        if self.dialect == "memgraph":
            return memgraph.layout(self._alone(memgraph.INDEXES), self._alone(memgraph.CONSTRAINTS))
        indexes = self.run("SHOW INDEXES YIELD labelsOrTypes, properties, state, type RETURN labelsOrTypes, properties, state, type")
        unique = self.run("SHOW CONSTRAINTS YIELD labelsOrTypes, properties, type RETURN labelsOrTypes, properties, type")
        return Layout(
            frozenset(
                (labels[0], names[0]) for labels, names, state, kind in indexes if kind == "RANGE" and state == "ONLINE" and len(names) == 1
            ),
            frozenset((labels[0], names[0]) for labels, names, kind in unique if "UNIQUENESS" in kind and len(names) == 1),
        )

    def durability(self) -> tuple[str, ...]:
        """How the server could lose writes that it acknowledged; empty for Neo4j, which keeps them."""
        if self.dialect != "memgraph":
            return ()
        try:
            return memgraph.losses(self._alone(memgraph.CONFIG), self._alone(memgraph.STORAGE))
        except (Refused, ConfigurationError) as error:
            return (f"Whether Memgraph keeps what it acknowledges could not be found out: {error.message}",)

    def health(self) -> dict[str, Any]:
        """Server, version, and what could lose writes."""
        if self.dialect == "memgraph":
            versions = [value for row in self._alone("SHOW VERSION") for value in row.values()]
            return {"server": "Memgraph", "version": versions[0] if versions else None, "warnings": list(self.durability())}
        self.run("RETURN 1")
        return {"server": "Neo4j", "version": self._agent.rpartition("/")[2] or None}

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._driver is not None:
                self._driver.close()
                self._driver = None

    def _known(self) -> None:
        """Ask for the dialect first: sessions differ by it."""
        _ = self.dialect

    def _found_dialect(self) -> Dialect:
        with self._connected() as driver:
            self._agent = driver.get_server_info().agent
        if "memgraph" in self._agent.lower():
            return "memgraph"
        # A Memgraph is often told to call itself Neo4j, for the sake of other clients; only it knows this question.
        if self._answer("SHOW VERSION"):
            return "memgraph"
        if any("neo4j" in str(row["name"]).lower() for row in self._answer("CALL dbms.components() YIELD name RETURN name")):
            return "neo4j"
        raise ConfigurationError("config_invalid", f"What answers at {self.where} is neither Neo4j nor Memgraph: see MEMORY_GRAPH_URL.")

    def _answer(self, question: str) -> list[dict[str, Any]]:
        """Rows of a question that only one of the engines understands; none where it does not."""
        try:
            return self._alone(question)
        except Refused:
            return []

    def _alone(self, statement: str) -> list[dict[str, Any]]:
        """Run a statement outside of any transaction of ours. Memgraph refuses some while others write: these are tried again."""
        with self._opened() as session:
            for attempt in Retrying(
                retry=retry_if_exception_type(bolt.TransientError), stop=stop_after_delay(_RETRY_SECONDS),
                wait=wait_random_exponential(0.05, 0.5), reraise=True,
            ):  # fmt: skip
                with attempt:
                    return [dict(zip(record.keys(), map(_plain, record.values()), strict=True)) for record in session.run(statement)]
        raise AssertionError("unreachable: the loop above returns or raises")

    @contextmanager
    def _opened(self) -> Iterator[Session]:
        with self._connected() as driver, driver.session(**self._session) as session:
            yield session

    @contextmanager
    def _connected(self) -> Iterator[Driver]:
        """The driver; what it raises meanwhile is translated."""
        try:
            with self._lock:
                if self._driver is None:
                    self._driver = GraphDatabase.driver(self._url, **self._options)
            yield self._driver
        except (bolt.DriverError, bolt.Neo4jError) as error:
            raise translate(error, self.where) from error


def _plain(value: Any) -> Any:
    """Nodes and edges as maps of their properties; what JSON has no word for (dates, points) as text, which no row of ours equals."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict | Node | Relationship):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value)
