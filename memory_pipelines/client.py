"""`MemoryClient`: the door for agents. One line each into the services; no logic of its own.

Importing it loads neither Dagster nor pandas nor a model: engines are opened and models loaded when first needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from memory_pipelines import wiring
from memory_pipelines.config import Settings, load
from memory_pipelines.domain.models import (
    DrainResult,
    ForgetResult,
    HistoryEntry,
    ImportResult,
    Memory,
    MemoryPage,
    Related,
    SaveResult,
    SearchHit,
    Status,
    SyncState,
    Verdict,
    Wait,
)
from memory_pipelines.services import audit as audit_service
from memory_pipelines.services import entities as entities_service
from memory_pipelines.services import memories as memories_service
from memory_pipelines.services import search as search_service
from memory_pipelines.services import status as status_service
from memory_pipelines.services import sync as sync_service
from memory_pipelines.services import transfer as transfer_service
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.transfer_importer import OnError

if TYPE_CHECKING:
    import pandas


class MemoryClient:
    """Save, find and forget memories. Safe to share between threads; use it as a context manager, or call `close`.

    Every method raises `MemoryPipelinesError` and nothing else on purpose: see `memory_pipelines.domain.errors`.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @classmethod
    def from_env(cls, settings: Settings | None = None) -> MemoryClient:
        """Open a client on what the environment names; what has no URL is embedded and started.

        Args:
            settings: instead of the environment.

        Raises:
            ConfigurationError: a setting is wrong, or an engine cannot be embedded here.
        """
        return cls(wiring.open_platform(settings or load()))

    def __enter__(self) -> MemoryClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection. Embedded engines go on running until `memory-pipelines down`."""
        self._platform.close()

    # -- writing ---------------------------------------------------------------------------------------------------

    def save(
        self,
        text: str,
        *,
        namespace: str = "default",
        key: str | None = None,
        id: str | None = None,  # noqa: A002  # the field's name everywhere else
        thread: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        source: str | None = None,
        created_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        entities: Sequence[Mapping[str, str]] = (),
        relations: Sequence[Mapping[str, str]] = (),
        revive: bool = False,
        wait: Wait = "none",
        timeout: float | None = None,
    ) -> SaveResult:
        """Save one memory. Saving again under the same `key` or `id` updates it; an equal save changes nothing.

        Args:
            text: what to remember, 1 to `MEMORY_TEXT_LIMIT` characters.
            namespace: made by its first save.
            key: the caller's own name for it, unique in the namespace.
            id: UUID; by default a new UUIDv7. Choose it yourself to retry after a crash of your own process.
            thread: the conversation it belongs to.
            metadata: a JSON object of at most 64 KiB.
            source: where it comes from, free text.
            created_at, expires_at: timezone-aware, or ISO 8601; `created_at` defaults to now.
            entities: `{"name", "type"}` each; never replaced by extraction.
            relations: `{"source", "predicate", "target"}` each; never replaced by extraction.
            revive: allow a forgotten key or id to live again; its numbers go on.
            wait: `graph` or `all` returns only when this version, links included, is there.
            timeout: seconds to wait at most; the sync budget by default.

        Raises:
            InvalidInput: what is wrong with which field; nothing was written.
            Conflict: the id belongs to another namespace or key.
            Gone: `memory_forgotten`, unless `revive`.
            SyncTimeout: saved and owed, but not visible in time.
        """
        item = {
            "text": text, "namespace": namespace, "key": key, "id": id, "thread": thread, "metadata": metadata or {}, "source": source,
            "created_at": created_at, "expires_at": expires_at, "entities": entities, "relations": relations,
        }  # fmt: skip
        return memories_service.save(self._platform, item, revive=revive, wait=wait, timeout=timeout)

    def save_many(
        self, items: Iterable[Mapping[str, Any]], *, revive: bool = False, wait: Wait = "none", timeout: float | None = None
    ) -> list[SaveResult]:
        """Save memories in batches, each batch whole or not at all.

        Args:
            items: mappings with the arguments of `save`. A forgotten key is not an error here: its result says `forgotten`.

        Raises:
            InvalidInput: with `detail["index"]`; nothing of that batch or a later one was written.
        """
        return memories_service.save_many(self._platform, items, revive=revive, wait=wait, timeout=timeout)

    def update(
        self,
        id: str,  # noqa: A002
        *,
        expected_version: int | None = None,
        wait: Wait = "none",
        timeout: float | None = None,
        **changes: Any,
    ) -> SaveResult:
        """Change only the fields named: `text`, `metadata` (replaced whole), `thread`, `source`, `created_at`, `expires_at`,
        `entities`, `relations`.

        Args:
            expected_version: refuse with `version_conflict` when someone else wrote since.

        Raises:
            NotFound, Gone, Conflict, InvalidInput
        """
        return memories_service.update(self._platform, id, changes, expected_version=expected_version, wait=wait, timeout=timeout)

    def forget(
        self,
        id: str | None = None,  # noqa: A002
        *,
        key: str | None = None,
        namespace: str | None = None,
        wait: Wait = "none",
        timeout: float | None = None,
    ) -> ForgetResult:
        """Forget one id, one key (of `namespace`, by default `default`), or a whole namespace (when only that is given).

        The record, its history, full text and vectors are gone when this returns; the graph is owed. Forgetting twice is fine.

        Raises:
            NotFound: `memory_unknown`, `namespace_unknown`
        """
        return memories_service.forget(self._platform, id=id, key=key, namespace=namespace, wait=wait, timeout=timeout)

    def import_file(
        self,
        path: str | Path,
        *,
        namespace: str | None = None,
        mapping: Mapping[str, str] | None = None,
        on_error: OnError = "stop",
        revive: bool = False,
    ) -> ImportResult:
        """Import a file of memories: JSON Lines, CSV or Parquet by its name. Importing it twice changes nothing.

        Args:
            namespace: of lines that name none; `default` otherwise.
            mapping: field of a memory to column of the file, as in `{"key": "id", "created_at": "date"}`.
            on_error: `stop` at the first bad line, with nothing of its batch written, or `skip` it. Both are told in `errors`.
            revive: let forgotten keys live again.

        Raises:
            InvalidInput: the file cannot be read, or no line has a mapped column.
        """
        return transfer_service.import_file(self._platform, path, namespace=namespace, mapping=mapping, on_error=on_error, revive=revive)

    def import_frame(
        self,
        frame: pandas.DataFrame,
        *,
        namespace: str | None = None,
        mapping: Mapping[str, str] | None = None,
        on_error: OnError = "stop",
        revive: bool = False,
    ) -> ImportResult:
        """Import the rows of a pandas DataFrame; everything else as `import_file`."""
        return transfer_service.import_frame(self._platform, frame, namespace=namespace, mapping=mapping, on_error=on_error, revive=revive)

    def export_file(self, path: str | Path, *, namespace: str | None = None) -> int:
        """Write every live memory, or those of one namespace, to a file that `import_file` reads back. Returns how many.

        Raises:
            NotFound: `namespace_unknown`
        """
        return transfer_service.export_file(self._platform, path, namespace=namespace)

    # -- reading ---------------------------------------------------------------------------------------------------

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

    def history(self, id: str) -> tuple[HistoryEntry, ...]:  # noqa: A002
        """Every version, oldest first; of a forgotten memory only numbers and times.

        Raises:
            NotFound: `memory_unknown`
        """
        return memories_service.history(self._platform, id)

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
        """The neighbours of an entity in the graph, and the memories that mention it.

        Raises:
            NotFound: `entity_unknown`, with near names in `detail["suggestions"]`
        """
        return entities_service.related(self._platform, name, namespace=namespace, limit=limit)

    # -- seeing and keeping in step --------------------------------------------------------------------------------

    def sync_state(self, id: str) -> SyncState:  # noqa: A002
        """Which version of a memory each projection holds.

        Raises:
            NotFound: `memory_unknown`
        """
        return sync_service.sync_state(self._platform, id)

    def sync(self, *projections: str) -> Sequence[DrainResult]:
        """Drain the named projections (all, in order, by default) in this process until nothing is owed."""
        return sync_service.drain_all(self._platform, projections)

    def rebuild(self, projection: str, *, drop: bool = False) -> DrainResult:
        """Make a whole projection again from the record; `drop` deletes the graph first, which a record that was rolled back needs."""
        return sync_service.rebuild(self._platform, projection, drop=drop)

    def audit(self, *, deep: bool = False, repair: bool = False) -> Verdict:
        """Compare every store with the record; with `repair`, owe what differs, drain, and audit once more."""
        return audit_service.audit(self._platform, deep=deep, repair=repair)

    def status(self) -> Status:
        """What is owed to each projection, since when, what is parked, and how the engines are."""
        return status_service.status(self._platform)

    def health(self) -> Mapping[str, Mapping[str, Any]]:
        """Each engine: whether it answers, its version and address (never credentials)."""
        return status_service.health(self._platform)
