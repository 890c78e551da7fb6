"""The local embedder: WordLlama, whose weights are in its own wheel. No key, no network, no graphics card.

Lives here: loading it and pooling its token vectors. Must stay out: any other model; each has its file.

`WordLlamaInference.embed` pads every text of a batch to the longest one and multiplies by a mask. Summing each text's own
rows gives the same vectors (a test holds the two together) in about half the time, and a text's vector cannot depend on
what else was in its batch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.domain.vectors import unit_rows
from memory_pipelines.models.embedders.texts import check_texts

_CONFIG, _DIMENSIONS = "l2_supercat", 256
_TEXTS_AT_ONCE = 1024  # bounds the memory that tokens take; the tokenizer spreads a batch over the cores

_lock = Lock()
_loaded: Any = None


class WordLlamaEmbedder:
    """Satisfies `Embedder`. Thread-safe; the model is loaded at the first text, once per process.

    A text without a single token (an empty one) has no direction; it becomes the first axis, see `domain.vectors.unit_rows`.
    """

    name = f"wordllama-l2-supercat-{_DIMENSIONS}"
    dimensions = _DIMENSIONS

    def embed(self, texts: Sequence[str]) -> Any:
        """One unit-length float32 row of 256 numbers per text, in order.

        They are one numpy array, because turning four million numbers into Python's takes a third as long as computing them.

        Raises:
            InvalidInput: `embedding_refused`, a text is not valid Unicode; `detail.index` says which.
            ConfigurationError: `model_missing`, the package came without its weights.
        """
        if not texts:
            return []
        check_texts(texts)
        import numpy as np

        model = _model()
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        number = 0
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            batch = list(texts[start : start + _TEXTS_AT_ONCE])
            for encoding in model.tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                if ids := encoding.ids:
                    # A mean is a sum as far as the direction goes, and the length becomes 1 anyway.
                    np.add.reduce(model.embedding.take(ids, axis=0, mode="clip"), axis=0, out=rows[number])
                number += 1
        return unit_rows(rows)

    def cost(self) -> Mapping[str, float]:
        """Always empty: a local model costs time only."""
        return {}


def _model() -> Any:
    """The model of this process: `embedding` (vocabulary × 256 float32) and `tokenizer`."""
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = _load()
    return _loaded


def _load() -> Any:
    # Importing wordllama calls `logging.basicConfig(level=INFO)`; how a process logs is not a library's to decide.
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        import wordllama
    except ImportError:
        raise ConfigurationError("model_missing", "The package `wordllama` is not installed; install it, or set MEMORY_EMBEDDER.") from None
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    # The package's default folder lacks the tokenizer and would be filled from the network; its own folder has everything.
    folder = Path(wordllama.__file__).parent
    try:
        model = wordllama.WordLlama.load(_CONFIG, cache_dir=folder, dim=_DIMENSIONS, disable_download=True)
    except FileNotFoundError as error:
        raise ConfigurationError("model_missing", f"The installed `wordllama` lacks a file of its model; reinstall it. {error}") from None
    model.tokenizer.no_padding()
    return model
