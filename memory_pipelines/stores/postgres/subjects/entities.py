"""Results of the `entities` projection, and which of its entities are one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_pipelines.domain.models import Entity, EntityAlias, EntitySummary, Lease, MergeResult, NamedMention
from memory_pipelines.domain.names import name_key
from memory_pipelines.stores.postgres import shapes
from memory_pipelines.stores.postgres.subjects.caller import Caller
from memory_pipelines.stores.postgres.subjects.leases import under


class Entities(Caller):
    """See `ports.record.EntityRecords`."""

    def store_links(
        self, rows: Sequence[Mapping[str, Any]], *, accept_empty: bool = False, lease: Lease | None = None
    ) -> Mapping[str, Any]:
        """Store extracted links (`links`: `domain.models.Links`) and settle; `touched` are the refs now owed, `emptied` the ids of those
        that found nothing where the same text gave links before, and were left as they are unless `accept_empty`."""
        body = [
            {
                **{k: v for k, v in row.items() if k not in ("links", "tokens")},
                **shapes.links(row["links"].entities, row["links"].relations),
            }
            for row in rows
        ]
        answer = self._call("memory_store_links_v1", {"rows": body, "accept_empty": accept_empty, **under(lease)})
        return {**answer, "touched": shapes.refs(answer["touched"])}

    def merge_entities(self, namespace: str, source: str, target: str, *, by: str | None, lease: Lease | None = None) -> MergeResult:
        """Show one entity as another; see `memory_merge_entities_v1`."""
        payload = {"namespace": namespace, "source": _named(source), "target": _named(target), "by": by, **under(lease)}
        answer = self._call("memory_merge_entities_v1", payload)
        entity, alias = answer["entity"]["name"], (answer["alias"] or {}).get("name")
        return MergeResult(answer["outcome"], entity, alias, answer["memories"], shapes.refs(answer["touched"]))

    def unmerge_entity(self, namespace: str, name: str, *, lease: Lease | None = None) -> MergeResult:
        """Take a merge back; see `memory_unmerge_entity_v1`."""
        answer = self._call("memory_unmerge_entity_v1", {"namespace": namespace, "name": _named(name), **under(lease)})
        entity = (answer["entity"] or {}).get("name")
        return MergeResult("unmerged", entity, None, answer["memories"], shapes.refs(answer["touched"]))

    def aliases(self, namespace: str, *, limit: int, after: tuple[str, str] | None = None) -> tuple[EntityAlias, ...]:
        """A page of the merges of a namespace, the oldest first, after (`merged_at`, `id`) of the last one of the page before."""
        payload: dict[str, Any] = {"namespace": namespace, "limit": limit}
        if after is not None:
            payload["after"] = list(after)
        return tuple(_alias(row) for row in self._call("memory_aliases_v1", payload))

    def entity(self, namespace: str, name: str, *, limit: int) -> Entity:
        """What a name is shown as, with its aliases and who names it; see `memory_entity_v1`."""
        row = self._call("memory_entity_v1", {"namespace": namespace, "name": _named(name), "limit": limit})
        mentions = tuple(NamedMention(**{**mention, "valid_from": shapes.moment(mention["valid_from"])}) for mention in row["memories"])
        aliases = tuple(_alias(alias) for alias in row["aliases"])
        return Entity(row["id"], row["name"], row["type"], namespace, row["revision"], row["mentions"], aliases, mentions)

    def entities(self, filters: Mapping[str, Any]) -> tuple[EntitySummary, ...]:
        """A page of live entities, by name; `filters` as `memory_entities_v1` takes them."""
        rows = self._call("memory_entities_v1", dict(filters))
        return tuple(EntitySummary(**{**row, "newest": shapes.time(row["newest"])}) for row in rows)


def _named(name: str) -> dict[str, str]:
    return {"name": name, "key": name_key(name)}


def _alias(row: Mapping[str, Any]) -> EntityAlias:
    return EntityAlias(**{**row, "merged_at": shapes.moment(row["merged_at"])})
