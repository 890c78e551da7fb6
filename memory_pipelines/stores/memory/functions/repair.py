"""Repair by plan: a row is owed only while the record shows what the plan saw. The twin of `repair.sql`, without what adopts outside edits:
a person curates a graph for longer than this record lasts. So the policy is `record-wins` everywhere, and no other can be set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from memory_pipelines.stores.memory.functions.base import Payload, as_uuid, clock, iso, moment, refuse
from memory_pipelines.stores.memory.rows import Debt, Entity, Memory, Relation
from memory_pipelines.stores.memory.tables import Tables

__all__ = ["memory_policies_v1", "memory_repair_look_v1", "memory_repair_v1", "memory_set_policy_v1"]

Key = tuple[str, str, str]
_RECORD_WINS, _ADOPT = "record-wins", "adopt"


@dataclass(frozen=True, slots=True)
class _State:
    """The present numbers of a subject; all of it is empty where the record has never had one."""

    known: bool = False
    revision: int | None = None
    version: int | None = None
    deleted: bool = False
    namespace: str | None = None
    characters: int = 0


def _state(tables: Tables, key: Key) -> _State:
    projection, kind, id_ = key
    known: dict[str, Any] = {"memory": tables.memories, "entity": tables.entities, "relation": tables.relations}
    row: Memory | Entity | Relation | None = known[kind].get(as_uuid(id_)) if kind in known else None
    if row is None:
        return _State()
    version = row.version if isinstance(row, Memory) else row.revision
    return _State(True, row.revision, version, row.deleted_at is not None, row.namespace, _characters(tables, projection, row))


def _characters(tables: Tables, projection: str, row: Memory | Entity | Relation) -> int:
    """How many characters a model would be given."""
    if projection == "embeddings" and isinstance(row, Entity):
        return len(row.name or "")
    if projection not in ("entities", "embeddings") or not isinstance(row, Memory):
        return 0
    passages = tables.passages.having("memory", row.id) if projection == "embeddings" else []
    return sum(len(passage.text) for passage in passages) if passages else len(row.text or "")


def memory_repair_look_v1(tables: Tables, p: Payload) -> Any:
    """What a plan notes of each row: the record's numbers, the ledger's, and how many characters a model would be given. No text."""
    rows = []
    for projection, kind, id_ in p["rows"]:
        key = (projection, kind, id_)
        state, debt = _state(tables, key), tables.ledger.get(key) or Debt(*key)
        rows.append({
            "known": state.known, "revision": state.revision, "version": state.version, "deleted": state.deleted,
            "namespace": state.namespace, "characters": state.characters, "number": debt.owed_number, "parked": debt.parked_at is not None,
            "settled_at": iso(debt.settled_at), "settled_revision": debt.settled_revision, "error": debt.last_error,
        })  # fmt: skip
    return {"identity": tables.identity, "at": iso(clock()), "rows": rows}


def memory_repair_v1(tables: Tables, p: Payload) -> Any:
    """Owe the rows of a plan, each only while the record shows the numbers that the plan saw. `unledger` deletes a ledger row whose
    subject the record never had."""
    if p.get("identity") != tables.identity:
        refuse(
            409, "plan_foreign",
            "This plan was made for another record: nothing was done. Make one here, with `memory-pipelines repair --plan`.",
        )  # fmt: skip
    planned = [(row, (row["projection"], row["kind"], row["id"])) for row in p["rows"]]
    outcomes = [_outcome(tables, row, key) for row, key in planned]
    owed: dict[Key, Payload] = {}
    for (row, key), outcome in zip(planned, outcomes, strict=True):
        if outcome == "owed":
            owed.setdefault(key, row)
        elif outcome == "unledgered":
            tables.ledger.drop(key)
    for key, row in sorted(owed.items(), key=lambda pair: pair[0]):
        old, hint = tables.ledger.get(key) or Debt(*key), row.get("hint")
        tables.ledger.put(key, replace(
            old, owed_number=tables.owings.next(), owed_since=old.owed_since or clock(), forced=row.get("forced"),
            hint=old.hint if hint is None else hint, attempts=0, retry_at=None, last_error=None, parked_at=None,
        ))  # fmt: skip
    return {"rows": outcomes}


def _outcome(tables: Tables, row: Payload, key: Key) -> str:
    """What becomes of a row. One that was settled since is done already, so that applying a plan twice costs nothing."""
    state, debt = _state(tables, key), tables.ledger.get(key)
    if state.revision != row.get("revision") or state.version != row.get("version"):
        return "refused"
    if row["action"] != "unledger":
        done = (debt is None or debt.owed_number is None) and (debt and debt.settled_at) != moment(row.get("settled_at"))
        return "settled" if done else "owed"
    if state.known:
        return "refused"
    if debt is None:
        return "settled"
    return "unledgered" if debt.owed_number == row.get("number") else "refused"


def memory_policies_v1(tables: Tables, p: Payload) -> Any:
    """What becomes of outside edits, of every namespace."""
    del p
    return [{"namespace": name, "outside_edits": _RECORD_WINS} for name in sorted(tables.namespaces)]


def memory_set_policy_v1(tables: Tables, p: Payload) -> Any:
    """Say what becomes of outside edits: that the record wins. To adopt them is refused."""
    namespace, policy = p["namespace"], p.get("outside_edits")
    if namespace not in tables.namespaces:
        refuse(404, "namespace_unknown", "There is no namespace of this name; the first save creates one.", namespace=namespace)
    if policy not in (_RECORD_WINS, _ADOPT):
        refuse(400, "policy_unknown", "A policy is `record-wins` or `adopt`.")
    if policy == _ADOPT:
        refuse(400, "policy_needs_postgres", "The record in memory adopts no outside edits: name a Postgres.", namespace=namespace)
    return {"namespace": namespace, "outside_edits": policy}
