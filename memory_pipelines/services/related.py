"""`related`: the neighbours of an entity, as the graph shows them.

Must stay out: how the graph came to show them (`projections/entities.py`, `projections/graph.py`), merging (`entities.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from memory_pipelines.domain import validation
from memory_pipelines.domain.errors import NotFound
from memory_pipelines.domain.models import Related, RelatedBy, RelatedEntity
from memory_pipelines.domain.names import predicate_key
from memory_pipelines.domain.vectors import format_vector
from memory_pipelines.services.platform import Platform

DIRECTIONS: tuple[Literal["out", "in"], ...] = ("out", "in")


def related(platform: Platform, name: str, *, namespace: str, limit: int) -> Related:
    """The neighbours of an entity; see `MemoryClient.related`."""
    space, wanted, most = validation.namespace(namespace), validation.query(name), validation.limit(limit)
    found = platform.record.find_entity(space, wanted, None)
    if found["entity"] is None and not found["suggestions"]:
        found = platform.record.find_entity(space, wanted, format_vector(platform.embedder.embed([wanted])[0]))
    entity = found["entity"]
    if entity is None:
        near = ", ".join(found["suggestions"])
        raise NotFound(
            "entity_unknown",
            f"No memory of this namespace mentions {wanted!r}." + (f" Near: {near}." if near else ""),
            {"namespace": space, "suggestions": found["suggestions"]},
        )
    neighbours = tuple(_neighbour(row) for row in platform.graph.neighbours(entity["id"], limit=most))
    memories = platform.record.get_many(platform.graph.memories_of(entity["id"], limit=most))
    return Related(entity["name"], entity["type"], space, neighbours, tuple(memories))


def _neighbour(row: Mapping[str, Any]) -> RelatedEntity:
    """A neighbour as the graph has it; spellings of one predicate, of an edge that somebody drew by hand, are one."""
    said = dict.fromkeys(RelatedBy(predicate_key(one), direction) for direction in DIRECTIONS for one in sorted(row[direction]))
    newest = None if row["newest"] is None else datetime.fromtimestamp(row["newest"] / 1000, UTC)
    return RelatedEntity(row["name"], row["type"], tuple(said), row["memories"], newest)
