"""What the Bolt driver raises, as errors of ours: the one place where that is decided.

A message may name the server, a setting and what the server said of a statement; never a user's password.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from neo4j import exceptions as bolt

from memory_pipelines.domain.errors import ConfigurationError, MemoryPipelinesError, Refused, Unavailable

COLLISION = "graph_collision"
COPIES = "graph_copies"
_LOST = (bolt.ServiceUnavailable, bolt.SessionExpired, bolt.ConnectionPoolError, bolt.TransientError, bolt.ReadServiceUnavailable)
# Codes of the server's own state, which say nothing about the statement that met them.
_UNFIT = (
    "Neo.ClientError.Transaction.TransactionTimedOut", "Neo.ClientError.Transaction.TransactionTerminated",
    "Neo.ClientError.Cluster.", "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase", "Neo.ClientError.General.WriteOnReadOnly",
    "Neo.ClientError.Security.AuthorizationExpired", "Neo.DatabaseError.Transaction.", "Neo.DatabaseError.General.OutOfMemory",
)  # fmt: skip


def collided(error: Exception) -> bool:
    """Whether two transactions made the same thing at once. Memgraph notices at commit, as a `ClientError` that no driver repeats."""
    return isinstance(error, bolt.ClientError) and "unable to commit due to unique constraint violation" in _said(error).lower()


def translate(error: bolt.DriverError | bolt.Neo4jError, where: str) -> MemoryPipelinesError:
    """The error of ours for one of the driver's.

    Args:
        error: after the driver's own retries.
        where: the server as `host:port`, for people.
    """
    code = (error.code if isinstance(error, bolt.Neo4jError) else None) or ""
    if collided(error):
        return Unavailable(COLLISION, f"Two writers met in the graph at {where}, and this one gave way. It may be tried again.")
    if code.startswith("Neo.DatabaseError.Schema.ConstraintCreationFailed") or "existing node violates" in _said(error).lower():
        return Refused(
            COPIES,
            f"The graph at {where} cannot promise that ids are unique, because nodes share one already."
            " `memory-pipelines audit --deep --repair` removes the copies.",
        )
    if code.startswith("Neo.ClientError.Database.DatabaseNotFound"):
        return ConfigurationError("config_invalid", f"The graph server at {where} has no such database: see MEMORY_GRAPH_DATABASE.")
    if isinstance(error, bolt.Forbidden) or code.startswith("Neo.ClientError.Security.Forbidden"):
        return ConfigurationError("permission_denied", f"The graph's user may not do this: {_said(error)}. See MEMORY_GRAPH_USER.")
    if code.startswith(_UNFIT):
        return Unavailable("graph_unavailable", f"The graph at {where} gave up on a transaction: {_said(error)}")
    if isinstance(error, bolt.AuthError) or code.startswith("Neo.ClientError.Security."):
        return ConfigurationError(
            "graph_unauthorised", "The graph refused the user or password: see MEMORY_GRAPH_USER and MEMORY_GRAPH_PASSWORD."
        )
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        return ConfigurationError(
            "config_invalid",
            f"No trusted encrypted connection to the graph at {where}: see the scheme of MEMORY_GRAPH_URL, and MEMORY_GRAPH_CERTIFICATES.",
        )
    if isinstance(error, bolt.TransientError):
        return Unavailable("graph_unavailable", f"The graph at {where} kept putting a transaction off: {_said(error)}")
    if isinstance(error, bolt.ServiceUnavailable) and "routing" in _said(error).lower():
        return Unavailable(
            "graph_unavailable",
            f"The graph at {where} names no server for neo4j://. Is it running? A single server, and every Memgraph, takes bolt://.",
        )
    if isinstance(error, _LOST):
        return Unavailable("graph_unavailable", f"The graph at {where} did not answer. Is it running?")
    if isinstance(error, bolt.ConfigurationError):
        return ConfigurationError("config_invalid", f"MEMORY_GRAPH_URL does not suit the graph at {where}: {_said(error)}")
    return Refused("graph_error", f"The graph refused a statement: {_said(error)}")


def _said(error: Exception) -> str:
    """The first line of what the server or the driver said."""
    text = (error.message if isinstance(error, bolt.Neo4jError) else None) or str(error)
    return text.strip().splitlines()[0][:300] if text.strip() else type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what lies behind it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
