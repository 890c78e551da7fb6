"""The record's store: names each SQL function once and turns its JSON into models. No statements, no decisions.

A new use case is a function in `sql/functions`, a line here and a line in `ports.RecordStore`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from memory_pipelines.domain import models
from memory_pipelines.domain.models import (
    Claim,
    ForgetResult,
    HistoryEntry,
    Memory,
    MemoryInput,
    Owed,
    Ref,
    SaveResult,
    SearchHit,
    SyncState,
)
from memory_pipelines.domain.names import name_key
from memory_pipelines.domain.vectors import format_vectors
from memory_pipelines.ports import RecordTransport, Vectors

_OWED_AT_ONCE = 20_000  # ledger rows a call: each must end within seconds
_BINARY_FROM = 50  # vectors; a few are as fast as text
_NUMBERS_PER_CALL = 150_000  # of vectors that go as text: about 2 MB of it, stored in a fraction of a second


class PostgresRecord:
    """`ports.RecordStore` over any transport that calls functions.

    Args:
        transport: see `ports.RecordTransport`; closed with the store.
    """

    def __init__(self, transport: RecordTransport) -> None:
        self._call = transport.call
        self._transport = transport

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()

    # -- memories ----------------------------------------------------------------------------------------------------

    def save(self, memories: Sequence[MemoryInput], *, revive: bool = False) -> list[SaveResult]:
        """Save a batch, whole or not at all; see `memory_save_v1`."""
        answer = self._call("memory_save_v1", {"memories": [_save_item(item) for item in memories], "revive": revive})
        return [_save_result(row) for row in answer["results"]]

    def update(self, id: str, changes: Mapping[str, Any], *, expected_version: int | None = None) -> SaveResult:  # noqa: A002
        """Change the fields present in `changes` (already validated; entities and relations are given together)."""
        body = {name: _plain(value) for name, value in changes.items() if name not in {"entities", "relations"}}
        if "entities" in changes or "relations" in changes:
            body["given"] = given(changes.get("entities", ()), changes.get("relations", ()))
        payload: dict[str, Any] = {"id": id, "changes": body}
        if expected_version is not None:
            payload["expected_version"] = expected_version
        return _save_result(self._call("memory_update_v1", payload))

    def forget(
        self, *, ids: Sequence[str] = (), key: str | None = None, namespace: str | None = None, limit: int = 500
    ) -> tuple[ForgetResult, bool]:
        """Forget ids, one key, or a page of a namespace; the second value says whether a page may be followed by another."""
        if ids:
            payload: dict[str, Any] = {"ids": list(ids)}
        elif key is not None:
            payload = {"namespace": namespace, "key": key}
        else:
            payload = {"namespace": namespace, "limit": limit}
        answer = self._call("memory_forget_v1", payload)
        gone = tuple(answer["ids"])
        refs = (*(Ref("memory", i) for i in gone), *_refs(answer["touched"]))
        return ForgetResult(len(gone), tuple(answer["of"] or ()), _time(answer["at"]), refs), bool(answer["more"])

    def get(self, *, id: str | None = None, key: str | None = None, namespace: str | None = None) -> Memory:  # noqa: A002
        """One live memory; raises `NotFound` or `Gone`."""
        return _memory(self._call("memory_get_v1", {"id": id} if id is not None else {"key": key, "namespace": namespace}))

    def get_many(self, ids: Sequence[str]) -> list[Memory]:
        """The live ones among `ids`, newest first."""
        return [_memory(row) for row in self._call("memory_get_many_v1", {"ids": list(ids)})]

    def page(self, filters: Mapping[str, Any]) -> tuple[Memory, ...]:
        """One page, newest first; `filters` as `memory_list_v1` takes them."""
        return tuple(_memory(row) for row in self._call("memory_list_v1", _plain(filters)))

    def history(self, id: str) -> tuple[HistoryEntry, ...]:  # noqa: A002
        """Every version, oldest first."""
        return tuple(HistoryEntry(**{**row, "at": _moment(row["at"])}) for row in self._call("memory_history_v1", {"id": id}))

    def namespaces(self) -> list[str]:
        """Names of all namespaces."""
        return list(self._call("memory_namespaces_v1", {}))

    def search(self, request: Mapping[str, Any]) -> tuple[SearchHit, ...]:
        """Hits, best first; `request` as `memory_search_v1` takes it."""
        return tuple(
            SearchHit(**{**row, "created_at": _moment(row["created_at"])}) for row in self._call("memory_search_v1", _plain(request))
        )

    def find_entity(self, namespace: str, name: str, vector: str | None) -> Mapping[str, Any]:
        """`{"entity": {id, name, type} | None, "suggestions": […]}`"""
        payload = {"namespace": namespace, "key": name_key(name), "vector": vector}
        return dict(self._call("memory_find_entity_v1", payload))

    # -- sync --------------------------------------------------------------------------------------------------------

    def sync_state(self, id: str) -> SyncState:  # noqa: A002
        """What the ledger knows of one memory."""
        row = self._call("memory_sync_state_v1", {"id": id})
        states = {name: models.ProjectionState(**state) for name, state in (row["projections"] or {}).items()}
        return SyncState(row["id"], row["version"], row["revision"], row["forgotten"], states)

    def owed_links(self, ids: Sequence[str]) -> tuple[Ref, ...]:
        """Entities and relations of some memories that the graph does not show yet, whoever owes them."""
        return _refs(self._call("memory_owed_links_v1", {"ids": list(ids)}))

    def status(self, budget_seconds: float) -> Mapping[str, Any]:
        """`{"projections": {name: {owed, ready, first_ready, parked, oldest_owed_seconds, draining}}, "newest_number", …}`"""
        return dict(self._call("memory_status_v1", {"budget_seconds": budget_seconds}))

    def counts(self) -> Mapping[str, Any]:
        """How much the record holds."""
        return dict(self._call("memory_counts_v1", {}))

    def health(self) -> Mapping[str, Any]:
        """Versions and identity."""
        return dict(self._call("memory_health_v1", {}))

    def begin_drain(self, projection: str, holder: str, *, lease_seconds: float) -> bool:
        """True when the projection is now ours to drain."""
        return bool(self._call("memory_begin_drain_v1", {"projection": projection, "holder": holder, "lease_seconds": lease_seconds}))

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

    def store_links(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Store extracted links (`links`: `domain.models.Links`) and settle; `touched` are the refs now owed."""
        body = [{**{k: v for k, v in row.items() if k != "links"}, **_links(row["links"].entities, row["links"].relations)} for row in rows]
        answer = self._call("memory_store_links_v1", {"rows": body})
        return {**answer, "touched": _refs(answer["touched"])}

    def store_embeddings(self, rows: Sequence[Mapping[str, Any]], vectors: Vectors, *, generation: int) -> Mapping[str, Any]:
        """Store vectors and settle. Many go as binary where the transport can; else they go as text, in as many calls as it takes.
        `vectors` stand in the order of the rows, each of which says how many are its own."""
        if self._transport.binary and len(vectors) >= _BINARY_FROM:
            payload = {"rows": list(rows), "generation": generation}
            return dict(self._transport.call_with_vectors("memory_store_vectors_v1", payload, vectors))
        answer: Counter[str] = Counter(stored=0, superseded=0)
        for part, own in _parts(rows, vectors):
            payload = {"rows": part, "generation": generation, "vectors": format_vectors(own)}
            answer.update(self._call("memory_store_embeddings_v1", payload))
        return dict(answer)

    def generation(self, model: str, dimensions: int) -> int:
        """The active generation for this model; made on first use."""
        return int(self._call("memory_generation_v1", {"model": model, "dimensions": dimensions})["generation"])

    def fail(self, projection: str, rows: Sequence[Mapping[str, Any]], *, max_attempts: int) -> Mapping[str, Any]:
        """Charge failures to rows; `{failed, parked}`."""
        return dict(self._call("memory_fail_v1", {"projection": projection, "rows": list(rows), "max_attempts": max_attempts}))

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

    def maintain(self, task: str, *, limit: int) -> Mapping[str, Any]:
        """One page of a maintenance task; `{done, touched}`."""
        answer = self._call("memory_maintain_v1", {"task": task, "limit": limit})
        return {"done": answer["done"], "touched": _refs(answer.get("touched", []))}

    # -- audit -------------------------------------------------------------------------------------------------------

    def audit_sums(self, kind: str, *, buckets: Sequence[int] | None = None) -> list[list[int]]:
        """Sums per bucket, or per leaf of `buckets`."""
        payload: dict[str, Any] = {"kind": kind}
        if buckets is not None:
            payload["buckets"] = [*buckets]
        return self._call("memory_audit_sums_v1", payload)  # type: ignore[no-any-return]

    def audit_expected(
        self,
        kind: str,
        *,
        ids: Sequence[str] | None = None,
        cells: Sequence[tuple[int, int]] | None = None,
        buckets: tuple[int, int] | None = None,
    ) -> list[dict[str, Any]]:
        """Rows as the graph must show them, with what the ledger says of each."""
        payload: dict[str, Any] = {"kind": kind}
        for name, value in (("ids", ids), ("cells", cells), ("buckets", buckets)):
            if value is not None:
                payload[name] = [*value]
        return self._call("memory_audit_expected_v1", payload)  # type: ignore[no-any-return]

    def audit_embeddings(self, *, after: str | None, limit: int) -> Mapping[str, Any]:
        """One page of exact differences among passages and embeddings."""
        return dict(self._call("memory_audit_embeddings_v1", {"after": after, "limit": limit}))

    def audit_ledger(self, *, budget_seconds: float) -> Mapping[str, Any]:
        """Pending rows counted, late and parked ones and unknown subjects found."""
        return dict(self._call("memory_audit_ledger_v1", {"budget_seconds": budget_seconds}))

    def save_verdict(self, verdict: Mapping[str, Any]) -> None:
        """Keep a verdict as history."""
        self._call("memory_save_verdict_v1", _plain(verdict))

    def verdicts(self, limit: int) -> list[dict[str, Any]]:
        """Stored verdicts, newest first."""
        return self._call("memory_verdicts_v1", {"limit": limit})  # type: ignore[no-any-return]


def _parts(rows: Sequence[Mapping[str, Any]], vectors: Vectors) -> Iterator[tuple[Sequence[Mapping[str, Any]], Vectors]]:
    """Rows with their vectors, in parts that a call can carry. All vectors of a row stay with it: they are stored and settled together."""
    most = _NUMBERS_PER_CALL // max(len(vectors[0]), 1) if len(vectors) else 0
    first_row = first = last = 0
    for n, row in enumerate(rows):
        count = int(row.get("vectors", 0))
        if n > first_row and last + count - first > most:
            yield rows[first_row:n], vectors[first:last]
            first_row, first = n, last
        last += count
    yield rows[first_row:], vectors[first:]  # with what no row counts, which is refused


def given(entities: Sequence[models.EntityMention], relations: Sequence[models.RelationMention]) -> dict[str, Any] | None:
    """The links a caller gave, as the record keeps them; None for none."""
    return _links(entities, relations) if entities or relations else None


def _links(entities: Sequence[models.EntityMention], relations: Sequence[models.RelationMention]) -> dict[str, Any]:
    """Links with the keys that decide which names are the same. Entities named only by a relation are mentioned as things."""
    found: dict[str, dict[str, str]] = {}
    for entity in sorted(entities, key=lambda one: one.type == "thing"):  # of two spellings the first, but a type before none
        key = name_key(entity.name)
        found.setdefault(key, {"name": entity.name, "type": entity.type, "key": key})
    rows = []
    for relation in relations:
        source, target = name_key(relation.source), name_key(relation.target)
        found.setdefault(source, {"name": relation.source, "type": "thing", "key": source})
        found.setdefault(target, {"name": relation.target, "type": "thing", "key": target})
        rows.append(
            {
                "source": relation.source,
                "source_key": source,
                "predicate": relation.predicate,
                "target": relation.target,
                "target_key": target,
            }
        )
    return {"entities": [found[key] for key in sorted(found)], "relations": rows}


def _save_item(item: MemoryInput) -> dict[str, Any]:
    return {
        "id": item.id, "id_given": item.id_given, "namespace": item.namespace, "key": item.key, "thread": item.thread, "text": item.text,
        "metadata": dict(item.metadata), "source": item.source,
        "created_at": _plain(item.created_at), "expires_at": _plain(item.expires_at),
        "passages": list(item.passages), "given": given(item.entities, item.relations),
    }  # fmt: skip


def _save_result(row: Mapping[str, Any]) -> SaveResult:
    touched = _refs(row["touched"])
    if row["outcome"] in {"created", "updated", "revived"}:
        touched = (Ref("memory", row["id"]), *touched)
    return SaveResult(row["id"], row["version"], row["revision"], row["outcome"], row["key"], touched)


def _memory(row: Mapping[str, Any]) -> Memory:
    fields = {
        **row,
        "created_at": _moment(row["created_at"]), "updated_at": _moment(row["updated_at"]), "expires_at": _time(row["expires_at"]),
        "entities": tuple(models.EntityMention(entity["name"], entity["type"]) for entity in row["entities"]),
        "relations": tuple(models.RelationMention(r["source"], r["predicate"], r["target"]) for r in row["relations"]),
    }  # fmt: skip
    return Memory(**fields)


def _refs(rows: Sequence[Sequence[str]]) -> tuple[Ref, ...]:
    return tuple(Ref(kind, id_) for kind, id_ in rows)


def _moment(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC)


def _time(value: str | None) -> datetime | None:
    return None if value is None else _moment(value)


def _plain(value: Any) -> Any:
    return models.as_json(value)
