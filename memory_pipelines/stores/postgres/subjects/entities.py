"""Results of the `entities` projection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_pipelines.stores.postgres import shapes
from memory_pipelines.stores.postgres.subjects.caller import Caller


class Entities(Caller):
    """See `ports.record.EntityRecords`."""

    def store_links(self, rows: Sequence[Mapping[str, Any]], *, accept_empty: bool = False) -> Mapping[str, Any]:
        """Store extracted links (`links`: `domain.models.Links`) and settle; `touched` are the refs now owed, `emptied` the ids of those
        that found nothing where the same text gave links before, and were left as they are unless `accept_empty`."""
        body = [
            {
                **{k: v for k, v in row.items() if k not in ("links", "tokens")},
                **shapes.links(row["links"].entities, row["links"].relations),
            }
            for row in rows
        ]
        answer = self._call("memory_store_links_v1", {"rows": body, "accept_empty": accept_empty})
        return {**answer, "touched": shapes.refs(answer["touched"])}
