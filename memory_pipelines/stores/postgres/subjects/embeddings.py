"""Results of the `embeddings` projection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memory_pipelines.domain.vectors import format_vectors
from memory_pipelines.ports import Vectors
from memory_pipelines.stores.postgres.subjects.caller import Caller

_BINARY_FROM = 50  # vectors; a few are as fast as text
_NUMBERS_PER_CALL = 150_000  # of vectors that go as text: about 2 MB of it, stored in a fraction of a second


class Embeddings(Caller):
    """See `ports.record.EmbeddingRecords`."""

    def store_embeddings(self, rows: Sequence[Mapping[str, Any]], vectors: Vectors, *, generation: int) -> Mapping[str, Any]:
        """Store vectors and settle. Many go as binary where the transport can; else they go as text, in as many calls as it takes.
        `vectors` stand in the order of the rows, each of which says how many are its own."""
        if self._transport.binary and len(vectors) >= _BINARY_FROM:
            payload = {"rows": list(rows), "generation": generation}
            return dict(self._transport.call_with_vectors("memory_store_vectors_v1", payload, vectors))
        answer: Counter[str] = Counter(stored=0, superseded=0)
        for part, own in _parts(rows, vectors):
            payload = {"rows": part, "generation": generation, "vectors": format_vectors(own)}
            answer.update(self._call("memory_store_embeddings_v1", payload))
        return dict(answer)

    def generation(self, model: str, dimensions: int) -> int:
        """The active generation for this model; made on first use."""
        return int(self._call("memory_generation_v1", {"model": model, "dimensions": dimensions})["generation"])


def _parts(rows: Sequence[Mapping[str, Any]], vectors: Vectors) -> Iterator[tuple[Sequence[Mapping[str, Any]], Vectors]]:
    """Rows with their vectors, in parts that a call can carry. All vectors of a row stay with it: they are stored and settled together."""
    most = _NUMBERS_PER_CALL // max(len(vectors[0]), 1) if len(vectors) else 0
    first_row = first = last = 0
    for n, row in enumerate(rows):
        count = int(row.get("vectors", 0))
        if n > first_row and last + count - first > most:
            yield rows[first_row:n], vectors[first:last]
            first_row, first = n, last
        last += count
    yield rows[first_row:], vectors[first:]  # with what no row counts, which is refused
