"""Outside edits that a namespace adopts: which they are, and what they would write to the record.

An edit counts only where the graph had shown the record's present revision (its ledger row is settled there), so that loss, delay or
a ghost of something older is never taken for somebody's wish. Values are read from the graph again when a plan is applied: a plan holds
their digest. Must stay out: writing (`memory_adopt_v1`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory_pipelines.domain import fields as field_rules
from memory_pipelines.domain import validation
from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.models import Finding
from memory_pipelines.domain.names import name_key
from memory_pipelines.domain.plans import PlannedRow
from memory_pipelines.services.platform import Platform

ADOPT = "adopt"
CURATED = ("name", "type", "aliases", "summary")
_MOST_ALIASES = 64
_SUMMARY_CHARS = 2000
State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the graph shows that the record does not say: `values` by field, and a digest of them as they stand."""

    values: Mapping[str, Any]
    digest: str


def planned(platform: Platform, findings: Sequence[Finding]) -> list[PlannedRow]:
    """Rows for the findings that are edits to be adopted; those that cannot be are left to a person, with the reason."""
    adopting = {namespace for namespace, policy in platform.record.policies().items() if policy == ADOPT}
    if not adopting or not findings or _rolled_back(platform):
        return []
    rows = [
        *_edits(platform, findings, adopting),
        *_removals(platform, findings, adopting),
        *_additions(platform, findings, adopting),
    ]
    return rows


def _rolled_back(platform: Platform) -> bool:
    settled = int(platform.record.status(platform.settings.sync_budget_seconds)["settled_marker"])
    return platform.graph.marker().counter < settled


def states(platform: Platform, kind: str, ids: Iterable[str]) -> dict[str, State]:
    """The record's and the ledger's numbers of subjects of the graph."""
    wanted = sorted(set(ids))
    rows = platform.record.repair_look([("graph", kind, id_) for id_ in wanted])["rows"]
    return dict(zip(wanted, rows, strict=True))


def _stood(state: State, adopting: set[str]) -> bool:
    """Whether the graph has shown the live row at its present revision, in a namespace that adopts."""
    live = state["known"] and not state["deleted"] and state["namespace"] in adopting
    return bool(live and state["number"] is None and state["settled_revision"] == state["revision"])


def _row(finding: Finding, state: State, **more: Any) -> PlannedRow:
    numbers = {name: state[name] for name in ("revision", "version", "settled_at", "number")}
    return PlannedRow(why=(finding.kind,), store="graph", projection="graph", **numbers, **more)


# -- properties of entities ----------------------------------------------------------------------------------------------


def edits(platform: Platform, ids: Sequence[str]) -> dict[str, Seen]:
    """Curated fields that somebody has changed in the graph, of entities that show their present revision."""
    expected = {row["id"]: row["props"] for row in platform.record.audit_expected("entity", ids=ids) if not row["deleted"]}
    shown: dict[str, list[Mapping[str, Any]]] = {}
    for row in platform.graph.rows("entity", ids=list(ids)):
        shown.setdefault(row["id"], []).append(row["props"])
    found = {}
    for id_, props in expected.items():
        copies = shown.get(id_, [])
        if len(copies) != 1 or copies[0].get("deleted") or any(copies[0].get(name) != props[name] for name in ("revision", "namespace")):
            continue
        differing = {name: copies[0].get(name) for name in CURATED if repr(copies[0].get(name)) != repr(props.get(name))}
        if differing:
            found[id_] = Seen(differing, _digest(differing))
    return found


def written(values: Mapping[str, Any]) -> dict[str, Any]:
    """Edited fields as the record takes them.

    Raises:
        InvalidInput: a value that no caller could give either.
    """
    found: dict[str, Any] = {}
    if "name" in values or "type" in values:
        (entity,) = validation.entities([{"name": values.get("name", "x"), "type": values.get("type", "thing")}])
        if "name" in values:
            found |= {"name": entity.name, "key": name_key(entity.name)}
        if "type" in values:
            if values["type"] is None:
                raise InvalidInput("entity_invalid", "An entity keeps a type.")
            found["type"] = entity.type
    if "aliases" in values:
        found["aliases"] = _aliases(values["aliases"])
    if "summary" in values:
        found["summary"] = field_rules.label(values["summary"], "summary", "entity_invalid", _SUMMARY_CHARS)
    return found


def _aliases(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > _MOST_ALIASES:
        raise InvalidInput("entity_invalid", f"`aliases` must be a list of at most {_MOST_ALIASES} names.")
    return [entity.name for entity in validation.entities([{"name": name} for name in value])]


def _edits(platform: Platform, findings: Sequence[Finding], adopting: set[str]) -> list[PlannedRow]:
    about: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.store == "graph" and finding.subject == "entity" and finding.id:
            about.setdefault(finding.id, []).append(finding)
    alone = {id_: found[0] for id_, found in about.items() if [finding.kind for finding in found] == ["edited"]}
    seen, known = edits(platform, sorted(alone)), states(platform, "entity", alone)
    rows = []
    for id_, edit in seen.items():
        if _stood(known[id_], adopting):
            reason = _why_not(platform, known[id_]["namespace"], id_, edit.values)
            tokens = len(str(edit.values.get("name", ""))) // 4
            rows.append(_row(
                alone[id_], known[id_], action="leave" if reason else "adopt", reason=reason, kind="entity", id=id_, change="edit",
                fields=tuple(edit.values), seen=edit.digest, look=(("entity", id_, None, None),), tokens=tokens,
            ))  # fmt: skip
    return rows


def _why_not(platform: Platform, namespace: str, id_: str, values: Mapping[str, Any]) -> str | None:
    try:
        fields = written(values)
    except InvalidInput as error:
        return error.code
    holder = platform.record.find_entity(namespace, fields["name"], None)["entity"] if "name" in fields else None
    return "name_taken" if holder is not None and holder["id"] != id_ else None


# -- relations -----------------------------------------------------------------------------------------------------------


def drawn(platform: Platform, pairs: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Relations with a predicate between two entities, as the graph shows them: `{source, target, id, predicate, digest}`; `id` is
    empty where nobody gave one."""
    found = []
    for row in platform.graph.between(sorted(set(pairs))):
        props = row["props"]
        predicate, id_ = props.get("predicate"), props.get("id")
        try:
            (relation,) = validation.relations([{"source": "x", "predicate": predicate, "target": "y"}])
        except InvalidInput:
            continue  # an edge that says nothing is nobody's statement
        ends = {"source": row["source"], "target": row["target"], "id": id_ if isinstance(id_, str) else ""}
        found.append(ends | {"predicate": relation.predicate, "digest": _digest({**ends, "predicate": predicate})})
    return found


def _additions(platform: Platform, findings: Sequence[Finding], adopting: set[str]) -> list[PlannedRow]:
    extra: dict[tuple[str, str, str], Finding] = {}
    for finding in findings:
        if finding.store == "graph" and finding.subject == "relation" and finding.kind == "extra":
            ends = finding.actual or {} if finding.hint.get("stray") else finding.hint
            if ends.get("source") and ends.get("target"):
                extra[finding.id, ends["source"], ends["target"]] = finding
    ours = states(platform, "entity", [end for _, source, target in extra for end in (source, target)])
    known = states(platform, "relation", [id_ for id_, _, _ in extra if id_])
    rows, drawn_once = [], set()
    for edge in drawn(platform, [(source, target) for _, source, target in extra]):
        key = (edge["id"], edge["source"], edge["target"])
        here, there = ours.get(edge["source"]), ours.get(edge["target"])
        if key not in extra or edge["digest"] in drawn_once or not here or not there or here["namespace"] != there["namespace"]:
            continue
        if not _stood(here, adopting) or not _stood(there, adopting) or (edge["id"] and known[edge["id"]]["known"]):
            continue  # what the record knows is a ghost of its own, not somebody's statement
        drawn_once.add(edge["digest"])
        state = known[edge["id"]] if edge["id"] else {"revision": None, "version": None, "settled_at": None, "number": None}
        rows.append(_row(
            extra[key], state, action="adopt", kind="relation", id=edge["id"], change="add", seen=edge["digest"], source=edge["source"],
            target=edge["target"], source_revision=here["revision"], target_revision=there["revision"],
            look=((("relation", *key),) if edge["id"] else ()),
        ))  # fmt: skip
    return rows


def gone(platform: Platform, relations: Sequence[tuple[str, str, str]]) -> set[str]:
    """Those of some relations, `(id, source, target)`, of which the graph shows nothing between two entities that are there."""
    wanted = [{"id": id_, "source": source, "target": target} for id_, source, target in relations]
    shown = {row["id"] for row in platform.graph.rows("relation", ids=wanted)} if wanted else set()
    ends = sorted({end for _, source, target in relations for end in (source, target)})
    nodes = platform.graph.rows("entity", ids=ends) if ends else []
    there = {row["id"] for row in nodes if not row["props"].get("deleted") and row["props"].get("revision") is not None}
    return {id_ for id_, source, target in relations if id_ not in shown and {source, target} <= there}


def _removals(platform: Platform, findings: Sequence[Finding], adopting: set[str]) -> list[PlannedRow]:
    missing = {
        (finding.id, finding.hint["source"], finding.hint["target"]): finding
        for finding in findings
        if finding.store == "graph" and finding.subject == "relation" and finding.kind in ("missing", "settled_absent")
        and not finding.actual and finding.hint.get("source") and finding.hint.get("target")
    }  # fmt: skip
    taken, known = gone(platform, list(missing)), states(platform, "relation", [id_ for id_, _, _ in missing])
    ends = states(platform, "entity", [end for _, source, target in missing for end in (source, target)])
    return [
        _row(
            finding, known[id_], action="adopt", kind="relation", id=id_, change="remove", source=source, target=target,
            look=(("relation", id_, source, target),),
        )
        for (id_, source, target), finding in missing.items()
        if id_ in taken and all(_stood(state, adopting) for state in (known[id_], ends[source], ends[target]))
    ]  # fmt: skip


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=repr).encode()).hexdigest()[:24]
