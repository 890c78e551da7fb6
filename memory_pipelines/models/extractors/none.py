"""The extractor that finds nothing, for records whose links are all given by the caller.

Must stay out: any work. A result without links is a valid one, and replaces links that were extracted before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memory_pipelines.domain.models import Links
from memory_pipelines.ports import Extraction


class NoExtractor:
    """Satisfies `Extractor`; every text has no entities and no relations."""

    name = "none"

    def extract(self, texts: Sequence[str]) -> list[Extraction]:
        """One empty result per text."""
        return [Extraction(Links()) for _ in texts]

    def cost(self) -> Mapping[str, float]:
        """Always empty."""
        return {}
