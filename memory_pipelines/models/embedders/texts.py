"""What every embedder asks of its texts before it starts. Must stay out: limits of one provider."""

from __future__ import annotations

from collections.abc import Sequence

from memory_pipelines.domain.errors import InvalidInput


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what no encoding can carry, so that it is charged to the text and not to the model or the network.

    Raises:
        InvalidInput: `embedding_refused`; `detail.index` says which text.
    """
    for index, text in enumerate(texts):
        if text.isascii():
            continue
        try:
            text.encode()
        except UnicodeEncodeError:
            message = f"Text {index} holds half a surrogate pair, which no encoding can carry; remove it."
            raise InvalidInput("embedding_refused", message, {"index": index}) from None
