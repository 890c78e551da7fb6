"""Entities: how the `entities` projection is made, and what `related` shows of the graph."""

from __future__ import annotations

from memory_pipelines.domain import validation
from memory_pipelines.domain.errors import NotFound
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Claim, Links, Related, RelatedEntity
from memory_pipelines.domain.vectors import format_vector
from memory_pipelines.services import events
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projection import Batch, Settle, Stored, failure


def extract(platform: Platform, claim: Claim) -> Batch:
    """Extract links from the texts of a claim. What one text did wrong is charged to its row; an outage raises."""
    batch = Batch(claim)
    live = [row for row in claim.rows if row.state is not None and not row.state["deleted"]]
    for row in claim.rows:
        if row.state is None or row.state["deleted"]:
            batch.rows.append({"id": row.id, "number": row.number, "version": 0, "links": Links()})
    for row, result in zip(live, platform.extractor.extract([str(row.state["text"]) for row in live if row.state]), strict=True):
        if result.links is None:
            batch.failures.append(failure(row, result.problem or "extraction failed", final=False))
        else:
            version = row.state["version"] if row.state else 0
            batch.rows.append({"id": row.id, "number": row.number, "version": version, "links": result.links})
            batch.sample.append({"memory": row.id, "entities": ", ".join(entity.name for entity in result.links.entities[:6])})
    return batch


def store(platform: Platform, batch: Batch) -> Settle:
    """Store the links and settle, in one transaction; what they touched is published."""
    if not batch.rows:
        return Stored
    answer = platform.record.store_links(batch.rows)
    reach("entities.stored")
    touched = answer["touched"]
    events.publish(platform, touched)
    reach("entities.published")
    stored = Stored(done=answer["stored"], superseded=answer["superseded"], touched=tuple(touched))
    return lambda: stored


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
    neighbours = tuple(
        RelatedEntity(row["name"], row["type"], row["direction"], row["shared"], row["predicate"])
        for row in platform.graph.neighbours(entity["id"], limit=most)
    )
    memories = platform.record.get_many(platform.graph.memories_of(entity["id"], limit=most))
    return Related(entity["name"], entity["type"], space, neighbours, tuple(memories))
