"""Get, list, search, walk the graph."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from memory_pipelines.client.door import Door
from memory_pipelines.domain.models import HistoryEntry, Memory, MemoryPage, Namespace, Related, SearchHit
from memory_pipelines.services import memories as memories_service
from memory_pipelines.services import related as related_service
from memory_pipelines.services import search as search_service


class Reading(Door):
    """The reading part of `MemoryClient`."""

    def get(self, id: str | None = None, *, key: str | None = None, namespace: str = "default") -> Memory:  # noqa: A002
        """The live memory with this id, or this key in this namespace.

        Raises:
            NotFound: `memory_unknown`
            Gone: `memory_forgotten`, `memory_expired`
        """
        return memories_service.get(self._platform, id=id, key=key, namespace=namespace)

    def list(
        self,
        *,
        namespace: str = "default",
        thread: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> MemoryPage:
        """Live memories, newest first, by keyset: a page's `cursor` continues exactly after its last row.

        Args:
            metadata: only memories whose metadata contain these pairs.
            limit: rows a page, 1 to 1000.

        Raises:
            NotFound: `namespace_unknown`
            InvalidInput: `limit_invalid`, `cursor_invalid`
        """
        return memories_service.list_page(
            self._platform, namespace=namespace, thread=thread, metadata=metadata,
            created_after=created_after, created_before=created_before, limit=limit, cursor=cursor,
        )  # fmt: skip

    def history(
        self,
        id: str | None = None,  # noqa: A002
        *,
        key: str | None = None,
        namespace: str = "default",
    ) -> tuple[HistoryEntry, ...]:
        """Every version of the memory with this id, or with this key in its namespace, oldest first; of a forgotten one only numbers and
        times.

        Raises:
            NotFound: `memory_unknown`, `namespace_unknown`
        """
        return memories_service.history(
            self._platform, memories_service.named(self._platform, id=id, key=key, namespace=namespace, gone=True)
        )

    def namespaces(self) -> tuple[Namespace, ...]:
        """Every namespace, by name, with how many memories, entities and relations it holds, and how many bytes were written."""
        return memories_service.namespaces(self._platform)

    def search(
        self,
        query: str,
        *,
        namespace: str = "default",
        limit: int = 10,
        thread: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
    ) -> tuple[SearchHit, ...]:
        """The memories that fit best by meaning and by words, fused by rank; one hit a memory, with its best passage.

        What is not embedded yet is found by its words. Expired and forgotten memories never appear.

        Args:
            query: a question or some words.
            limit: hits at most, 1 to 1000.
            thread, metadata, created_after, created_before: filters, applied before ranking.

        Raises:
            InvalidInput: `query_empty`, `limit_invalid`
            NotFound: `namespace_unknown`
        """
        return search_service.search(
            self._platform, query, namespace=namespace, limit=limit, thread=thread, metadata=metadata,
            created_after=created_after, created_before=created_before,
        )  # fmt: skip

    def related(self, name: str, *, namespace: str = "default", limit: int = 20) -> Related:
        """The neighbours of an entity in the graph, each once with what joins them, and the memories that mention it.

        Args:
            name: in any spelling under which names are one; a merged name means what it is shown as.
            limit: neighbours at most, and memories at most.

        Raises:
            NotFound: `entity_unknown`, with near names in `detail["suggestions"]`
        """
        return related_service.related(self._platform, name, namespace=namespace, limit=limit)
