"""The ledger: what is owed, claimed, settled. What is charged: `dead_letters.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_pipelines.domain import models
from memory_pipelines.domain.models import Claim, Lease, Owed, Ref, SyncState
from memory_pipelines.stores.postgres import shapes
from memory_pipelines.stores.postgres.subjects.caller import Caller
from memory_pipelines.stores.postgres.subjects.leases import under

_OWED_AT_ONCE = 20_000  # ledger rows a call: each must end within seconds


class Sync(Caller):
    """See `ports.record.SyncRecords`."""

    def sync_state(self, id: str) -> SyncState:  # noqa: A002
        """What the ledger knows of one memory."""
        row = self._call("memory_sync_state_v1", {"id": id})
        states = {name: models.ProjectionState(**state) for name, state in (row["projections"] or {}).items()}
        return SyncState(row["id"], row["version"], row["revision"], row["forgotten"], states)

    def owed_links(self, ids: Sequence[str]) -> tuple[Ref, ...]:
        """Entities and relations of some memories that the graph does not show yet, whoever owes them."""
        return shapes.refs(self._call("memory_owed_links_v1", {"ids": list(ids)}))

    def begin_drain(self, projection: str, holder: str, *, lease_seconds: float) -> int:
        """The fencing number under which the projection is now ours to drain; 0 while another holds it."""
        return int(self._call("memory_begin_drain_v1", {"projection": projection, "holder": holder, "lease_seconds": lease_seconds}))

    def end_drain(self, projection: str, holder: str) -> None:
        """Give the projection back."""
        self._call("memory_end_drain_v1", {"projection": projection, "holder": holder})

    def claim(
        self, projection: str, *, refs: Sequence[Ref] | None, limit: int, owed_for_seconds: float | None = None, after: int = 0,
        holder: str | None = None, lease_seconds: float = 30.0,
    ) -> Claim:  # fmt: skip
        """A numbered batch of owed rows with their present state; see `memory_claim_v1`."""
        answer = self._call(
            "memory_claim_v1",
            {"projection": projection, "refs": None if refs is None else [[ref.kind, ref.id] for ref in refs], "limit": limit,
             "owed_for_seconds": owed_for_seconds, "after": after, "holder": holder, "lease_seconds": lease_seconds},
        )  # fmt: skip
        return Claim(answer["claim"], answer["issued"], answer["settled_marker"], tuple(Owed(**row) for row in answer["rows"]))

    def settle_graph(self, rows: Sequence[Mapping[str, Any]], *, claim: int, markers: Sequence[int]) -> Mapping[str, int]:
        """Settle rows the graph has; `settled` were still owed under the same number, `lost` are owed again after a rollback."""
        return dict(self._call("memory_settle_graph_v1", {"rows": list(rows), "claim": claim, "markers": list(markers)}))

    def owe_lost(self, marker: int) -> Mapping[str, Any]:
        """Owe again all that was settled above `marker`, a page at a time; `{owed, settled_marker}`."""
        owed: int = 0
        while True:
            answer = self._call("memory_owe_lost_v1", {"marker": marker, "limit": _OWED_AT_ONCE})
            owed += int(answer["owed"])
            if answer["owed"] < _OWED_AT_ONCE:
                return {**answer, "owed": owed}

    def owe(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Owe rows again, for a repair."""
        return int(self._call("memory_owe_v1", {"rows": list(rows)})["owed"])

    def owe_shard(self, projection: str, shard: int, shards: int) -> int:
        """Owe one shard of a projection again, a page at a time."""
        payload: dict[str, Any] = {"projection": projection, "shard": shard, "shards": shards, "limit": _OWED_AT_ONCE, "after": None}
        owed: int = 0
        while True:
            answer = self._call("memory_owe_shard_v1", payload)
            owed += int(answer["owed"])
            if answer["next"] is None:
                return owed
            payload["after"] = answer["next"]

    def maintain(self, task: str, *, limit: int, lease: Lease | None = None) -> Mapping[str, Any]:
        """One page of a maintenance task; `{done, touched}`."""
        answer = self._call("memory_maintain_v1", {"task": task, "limit": limit, **under(lease)})
        return {"done": answer["done"], "touched": shapes.refs(answer.get("touched", []))}
