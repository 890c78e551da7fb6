"""How things stand, and maintenance."""

from __future__ import annotations

from collections import Counter
from typing import Any

from memory_pipelines.domain.models import PROJECTIONS
from memory_pipelines.stores.memory.functions import embeddings
from memory_pipelines.stores.memory.functions.base import Payload, clock, refs, refuse, seconds_since
from memory_pipelines.stores.memory.functions.leases import check_lease
from memory_pipelines.stores.memory.functions.memories import bury
from memory_pipelines.stores.memory.functions.sync import is_ready, settled_marker
from memory_pipelines.stores.memory.tables import Tables

_LOST = "It lives in this process alone: its end drops the record, and nothing else holds it."


def memory_status_v1(tables: Tables, p: Payload) -> Any:
    """What is owed, since when, what is parked, and who drains."""
    del p
    return {
        "projections": {name: _projection(tables, name) for name in PROJECTIONS},
        "dead_events": len(tables.dead_events),
        "newest_number": tables.owings.last,
        "settled_marker": settled_marker(tables),
    }


def _projection(tables: Tables, name: str) -> Payload:
    owed = tables.ledger.having("owed", name)
    waiting = [debt for debt in owed if debt.parked_at is None]
    dropped = sum(debt.parked_at is not None and debt.dropped_at is not None for debt in owed)
    ready = [debt.owed_number for debt in waiting if debt.owed_number is not None and is_ready(tables, debt)]
    beat = tables.heartbeats.get(name)
    return {
        "owed": len(waiting), "ready": len(ready), "parked": len(owed) - len(waiting) - dropped, "dropped": dropped,
        "oldest_owed_seconds": seconds_since(min((debt.owed_since for debt in waiting if debt.owed_since is not None), default=None)),
        "first_ready": min(ready, default=None),
        "draining": beat is not None and beat.holder is not None and beat.lease_until is not None and beat.lease_until > clock(),
    }  # fmt: skip


def memory_counts_v1(tables: Tables, p: Payload) -> Any:
    """How much the record holds."""
    del p
    live = Counter(row.namespace for row in tables.memories if row.deleted_at is None)
    return {
        "memories": live.total(), "forgotten": len(tables.memories) - live.total(), "passages": len(tables.passages),
        "embeddings": len(tables.embeddings), "embeddings_waiting": sum(not row.indexed for row in tables.embeddings),
        "entities": sum(row.deleted_at is None for row in tables.entities),
        "mentions": len({(link.memory, link.shows) for link in tables.mentions}),
        "relations": sum(row.deleted_at is None for row in tables.relations),
        "namespaces": {name: live[name] for name in sorted(tables.namespaces)},
    }  # fmt: skip


def memory_health_v1(tables: Tables, p: Payload) -> Any:
    """What it is; a warning that nothing of it outlives the process."""
    del p
    active = embeddings.generation(tables)
    return {
        "server": "memory", "version": "1", "pgvector": None, "identity": tables.identity, "warnings": [_LOST],
        "generation": None if active is None else {"id": active.id, "model": active.model, "dimensions": active.dimensions},
    }  # fmt: skip


def memory_maintain_v1(tables: Tables, p: Payload) -> Any:
    """One page of one task of maintenance."""
    check_lease(tables, p.get("lease"))
    match p["task"]:
        case "expire":
            late = [row.id for row in tables.memories if row.expires_at is not None and row.expires_at <= tables.now][: p["limit"]]
            gone, touched = bury(tables, late, "expired")
            return {"done": len(gone), "touched": [*refs("memory", late), *touched]}
        case "fold":
            return {"done": embeddings.fold(tables, p["limit"])}
        case "claim":
            return {"done": tables.claims.next()}
        case task:
            refuse(400, "task_unknown", "There is no such maintenance task.", task=task)
