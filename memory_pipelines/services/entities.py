"""Entities: how the `entities` projection is made, and what `related` shows of the graph."""

from __future__ import annotations

from collections.abc import Sequence

from memory_pipelines.domain import validation
from memory_pipelines.domain.errors import NotFound
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Claim, Links, Owed, Related, RelatedEntity
from memory_pipelines.domain.vectors import format_vector
from memory_pipelines.ports import Extraction
from memory_pipelines.services import breakers, events, poison
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projection import Batch, Settle, Stored, failure

_HARMLESS = "Ada lives in Porto."  # no extractor has a reason to fail on this
_EMPTIED = (
    "The extraction found nothing in a text that gave links before; they were left as they are. Retry it, or accept the empty result"
    " (`memory-pipelines dead retry … --accept-empty`)."
)


def extract(platform: Platform, claim: Claim) -> Batch:
    """Extract links from the texts of a claim. What one text did wrong is charged to its row; an outage raises."""
    batch = Batch(claim)
    live = [row for row in claim.rows if row.state is not None and not row.state["deleted"]]
    for row in claim.rows:
        if row.state is None or row.state["deleted"]:
            batch.rows.append({"id": row.id, "number": row.number, "version": 0, "links": Links()})
    found = poison.sift(live, lambda rows: _extracted(platform, rows), control=lambda: _extracted(platform, (), _HARMLESS))
    for row, error in found.poison:
        batch.failures.append(failure(row, poison.reason(error), final=poison.is_final(error), code=poison.code(error)))
    for rows, results in found.passed:
        for row, result in zip(rows, results, strict=True):
            if result.links is None:
                problem = result.problem or "extraction failed"
                batch.failures.append(failure(row, problem, final=result.final, code=result.code, tokens=result.tokens))
                continue
            version = row.state["version"] if row.state else 0
            batch.rows.append({"id": row.id, "number": row.number, "version": version, "links": result.links, "tokens": result.tokens})
            batch.sample.append({"memory": row.id, "entities": ", ".join(entity.name for entity in result.links.entities[:6])})
    return batch


def _extracted(platform: Platform, rows: Sequence[Owed], *others: str) -> list[Extraction]:
    texts = [str((row.state or {})["text"]) for row in rows]
    return breakers.guarded(platform, "extractor", lambda: platform.extractor.extract([*texts, *others]))


def store(platform: Platform, batch: Batch) -> Settle:
    """Store the links and settle, in one transaction; what they touched is published.

    A result without links, where the very same text gave some before, is parked instead: a model's bad day must not forget them.
    """
    if not batch.rows:
        return Stored
    accept_empty = platform.extractor.name == "none"  # it was chosen to find nothing
    found = poison.sift(
        batch.rows,
        lambda rows: platform.record.store_links(rows, accept_empty=accept_empty, lease=batch.lease),
        control=lambda: platform.record.store_links([]),
    )
    reach("entities.stored")
    owed = {row.id: row for row in batch.claim.rows}
    for row, error in found.poison:
        batch.failures.append(failure(owed[row["id"]], poison.reason(error), final=poison.is_final(error), code=poison.code(error)))
    tokens = {row["id"]: row.get("tokens", 0) for row in batch.rows}
    answers = [answer for _, answer in found.passed]
    for id_ in [id_ for answer in answers for id_ in answer["emptied"]]:
        batch.failures.append(failure(owed[id_], _EMPTIED, final=True, code="extraction_emptied", tokens=tokens[id_]))
    touched = tuple(ref for answer in answers for ref in answer["touched"])
    events.publish(platform, touched)
    reach("entities.published")
    done, superseded = sum(answer["stored"] for answer in answers), sum(answer["superseded"] for answer in answers)
    stored = Stored(done=done, superseded=superseded, touched=touched)
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
