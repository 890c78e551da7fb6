"""How the `embeddings` projection is made: passages and entity names to vectors, many a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Claim, Owed
from memory_pipelines.domain.passages import cut
from memory_pipelines.ports import Vectors
from memory_pipelines.services.breakers import breakers
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projections import poison
from memory_pipelines.services.projections.projection import Batch, Settle, Stored, failure

_HARMLESS = "Ada lives in Porto."  # no embedder has a reason to refuse this


def embed(platform: Platform, claim: Claim) -> Batch:
    """Embed what a claim names. A text that the model refuses is charged to its row alone; an outage raises."""
    batch = Batch(claim)
    live: list[tuple[Owed, Sequence[str]]] = []
    again: dict[int, Sequence[str]] = {}
    for row in claim.rows:
        if row.state is None or row.state["deleted"]:
            batch.rows.append({"kind": row.kind, "id": row.id, "number": row.number, "version": 0, "vectors": 0})
        elif row.hint and row.hint.get("recut") and row.state["text"] is not None:  # another worker may have done it since
            again[row.number] = cut(row.state["text"], platform.settings.passage_chars)
            live.append((row, again[row.number]))
        else:
            live.append((row, row.state["passages"]))
    live, batch.vectors = _embedded(platform, batch, live)
    for row, passages in live:
        written = {"kind": row.kind, "id": row.id, "number": row.number, "version": row.state["version"] if row.state else 0}
        batch.rows.append(written | {"vectors": len(passages)} | ({"passages": list(passages)} if row.number in again else {}))
    # The vectors stand in the order of the rows: those without any came first, and count none.
    batch.sample.extend({"kind": row.kind, "id": row.id, "passages": len(passages)} for row, passages in live[:5])
    return batch


def _embedded(platform: Platform, batch: Batch, live: list[tuple[Owed, Sequence[str]]]) -> tuple[list[tuple[Owed, Sequence[str]]], Vectors]:
    """All vectors of some rows in one call; if that fails, of halves, down to the rows that fail alone, which are charged."""

    def work(rows: Sequence[tuple[Owed, Sequence[str]]]) -> Vectors:
        return _vectors(platform, [text for _, passages in rows for text in passages])

    found = poison.sift(live, work, control=lambda: _vectors(platform, [_HARMLESS]))
    for (row, _), error in found.poison:
        batch.failures.append(failure(row, poison.reason(error), final=poison.is_final(error), code=poison.code(error)))
    taken = [row for rows, _ in found.passed for row in rows]
    if len(found.passed) == 1:
        return taken, found.passed[0][1]
    return taken, [vector for _, vectors in found.passed for vector in vectors]


def _vectors(platform: Platform, texts: Sequence[str]) -> Vectors:
    return breakers.guarded(platform, "embedder", lambda: platform.embedder.embed(texts)) if texts else ()


def store(platform: Platform, batch: Batch) -> Settle:
    """Store the vectors and settle, in one transaction."""
    if not batch.rows:
        return Stored
    generation = platform.record.generation(platform.embedder.name, platform.embedder.dimensions)
    starts = [0, *accumulate(row["vectors"] for row in batch.rows)]

    def work(rows: Sequence[tuple[int, dict[str, Any]]]) -> Mapping[str, Any]:
        vectors = batch.vectors[starts[rows[0][0]] : starts[rows[-1][0] + 1]]
        return platform.record.store_embeddings([row for _, row in rows], vectors, generation=generation)

    nothing = partial(platform.record.store_embeddings, [], [], generation=generation)
    found = poison.sift(list(enumerate(batch.rows)), work, control=nothing)
    reach("embeddings.stored")
    owed = {(row.kind, row.id): row for row in batch.claim.rows}
    for (_, row), error in found.poison:
        charged = owed[row["kind"], row["id"]]
        batch.failures.append(failure(charged, poison.reason(error), final=poison.is_final(error), code=poison.code(error)))
    answers = [answer for _, answer in found.passed]
    stored = Stored(done=sum(answer["stored"] for answer in answers), superseded=sum(answer["superseded"] for answer in answers))
    return lambda: stored
