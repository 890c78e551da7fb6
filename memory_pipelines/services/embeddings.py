"""How the `embeddings` projection is made: passages and entity names to vectors, many a call."""

from __future__ import annotations

from collections.abc import Sequence

from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Claim, Owed
from memory_pipelines.domain.passages import cut
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projection import Batch, Stored, failure


def embed(platform: Platform, claim: Claim) -> Batch:
    """Embed what a claim names. A text that the model refuses is charged to its row alone; an outage raises."""
    batch = Batch(claim)
    live: list[tuple[Owed, Sequence[str]]] = []
    for row in claim.rows:
        if row.state is None or row.state["deleted"]:
            batch.rows.append({"kind": row.kind, "id": row.id, "number": row.number, "version": 0})
        elif row.hint and row.hint.get("recut") and row.state["text"] is not None:  # another worker may have done it since
            again = cut(row.state["text"], platform.settings.passage_chars)
            batch.rows.append(_row(row) | {"passages": list(again)})
            live.append((row, again))
        else:
            batch.rows.append(_row(row))
            live.append((row, row.state["passages"]))
    try:
        _add(platform, batch, live)
    except InvalidInput:
        batch.vectors.clear()
        for row, passages in live:
            try:
                _add(platform, batch, [(row, passages)])
            except InvalidInput as error:
                batch.rows = [item for item in batch.rows if (item["kind"], item["id"]) != (row.kind, row.id)]
                batch.failures.append(failure(row, f"{error.code}: {error.message}", final=True))
    batch.sample.extend({"kind": row.kind, "id": row.id, "passages": len(passages)} for row, passages in live[:5])
    return batch


def store(platform: Platform, batch: Batch) -> Stored:
    """Store the vectors and settle, in one transaction."""
    if not batch.rows:
        return Stored()
    generation = platform.record.generation(platform.embedder.name, platform.embedder.dimensions)
    answer = platform.record.store_embeddings(batch.rows, batch.vectors, generation=generation)
    reach("embeddings.stored")
    return Stored(done=answer["stored"], superseded=answer["superseded"])


def _row(row: Owed) -> dict[str, object]:
    return {"kind": row.kind, "id": row.id, "number": row.number, "version": row.state["version"] if row.state else 0}


def _add(platform: Platform, batch: Batch, live: Sequence[tuple[Owed, Sequence[str]]]) -> None:
    texts = [text for _, passages in live for text in passages]
    if not texts:
        return
    places = [(row.kind, row.id, n) for row, passages in live for n in range(len(passages))]
    vectors = platform.embedder.embed(texts)
    batch.vectors.extend((kind, id_, n, vector) for (kind, id_, n), vector in zip(places, vectors, strict=True))
