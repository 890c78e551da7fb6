"""How the `entities` projection is made: texts to entities, mentions and relations, many a call."""

from __future__ import annotations

from collections.abc import Sequence

from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Claim, Links, Owed
from memory_pipelines.ports import Extraction
from memory_pipelines.services import events
from memory_pipelines.services.breakers import breakers
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projections import poison
from memory_pipelines.services.projections.projection import Batch, Settle, Stored, failure

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
            numbers = {"entities": len(result.links.entities), "relations": len(result.links.relations)}
            batch.sample.append({"kind": row.kind, "id": row.id, **numbers})
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
