"""Dead letters: failures charged, rows and entries parked, released, given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_pipelines.domain.models import Lease
from memory_pipelines.stores.postgres import shapes
from memory_pipelines.stores.postgres.subjects.caller import Caller
from memory_pipelines.stores.postgres.subjects.leases import under

Letters = Sequence[tuple[str, str, str]]  # projection, kind, id


class DeadLetters(Caller):
    """See `ports.record.DeadLetterRecords`."""

    def fail(
        self, projection: str, rows: Sequence[Mapping[str, Any]], *, max_attempts: int, lease: Lease | None = None
    ) -> Mapping[str, Any]:
        """Charge failures to rows; `{failed, parked}`. Who has lost the `lease` charges nothing."""
        payload = {"projection": projection, "rows": list(rows), "max_attempts": max_attempts}
        return dict(self._call("memory_fail_v1", payload | under(lease)))

    def dead_letters(
        self, *, projection: str | None = None, letters: Letters | None = None, id: str | None = None, limit: int, after: int = 0,  # noqa: A002
    ) -> Mapping[str, Any]:  # fmt: skip
        """A page of parked rows; `{letters, next}`."""
        payload: dict[str, Any] = {"projection": projection, "id": id, "limit": limit, "after": after}
        return dict(self._call("memory_dead_letters_v1", payload | _named(letters)))

    def retry_dead(
        self, *, letters: Letters | None = None, projection: str | None = None, limit: int, accept_empty: bool = False
    ) -> Mapping[str, Any]:
        """Release parked rows, those named or a page of all; `{retried, touched}`."""
        payload: dict[str, Any] = {"projection": projection, "limit": limit, "accept_empty": accept_empty}
        answer = self._call("memory_retry_dead_v1", payload | _named(letters))
        return {**answer, "touched": shapes.refs(answer["touched"])}

    def drop_dead(self, letters: Letters) -> int:
        """Give up parked rows; how many there were."""
        return int(self._call("memory_drop_dead_v1", _named(letters))["dropped"])

    def park_events(self, projection: str, events: Sequence[Mapping[str, Any]]) -> int:
        """Keep entries that could not be read; how many were new."""
        return int(self._call("memory_park_events_v1", {"projection": projection, "events": list(events)})["parked"])

    def dead_events(
        self, *, projection: str | None = None, ids: Sequence[int] | None = None, limit: int, after: int = 0
    ) -> Mapping[str, Any]:
        """A page of parked entries; `{events, next}`."""
        payload: dict[str, Any] = {"projection": projection, "limit": limit, "after": after}
        return dict(self._call("memory_dead_events_v1", payload if ids is None else payload | {"ids": list(ids)}))

    def drop_events(self, ids: Sequence[int]) -> int:
        """Delete parked entries; how many there were."""
        return int(self._call("memory_drop_events_v1", {"ids": list(ids)})["dropped"])


def _named(letters: Letters | None) -> dict[str, Any]:
    return {} if letters is None else {"letters": [list(letter) for letter in letters]}
