"""Runs Cypher on FalkorDB over the Redis protocol (its Bolt port crashes under parameter lists: not used).

FalkorDB holds parameters inside the query text and answers sums as doubles printed with 15 digits: digests are
therefore summed in 32-bit halves, which stay exact up to 232,000 rows a bucket.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
from falkordb import FalkorDB
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from memory_pipelines.domain.errors import ConfigurationError, Refused, Unavailable
from memory_pipelines.ports import Layout

_LOST = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError)
# The server's own state, whatever it was asked: no memory left, a replica, a snapshot that cannot be written.
_UNFIT = (redis.OutOfMemoryError, redis.ReadOnlyError, redis.exceptions.MasterDownError)
_UNFIT_WORDS = ("MISCONF", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED")  # the client has no class of their own for these


class FalkorTransport:
    """`ports.GraphTransport` on FalkorDB 4.x.

    Args:
        url: `falkor://host:port`, `falkors://…` (TLS), `unix:///path` (percent-encoded), or a socket's bare path; user and password may
            stand in it.
        graph: name of the graph in the server.
        user, password: override those of the URL.
        timeout: seconds for one statement.
    """

    dialect = "falkordb"

    def __init__(self, url: str, graph: str, *, user: str | None = None, password: str | None = None, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        options: dict[str, Any] = {
            "username": user or (unquote(parts.username) if parts.username else None),
            "password": password or (unquote(parts.password) if parts.password else None),
            "socket_timeout": timeout, "socket_connect_timeout": 5.0,
        }  # fmt: skip
        path = unquote(parts.path) if parts.scheme == "unix" else os.path.expanduser(url) if not parts.scheme else None  # not quoted
        if path is not None:
            # The client asks the server for its topology before its pool exists, so the pool is made here.
            pool = redis.ConnectionPool(
                connection_class=redis.UnixDomainSocketConnection, path=path, decode_responses=True, protocol=2,
                **{name: value for name, value in options.items() if value is not None},
            )  # fmt: skip
            options = {"connection_pool": pool}
        else:
            options |= {"host": parts.hostname or "localhost", "port": parts.port or 6379, "ssl": parts.scheme == "falkors"}
        self._where = path if path is not None else f"{parts.hostname}:{parts.port or 6379}"
        self._options, self._name = options, graph
        self._client: FalkorDB | None = None

    def _graph(self) -> Any:
        if self._client is None:
            self._client = FalkorDB(**self._options)
        return self._client.select_graph(self._name)

    def run(self, statement: str, parameters: Mapping[str, Any] | None = None, *, write: bool = False) -> list[list[Any]]:
        """See `ports.GraphTransport.run`. A lost connection is tried again: every statement may be repeated."""
        try:
            for attempt in Retrying(
                retry=retry_if_exception_type(_LOST), stop=stop_after_attempt(3), wait=wait_random_exponential(0.05, 0.5), reraise=True
            ):
                with attempt:
                    return self._query(statement, dict(parameters or {}), write)
        except redis.RedisError as error:
            raise self._translate(error) from error
        raise AssertionError("unreachable: the loop above returns or raises")

    def _query(self, statement: str, parameters: dict[str, Any], write: bool) -> list[list[Any]]:
        graph = self._graph()
        if not write:
            try:
                return [list(row) for row in graph.ro_query(statement, parameters).result_set]
            except redis.ResponseError as error:
                if "empty key" not in str(error):
                    raise
        # A graph that nobody has written yet does not exist; asking it as a writer makes it, empty.
        return [list(row) for row in graph.query(statement, parameters).result_set]

    def schema(self, statement: str) -> None:
        """Run a schema statement; an index that exists already is fine."""
        try:
            self._graph().query(statement)
        except redis.ResponseError as error:
            if "already indexed" not in str(error) and "already exists" not in str(error):
                raise self._translate(error) from error
        except redis.RedisError as error:
            raise self._translate(error) from error

    def unique(self, label: str, attribute: str) -> None:
        """Ask for a uniqueness constraint; FalkorDB has a command for it instead of a statement. One that failed, because there were
        copies when it was built, stays there as failed until it is dropped."""
        try:
            try:
                self._graph().create_node_unique_constraint(label, attribute)
            except redis.ResponseError as error:
                if "already exists" not in str(error):
                    raise
                if self.run(
                    "CALL db.constraints() YIELD label AS l, status AS s WITH l, s WHERE l = $l AND s = 'FAILED' RETURN l", {"l": label}
                ):
                    self._graph().drop_node_unique_constraint(label, attribute)
                    self._graph().create_node_unique_constraint(label, attribute)
        except redis.ResponseError as error:
            raise self._translate(error) from error
        except redis.RedisError as error:
            raise self._translate(error) from error

    def laid_out(self) -> Layout | None:
        """See `ports.GraphTransport.laid_out`. A graph that nobody has written is not asked: asking would make it."""
        try:
            self._graph()
            if self._client is None or self._name not in self._client.list_graphs():
                return None
        except redis.RedisError as error:
            raise self._translate(error) from error
        indexes = self.run("CALL db.indexes() YIELD label, properties RETURN label, properties")
        unique = self.run("CALL db.constraints() YIELD label, properties, type, status RETURN label, properties, type, status")
        return Layout(
            frozenset((label, name) for label, names in indexes for name in names),
            frozenset((label, names[0]) for label, names, kind, status in unique if kind == "UNIQUE" and status == "OPERATIONAL"),
        )

    def durability(self) -> tuple[str, ...]:
        """See `ports.GraphTransport.durability`; nothing is looked for here."""
        return ()

    def health(self) -> dict[str, Any]:
        """Versions of the server and its module."""
        try:
            connection = self._graph().client.connection
            modules = {module["name"]: module["ver"] for module in connection.module_list()} if hasattr(connection, "module_list") else {}
            return {"server": "FalkorDB", "redis": connection.info("server")["redis_version"], "version": _dotted(modules.get("graph"))}
        except redis.RedisError as error:
            raise self._translate(error) from error

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.connection.close()
            self._client = None

    def _translate(self, error: redis.RedisError) -> Exception:
        if isinstance(error, redis.AuthenticationError):
            return ConfigurationError(
                "graph_unauthorised", "The graph refused the user or password: see MEMORY_GRAPH_USER and MEMORY_GRAPH_PASSWORD."
            )
        if isinstance(error, _LOST):
            return Unavailable("graph_unavailable", f"The graph at {self._where} did not answer. Is it running?")
        if isinstance(error, _UNFIT) or str(error).startswith(_UNFIT_WORDS):
            return Unavailable("graph_unavailable", f"The graph at {self._where} takes no writes: {str(error).splitlines()[0][:300]}")
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        return Refused("graph_error", f"The graph refused a statement: {reason}")


def _dotted(version: int | None) -> str | None:
    return None if version is None else f"{version // 10000}.{version // 100 % 100}.{version % 100}"
