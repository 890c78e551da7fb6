"""Memories: written, read, searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_pipelines.domain.models import ForgetResult, HistoryEntry, Memory, MemoryInput, Namespace, Ref, SaveResult, SearchHit
from memory_pipelines.domain.names import name_key
from memory_pipelines.stores.postgres import shapes
from memory_pipelines.stores.postgres.subjects.caller import Caller


class Memories(Caller):
    """See `ports.record.MemoryRecords`."""

    def save(self, memories: Sequence[MemoryInput], *, revive: bool = False) -> list[SaveResult]:
        """Save a batch, whole or not at all; see `memory_save_v1`."""
        answer = self._call("memory_save_v1", {"memories": [shapes.save_item(item) for item in memories], "revive": revive})
        return [shapes.save_result(row) for row in answer["results"]]

    def update(self, id: str, changes: Mapping[str, Any], *, expected_version: int | None = None) -> SaveResult:  # noqa: A002
        """Change the fields present in `changes` (already validated; entities and relations are given together)."""
        body = {name: shapes.plain(value) for name, value in changes.items() if name not in {"entities", "relations"}}
        if "entities" in changes or "relations" in changes:
            body["given"] = shapes.given(changes.get("entities", ()), changes.get("relations", ()))
        payload: dict[str, Any] = {"id": id, "changes": body}
        if expected_version is not None:
            payload["expected_version"] = expected_version
        return shapes.save_result(self._call("memory_update_v1", payload))

    def forget(
        self, *, ids: Sequence[str] = (), key: str | None = None, namespace: str | None = None, limit: int = 500,
        chosen: Mapping[str, Any] | None = None,
    ) -> tuple[ForgetResult, bool]:  # fmt: skip
        """Forget ids, one key, or a page of a namespace (of what is `chosen` there); the second value says whether a page may be
        followed by another."""
        if ids:
            payload: dict[str, Any] = {"ids": list(ids)}
        elif key is not None:
            payload = {"namespace": namespace, "key": key}
        else:
            payload = {"namespace": namespace, "limit": limit, **shapes.plain(chosen or {})}
        answer = self._call("memory_forget_v1", payload)
        gone = tuple(answer["ids"])
        refs = (*(Ref("memory", i) for i in gone), *shapes.refs(answer["touched"]))
        return ForgetResult(len(gone), tuple(answer["of"] or ()), shapes.time(answer["at"]), refs), bool(answer["more"])

    def count(self, namespace: str, chosen: Mapping[str, Any]) -> int:
        """How many memories `forget` would find."""
        return int(self._call("memory_count_v1", {"namespace": namespace, **shapes.plain(chosen)}))

    def get(self, *, id: str | None = None, key: str | None = None, namespace: str | None = None) -> Memory:  # noqa: A002
        """One live memory; raises `NotFound` or `Gone`."""
        return shapes.memory(self._call("memory_get_v1", {"id": id} if id is not None else {"key": key, "namespace": namespace}))

    def get_many(self, ids: Sequence[str]) -> list[Memory]:
        """The live ones among `ids`, newest first."""
        return [shapes.memory(row) for row in self._call("memory_get_many_v1", {"ids": list(ids)})]

    def page(self, filters: Mapping[str, Any]) -> tuple[Memory, ...]:
        """One page, newest first; `filters` as `memory_list_v1` takes them."""
        return tuple(shapes.memory(row) for row in self._call("memory_list_v1", shapes.plain(filters)))

    def history(self, id: str) -> tuple[HistoryEntry, ...]:  # noqa: A002
        """Every version, oldest first."""
        return tuple(HistoryEntry(**{**row, "at": shapes.moment(row["at"])}) for row in self._call("memory_history_v1", {"id": id}))

    def namespaces(self) -> list[str]:
        """Names of all namespaces."""
        return list(self._call("memory_namespaces_v1", {}))

    def namespace_counts(self, *, limit: int, after: str | None = None) -> tuple[Namespace, ...]:
        """What some namespaces hold, a page of them by name."""
        rows = self._call("memory_namespace_counts_v1", {"limit": limit, "after": after})
        return tuple(Namespace(**{**row, "newest": shapes.time(row["newest"])}) for row in rows)

    def search(self, request: Mapping[str, Any]) -> tuple[SearchHit, ...]:
        """Hits, best first; `request` as `memory_search_v1` takes it."""
        return tuple(
            SearchHit(**{**row, "created_at": shapes.moment(row["created_at"])})
            for row in self._call("memory_search_v1", shapes.plain(request))
        )

    def find_entity(self, namespace: str, name: str, vector: str | None) -> Mapping[str, Any]:
        """`{"entity": {id, name, type} | None, "suggestions": […]}`"""
        payload = {"namespace": namespace, "key": name_key(name), "vector": vector}
        return dict(self._call("memory_find_entity_v1", payload))
