"""What stores ask of their drivers: one call of a SQL function, one Cypher statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Vectors = Sequence[Sequence[float]]  # unit-length float32 rows


class RecordTransport(Protocol):
    """Calls one versioned SQL function. The seam between psycopg and PostgREST."""

    binary: bool
    """Whether vectors can go beside the JSON; else they go in it, as text."""

    def call(self, function: str, payload: Mapping[str, Any]) -> Any:
        """Call `public.<function>(payload::text)` and return its decoded `jsonb`.

        Raises:
            MemoryPipelinesError: the function's own `PT…` error, translated.
            Unavailable: `record_unavailable`; the outcome of a write is then unknown, and repeating it is safe.
        """
        ...

    def call_with_vectors(self, function: str, payload: Mapping[str, Any], vectors: Vectors) -> Any:
        """The same, of a function that takes vectors beside the JSON, as binary. Only where `binary` is true."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Layout:
    """Indexes and uniqueness constraints of a graph, those that are in force only: (label, property) each."""

    indexes: frozenset[tuple[str, str]]
    unique: frozenset[tuple[str, str]]


class GraphTransport(Protocol):
    """Runs one Cypher statement with parameters. The seam between FalkorDB's protocol and Bolt."""

    @property
    def dialect(self) -> str:
        """Names the schema statements: `cypher/schema_<dialect>.cypher`."""
        ...

    def run(self, statement: str, parameters: Mapping[str, Any] | None = None, *, write: bool = False) -> list[list[Any]]:
        """Run `statement` atomically and return its rows, nodes and edges already turned into maps of properties.

        Raises:
            Unavailable: `graph_unavailable`.
        """
        ...

    def schema(self, statement: str) -> None:
        """Run a schema statement; one that repeats an existing index or constraint is silent."""
        ...

    def laid_out(self) -> Layout | None:
        """Which indexes and constraints there are; None where the graph itself does not exist yet. Makes nothing.

        Raises:
            Unavailable: `graph_unavailable`.
        """
        ...

    def durability(self) -> tuple[str, ...]:
        """In which ways the server could lose what it acknowledged, a sentence each; empty where none is known."""
        ...

    def health(self) -> Mapping[str, Any]:
        """What answers: `server`, `version`, and `warnings` where there are any."""
        ...

    def close(self) -> None: ...
