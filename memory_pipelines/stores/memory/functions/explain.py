"""What is known of one row: the record, what hangs on it, the ledger, its attempts, the verdict that named it last.

The twin of `explain.sql`; attempts are noted by the ledger itself (`tables.py`).
"""

from __future__ import annotations

from typing import Any

from memory_pipelines.domain.models import PROJECTIONS
from memory_pipelines.stores.memory.functions.base import Payload, as_uuid, cell, iso
from memory_pipelines.stores.memory.functions.states import digest
from memory_pipelines.stores.memory.rows import Debt, Entity, Memory, Relation
from memory_pipelines.stores.memory.tables import Tables

__all__ = ["memory_explain_v1"]

_VERSIONS = 20
_VERDICTS = 100
_KINDS = ("memory", "entity", "relation")


def memory_explain_v1(tables: Tables, p: Payload) -> Any:
    """Everything about one id, of whatever kind; the text only where it is asked for. What nobody knows has kind `unknown`."""
    asked, id_ = p["id"], as_uuid(p["id"])
    row: Memory | Entity | Relation | None = tables.memories.get(id_) or tables.entities.get(id_) or tables.relations.get(id_)
    ledger = [debt for key in _keys(asked) if (debt := tables.ledger.get(key)) is not None]
    attempts = sorted((one for key in _keys(asked) for one in tables.attempts.having("of", key)), key=lambda one: one.n)[-10:]
    vectors = [one for kind in _KINDS for one in tables.embeddings.having("of", (kind, id_))]
    return {
        "kind": "unknown" if row is None else type(row).__name__.lower(),
        "record": None if row is None else _record(row, text=bool(p.get("text"))),
        "versions": _versions(tables, row) if isinstance(row, Memory) else [],
        "links": _links(tables, row),
        "verdict": _named(tables, asked),
        "embeddings": [
            {"passage": one.passage, "version": one.version, "generation": one.generation, "dimensions": len(one.v), "indexed": one.indexed}
            for one in sorted(vectors, key=lambda one: (one.generation, one.passage))
        ],
        "passages": [
            {"ordinal": one.ordinal, "version": one.version, "characters": len(one.text)}
            for one in sorted(tables.passages.having("memory", id_), key=lambda one: one.ordinal)
        ],
        "ledger": [_owed(debt) for debt in ledger],
        "attempts": [
            {"at": iso(one.at), "projection": one.projection, "outcome": one.outcome, "attempt": one.attempt, "error": one.error}
            for one in attempts
        ],
        "newest_verdict": next(({name: row[name] for name in ("at", "mode", "clean")} for row in _newest(tables)), None),
    }


def _keys(id_: str) -> list[tuple[str, str, str]]:
    return [(projection, kind, id_) for projection in sorted(PROJECTIONS) for kind in _KINDS]


def _record(row: Memory | Entity | Relation, *, text: bool) -> Payload:
    high, low = digest(row)
    bucket, leaf = cell(row.source if isinstance(row, Relation) else row.id)
    said: Payload = {
        "namespace": row.namespace, "version": row.revision, "revision": row.revision, "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at), "deleted_at": iso(row.deleted_at), "dh": high, "dl": low, "bucket": bucket, "leaf": leaf,
    }  # fmt: skip
    match row:
        case Memory():
            words: Payload = {"text": row.text, "key": row.key}
            said |= {"version": row.version, "operation": row.operation, "expires_at": iso(row.expires_at)}
        case Entity():
            words = {"name": row.name}
            said["type"] = row.type
        case Relation():
            words = {"predicate": row.predicate}
            said |= {"source": row.source, "target": row.target}
    return said | (words if text else {})


def _versions(tables: Tables, row: Memory) -> list[Payload]:
    found = sorted(tables.history.having("memory", row.id), key=lambda one: one.version)[-_VERSIONS:]
    return [{"version": one.version, "revision": one.revision, "operation": one.operation, "at": iso(one.at)} for one in found]


def _links(tables: Tables, row: Memory | Entity | Relation | None) -> Payload:
    """How many links were named, whatever they are shown as."""
    match row:
        case Memory():
            return {
                "mentions": len(tables.mentions.having("memory", row.id)),
                "statements": len(tables.statements.having("memory", row.id)),
            }
        case Entity():
            return {"mentions": len(tables.mentions.having("subject", row.id))}
        case Relation():
            return {"statements": len(tables.statements.having("subject", row.id))}
    return {}


def _named(tables: Tables, id_: str) -> Payload | None:
    """What the newest verdict that named an id said of it."""
    for verdict in _newest(tables)[:_VERDICTS]:
        found = [finding for finding in verdict["findings"] if _is_of(finding, id_)]
        if found:
            return {"at": verdict["at"], "mode": verdict["mode"], "verdict": verdict["id"], "findings": found}
    return None


def _is_of(finding: Payload, id_: str) -> bool:
    name, hint = str(finding["id"]), finding.get("hint") or {}
    mentions = finding["subject"] == "mention" and hint.get("source") == id_
    return name == id_ or name.startswith(f"{id_}#") or hint.get("owner") == id_ or mentions


def _newest(tables: Tables) -> list[Payload]:
    return sorted(tables.verdicts, key=lambda row: -row["id"])


def _owed(debt: Debt) -> Payload:
    plain = (
        "projection",
        "kind",
        "owed_number",
        "settled_revision",
        "settled_version",
        "settled_marker",
        "attempts",
        "last_error",
        "forced",
    )
    times = ("owed_since", "settled_at", "retry_at", "parked_at")
    return {name: getattr(debt, name) for name in plain} | {name: iso(getattr(debt, name)) for name in times}
