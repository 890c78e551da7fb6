"""Which model a setting means.

Lives here: the names that `MEMORY_EMBEDDER` and `MEMORY_EXTRACTOR` may have. To add one, add a branch here and its name
to the message. Imports are inside the branches, so a client that uses local models never loads `openai`, and the reverse.
Must stay out: the models themselves.
"""

from __future__ import annotations

from memory_pipelines.config import Settings
from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.ports import Embedder, Extractor


def open_embedder(settings: Settings) -> Embedder:
    """The embedder that `settings.embedder` names; nothing is loaded or asked before its first use.

    Raises:
        ConfigurationError: `config_invalid` for an unknown name or missing dimensions, `openai_key_missing`.
    """
    kind, model = _parse(settings.embedder)
    if kind == "wordllama" and model is None:
        from memory_pipelines.models.embedders.wordllama import WordLlamaEmbedder

        if settings.embedding_dimensions not in (None, WordLlamaEmbedder.dimensions):
            raise ConfigurationError(
                "config_invalid",
                f"The embedder `wordllama` has {WordLlamaEmbedder.dimensions} dimensions; leave MEMORY_EMBEDDING_DIMENSIONS empty.",
            )
        return WordLlamaEmbedder()
    if kind == "openai":
        from memory_pipelines.models.embedders.openai import DEFAULT_MODEL, OpenAIEmbedder
        from memory_pipelines.models.openai_client import open_client

        return OpenAIEmbedder(open_client(settings), model or DEFAULT_MODEL, settings.embedding_dimensions)
    raise _unknown("MEMORY_EMBEDDER", settings.embedder, "`wordllama`, `openai` or `openai:<model>`")


def open_extractor(settings: Settings) -> Extractor:
    """The extractor that `settings.extractor` names; nothing is loaded or asked before its first use.

    Raises:
        ConfigurationError: `config_invalid` for an unknown name, `openai_key_missing`.
    """
    kind, model = _parse(settings.extractor)
    if kind == "rules" and model is None:
        from memory_pipelines.models.extractors.rules import RulesExtractor

        return RulesExtractor()
    if kind == "none" and model is None:
        from memory_pipelines.models.extractors.none import NoExtractor

        return NoExtractor()
    if kind == "openai":
        from memory_pipelines.models.extractors.openai import DEFAULT_MODEL, OpenAIExtractor
        from memory_pipelines.models.openai_client import open_client

        return OpenAIExtractor(open_client(settings), model or DEFAULT_MODEL)
    raise _unknown("MEMORY_EXTRACTOR", settings.extractor, "`rules`, `none`, `openai` or `openai:<model>`")


def _parse(value: str) -> tuple[str, str | None]:
    """`openai:<model>` into its parts. A model's name may hold colons itself (`ft:gpt-…`)."""
    kind, separator, model = value.strip().partition(":")
    if separator and not model.strip():
        return value, None
    return kind.strip().lower(), model.strip() or None


def _unknown(variable: str, value: str, allowed: str) -> ConfigurationError:
    # The value is not repeated beyond its kind: someone may have pasted a key into the wrong variable.
    kind = value.partition(":")[0][:20]
    return ConfigurationError("config_invalid", f"{variable} is not known (it begins with {kind!r}); it may be {allowed}.")
