"""Entities that are one: merge them, take that back, see who names them how."""

from __future__ import annotations

from memory_pipelines.client.door import Door
from memory_pipelines.domain.models import Entity, EntityAlias, EntityPage, MergeResult
from memory_pipelines.services import entities as entities_service


class Naming(Door):
    """The part of `MemoryClient` that merges entities."""

    def merge_entities(self, source: str, target: str, *, namespace: str = "default", by: str | None = None) -> MergeResult:
        """Show `source`, and what was merged into it, as `target` from now on, also where it is mentioned later.

        Every mention keeps the name it was made with, so that `unmerge_entity` is exact. A target that was merged itself stands for what it
        is shown as. Merging again changes nothing. The graph follows with the next sync.

        Args:
            by: who says so, or why, up to 200 characters; shown by `aliases`.

        Raises:
            NotFound: `entity_unknown`, `namespace_unknown`
            InvalidInput: `entity_merged_with_itself`, `by_invalid`
            Conflict: `entity_is_alias` when `source` was merged into something else; `lease_held` when another merge of the namespace
                takes longer than 10 s.
        """
        return entities_service.merge(self._platform, source, target, namespace=namespace, by=by)

    def unmerge_entity(self, name: str, *, namespace: str = "default") -> MergeResult:
        """Take back what `merge_entities` did with `name`: all that names it is shown as it again, also what was saved meanwhile.

        Raises:
            NotFound: `alias_unknown`, `namespace_unknown`
            Conflict: `lease_held`
        """
        return entities_service.unmerge(self._platform, name, namespace=namespace)

    def aliases(self, *, namespace: str = "default") -> tuple[EntityAlias, ...]:
        """Every merge of a namespace that was not taken back, the oldest first.

        Raises:
            NotFound: `namespace_unknown`
        """
        return entities_service.listed(self._platform, namespace=namespace)

    def entities(
        self,
        *,
        namespace: str = "default",
        type: str | None = None,  # noqa: A002  # the field's name everywhere else
        prefix: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> EntityPage:
        """The live entities of a namespace, by name, with how many memories mention each: a page, which its `cursor` continues.

        Args:
            type: only of this type.
            prefix: only names that begin so, in any spelling.
            limit: rows a page, 1 to 1000.

        Raises:
            NotFound: `namespace_unknown`
            InvalidInput: `type_invalid`, `prefix_invalid`, `limit_invalid`, `cursor_invalid`
        """
        return entities_service.entities(self._platform, namespace=namespace, kind=type, prefix=prefix, limit=limit, cursor=cursor)

    def entity(self, name: str, *, namespace: str = "default", limit: int = 20) -> Entity:
        """What a name is shown as, what was merged into it, and which memories mention it under which name.

        Args:
            limit: mentions at most, the newest first, 1 to 1000.

        Raises:
            NotFound: `entity_unknown`, `namespace_unknown`
        """
        return entities_service.entity(self._platform, name, namespace=namespace, limit=limit)
