"""How the `embeddings` projection is made: passages and entity names to vectors, many a call."""

from __future__ import annotations

from collections.abc import Sequence

from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Claim, Owed
from memory_pipelines.domain.passages import cut
from memory_pipelines.ports import Vectors
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projection import Batch, Settle, Stored, failure


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
    """All vectors of some rows in one call; if the model refuses a text, row by row, without those that it refuses."""
    texts = [text for _, passages in live for text in passages]
    if not texts:
        return live, ()
    try:
        return live, platform.embedder.embed(texts)
    except InvalidInput:
        taken: list[tuple[Owed, Sequence[str]]] = []
        vectors: list[Sequence[float]] = []
        for row, passages in live:
            try:
                vectors.extend(platform.embedder.embed(passages) if passages else ())
                taken.append((row, passages))
            except InvalidInput as error:
                batch.failures.append(failure(row, f"{error.code}: {error.message}", final=True))
        return taken, vectors


def store(platform: Platform, batch: Batch) -> Settle:
    """Store the vectors and settle, in one transaction."""
    if not batch.rows:
        return Stored
    generation = platform.record.generation(platform.embedder.name, platform.embedder.dimensions)
    answer = platform.record.store_embeddings(batch.rows, batch.vectors, generation=generation)
    reach("embeddings.stored")
    stored = Stored(done=answer["stored"], superseded=answer["superseded"])
    return lambda: stored
