"""Embeddings from OpenAI, or from any server that speaks its wire format.

Lives here: batching, and checking what came back. A new model of known size is a line in `_KNOWN`. Must stay out:
retries (the `openai` package does them) and the meaning of failures (`openai_client.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

import openai

from memory_pipelines.domain.errors import ConfigurationError, InvalidInput, Unavailable
from memory_pipelines.domain.vectors import unit_rows
from memory_pipelines.models.embedders.texts import check_texts
from memory_pipelines.models.openai_client import FAILURES, failure, is_refusal, short_code

DEFAULT_MODEL = "text-embedding-3-small"

_KNOWN = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
_TEXTS_PER_REQUEST = 2048  # the API's own bound
_CHARS_PER_REQUEST = 250_000  # the API's is 300,000 tokens, and a token is rarely less than one character


class OpenAIEmbedder:
    """Satisfies `Embedder`. Thread-safe.

    Args:
        client: see `openai_client.open_client`.
        model: as the server names it.
        dimensions: asked of the server if it is not what the model has by itself; needed for models that are not OpenAI's.

    Raises:
        ConfigurationError: `config_invalid`, the model's dimensions are not known here and were not given.
    """

    def __init__(self, client: openai.OpenAI, model: str = DEFAULT_MODEL, dimensions: int | None = None) -> None:
        size = dimensions or _KNOWN.get(model)
        if size is None:
            raise ConfigurationError("config_invalid", f"Set MEMORY_EMBEDDING_DIMENSIONS to those of the embedding model {model!r}.")
        self.name = f"openai-{model}-{size}"
        self.dimensions = size
        self._client = client
        self._model = model
        self._ask_dimensions = size != _KNOWN.get(model)
        self._tokens = 0
        self._lock = Lock()

    def embed(self, texts: Sequence[str]) -> list[Any]:
        """One unit-length float32 row of `dimensions` numbers per text, in order.

        Raises:
            InvalidInput: `embedding_refused`; `detail.index` says which text. Others of the call may be fine.
            Unavailable: `embedder_unavailable`; `embedding_invalid` when the answer does not fit the question.
            ConfigurationError: `openai_unauthorised`, `openai_rejected`, `dimension_mismatch`.
        """
        check_texts(texts)
        rows: list[Any] = []
        for start, end in _batches(texts):
            rows += self._batch(list(texts[start:end]), start)
        return rows

    def cost(self) -> Mapping[str, float]:
        """`{"tokens": …}`, as the server counted them."""
        with self._lock:
            return {"tokens": float(self._tokens)}

    def _batch(self, texts: list[str], first: int) -> list[Any]:
        try:
            answer = self._request(texts)
        except FAILURES as error:
            if not is_refusal(error) or getattr(error, "param", None) in ("model", "dimensions"):
                raise failure(error, "embedder") from None
            if len(texts) == 1:
                raise InvalidInput(
                    "embedding_refused",
                    f"The embedder refused text {first} ({short_code(error)}); shorten or correct it.",
                    {"index": first, "reason": short_code(error)},
                ) from None
            # The server does not say which text it minds, or only minds how many: halves find out.
            half = len(texts) // 2
            return self._batch(texts[:half], first) + self._batch(texts[half:], first + half)
        return self._checked(answer, len(texts))

    def _request(self, texts: list[str]) -> Any:
        if not self._ask_dimensions:
            return self._client.embeddings.create(model=self._model, input=texts)
        try:
            return self._client.embeddings.create(model=self._model, input=texts, dimensions=self.dimensions)
        except FAILURES as error:
            if self._model in _KNOWN or not is_refusal(error) or "dimension" not in str(error):
                raise
            # Some compatible servers know no such parameter. What they send without it is held against `dimensions`.
            answer = self._client.embeddings.create(model=self._model, input=texts)
            self._ask_dimensions = False
            return answer

    def _checked(self, answer: Any, count: int) -> list[Any]:
        """The rows of an answer, restored to the order of the texts by `index`."""
        import numpy as np

        usage = getattr(answer, "usage", None)
        with self._lock:
            self._tokens += getattr(usage, "total_tokens", None) or 0
        try:
            vectors = {item.index: item.embedding for item in answer.data}
            if len(answer.data) != count or set(vectors) != set(range(count)):
                raise _invalid(f"{len(answer.data)} embeddings for {count} texts, or not one for each")
            lengths = {len(vector) for vector in vectors.values()}
            if lengths != {self.dimensions}:
                raise ConfigurationError(
                    "dimension_mismatch",
                    f"{self.name} should have {self.dimensions} dimensions, not {sorted(lengths)}; correct MEMORY_EMBEDDING_DIMENSIONS.",
                    {"expected": self.dimensions, "actual": sorted(lengths)},
                )
            return list(unit_rows(np.array([vectors[index] for index in range(count)], dtype=np.float32)))
        except (AttributeError, TypeError, ValueError):
            raise _invalid("something else than vectors of numbers") from None


def _batches(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Borders of requests, within both bounds; a text above the bound of characters goes alone."""
    start = chars = 0
    for index, text in enumerate(texts):
        if index > start and (index - start == _TEXTS_PER_REQUEST or chars + len(text) > _CHARS_PER_REQUEST):
            yield start, index
            start, chars = index, 0
        chars += len(text)
    if start < len(texts):
        yield start, len(texts)


def _invalid(what: str) -> Unavailable:
    return Unavailable("embedding_invalid", f"The embedder's server sent {what}; nothing of it was used. Check OPENAI_BASE_URL.")
