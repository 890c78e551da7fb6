"""What services ask of the models: vectors, and links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from memory_pipelines.domain.models import Links


class Embedder(Protocol):
    """Turns texts into vectors. Deterministic for a given `name`."""

    name: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One unit-length vector of `dimensions` floats per text, in order.

        Raises:
            Unavailable: `embedder_unavailable`, charged to the dependency.
            InvalidInput: `embedding_refused`, charged to the text.
        """
        ...

    def cost(self) -> Mapping[str, float]:
        """What was used since it was opened, e.g. `{"tokens": …}`; empty for a local model."""
        ...


@dataclass(frozen=True, slots=True)
class Extraction:
    """Result of extracting from one text: links, or the reason why there are none to be had.

    Attributes:
        problem: what went wrong, for people; it never quotes the text.
        code: stable name of the problem.
        final: the same text would always fail so.
        tokens: spent on this text.
    """

    links: Links | None
    problem: str | None = None
    code: str = "extraction_failed"
    final: bool = False
    tokens: int = 0


class Extractor(Protocol):
    """Finds entities and relations in texts. A problem with one text is its own; an outage raises."""

    name: str

    def extract(self, texts: Sequence[str]) -> list[Extraction]:
        """One result per text, in order.

        Raises:
            Unavailable: `extractor_unavailable`.
        """
        ...

    def cost(self) -> Mapping[str, float]: ...
