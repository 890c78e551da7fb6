"""Search: the question's vector and words go to one SQL function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memory_pipelines.domain import validation
from memory_pipelines.domain.models import SearchHit
from memory_pipelines.domain.vectors import format_vector
from memory_pipelines.services.memories import filters
from memory_pipelines.services.platform import Platform


def search(
    platform: Platform, query: str, *, namespace: str, limit: int, thread: str | None, metadata: Mapping[str, Any] | None,
    created_after: Any, created_before: Any,
) -> tuple[SearchHit, ...]:  # fmt: skip
    """The best hits; see `MemoryClient.search`."""
    question = validation.query(query)
    request = filters(namespace, thread, metadata, created_after, created_before)
    request |= {"query": question, "limit": validation.limit(limit), "exact": platform.settings.exact_search_passages}
    request["vector"] = format_vector(platform.embedder.embed([question])[0])
    return platform.record.search(request)
