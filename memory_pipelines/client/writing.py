"""Save, update, forget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from memory_pipelines.client.door import Door
from memory_pipelines.domain.models import EntityMention, ForgetResult, RelationMention, SaveResult, Wait
from memory_pipelines.services import forgetting
from memory_pipelines.services import memories as memories_service


class Changes(TypedDict, total=False):
    """What an update may name, for type checkers; None clears a field. The rules are `domain.validation.patch`."""

    text: str
    metadata: Mapping[str, Any] | None
    thread: str | None
    source: str | None
    created_at: datetime | str
    expires_at: datetime | str | None
    entities: Sequence[Mapping[str, str] | EntityMention] | None
    relations: Sequence[Mapping[str, str] | RelationMention] | None


class Writing(Door):
    """The writing part of `MemoryClient`."""

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
        entities: Sequence[Mapping[str, str] | EntityMention] = (),
        relations: Sequence[Mapping[str, str] | RelationMention] = (),
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
            entities: `{"name", "type"}` each, or as a memory has them; never replaced by extraction.
            relations: `{"source", "predicate", "target"}` each, or as a memory has them; never replaced by extraction.
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
        id: str | None = None,  # noqa: A002
        *,
        key: str | None = None,
        namespace: str = "default",
        expected_version: int | None = None,
        wait: Wait = "none",
        timeout: float | None = None,
        **changes: Unpack[Changes],
    ) -> SaveResult:
        """Change only the fields named, of the memory with this id, or with this key in its namespace: `text`, `metadata` (replaced
        whole), `thread`, `source`, `created_at`, `expires_at`, `entities`, `relations`.

        Args:
            expected_version: refuse with `version_conflict` when someone else wrote since. The same update once more is `unchanged`.

        Raises:
            NotFound, Gone, Conflict, InvalidInput
        """
        named = memories_service.named(self._platform, id=id, key=key, namespace=namespace)
        return memories_service.update(self._platform, named, changes, expected_version=expected_version, wait=wait, timeout=timeout)

    def forget(
        self,
        id: str | None = None,  # noqa: A002
        *,
        key: str | None = None,
        namespace: str | None = None,
        thread: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        before: datetime | str | None = None,
        wait: Wait = "none",
        timeout: float | None = None,
    ) -> ForgetResult:
        """Forget one id, one key (of `namespace`, by default `default`), or a namespace (when neither is given): all of it, or what is
        chosen of it. `count` says beforehand how much that is.

        The record, its history, full text and vectors are gone when this returns; the graph is owed. Forgetting twice is fine, and a call
        that was interrupted can be made again.

        Args:
            thread: of a namespace, only this conversation.
            metadata: only memories whose metadata contain these pairs.
            before: only memories created before this time.

        Raises:
            NotFound: `memory_unknown`, `namespace_unknown`
            InvalidInput: `arguments_invalid`, `metadata_invalid`, `timestamp_invalid`
        """
        return forgetting.forget(
            self._platform, id=id, key=key, namespace=namespace, thread=thread, metadata=metadata, before=before, wait=wait, timeout=timeout
        )

    def count(
        self,
        *,
        namespace: str = "default",
        thread: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        before: datetime | str | None = None,
    ) -> int:
        """How many memories `forget` with the same arguments would find; what has expired and is not yet swept counts.

        Raises:
            NotFound: `namespace_unknown`
            InvalidInput: `metadata_invalid`, `timestamp_invalid`
        """
        return forgetting.count(self._platform, namespace=namespace, thread=thread, metadata=metadata, before=before)
