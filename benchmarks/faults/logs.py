"""What the writers' own logs allow: after every deed, acknowledged or not, the states that each memory and each merge may be in.

Must stay out: what is there (`raw.py`), and anything of `memory_pipelines`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.faults import history
from benchmarks.faults.history import Possible

_UNKNOWN = {"record_unavailable"}  # the record may have done it or not
_MERGE_REFUSED = {
    "entity_unknown",
    "entity_is_alias",
    "entity_merged_with_itself",
    "alias_unknown",
    "namespace_unknown",
    "lease_held",
    "entity_curated",
}
_WRITTEN = {"created", "updated", "revived"}
_SAVED_ALL_THE_SAME = {"sync_timeout", "sync_parked", "graph_unavailable", "record_rolled_back"}  # what only the waiting can say

Problem = tuple[str, str]


def read_log(paths: Iterable[Path]) -> list[tuple[history.Deed, dict[str, Any] | None]]:
    """Deeds with their answers, None where none came. A line that is cut off was never acknowledged to anybody."""
    found: list[tuple[history.Deed, dict[str, Any] | None]] = []
    for path in paths:
        begun: history.Deed | None = None
        for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else ():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # its writer died in the middle of it, and another went on below
                continue
            if "call" in entry:
                if begun is not None:
                    found.append((begun, None))
                begun = entry["call"]
            elif begun is not None:
                found.append((begun, entry["answer"]))
                begun = None
        if begun is not None:
            found.append((begun, None))
    return found


@dataclass
class Expected:
    """What the logs allow: per id the states that it may be in."""

    states: dict[str, Possible] = field(default_factory=dict)
    namespaces: dict[str, str] = field(default_factory=dict)
    merged: dict[tuple[str, str], frozenset[str | None]] = field(default_factory=dict)
    """Per namespace and name what that entity may be merged into, None for nothing."""
    problems: list[Problem] = field(default_factory=list)
    acknowledged: int = 0
    unknown: int = 0


def expected(entries: Sequence[tuple[history.Deed, dict[str, Any] | None]], *, retried: bool = False) -> Expected:
    """Follow every deed through all states that are possible before it, and keep those that fit its answer.

    Args:
        retried: connections to the record broke, so that a call may have been made twice: it then hears that there was nothing to do.
    """
    found = Expected()
    for deed, answer in entries:
        error = None if answer is None else answer.get("error")
        unknown = answer is None or error in _UNKNOWN
        found.unknown += unknown
        found.acknowledged += not unknown
        if deed["do"] in ("merge", "unmerge"):
            _merge(found, deed, answer or {}, unknown=unknown, retried=retried)
            continue
        for item in deed.get("items", [deed]):
            if "namespace" in item:
                found.namespaces[item["id"]] = item["namespace"]
        for place, id_ in enumerate(history.named(deed)):
            before: Possible = found.states.get(id_, frozenset({None}))
            after = [history.outcomes(deed, id_, state) for state in before]
            if unknown:
                found.states[id_] = before | {state for state, _, _ in after}
                continue
            several = "items" in deed  # one that was forgotten does not stop the others, nor their waiting
            fitting = frozenset(state for state, said, version in after if _fits(answer or {}, place, id_, said, version, retried, several))
            if not fitting:
                allowed = sorted({f"{said} v{version}" for _, said, version in after})
                said = (answer or {}).get("error") or (answer or {})["results"][place]
                found.problems.append(("answer", f"deed {deed['n']} ({deed['do']}) of {id_}: {said}, where only {allowed} was possible"))
                fitting = frozenset(state for state, _, _ in after)
            found.states[id_] = fitting
    return found


def _merge(found: Expected, deed: history.Deed, answer: dict[str, Any], *, unknown: bool, retried: bool) -> None:
    """What a merge, or taking one back, makes of an entity. A refusal changes nothing, nor does a merge of what is one already; but a
    call that was made twice may hear either of what its first time did."""
    error = answer.get("error")
    place = (deed["namespace"], deed["source"])
    before = found.merged.get(place, frozenset({None}))
    after: frozenset[str | None] = _roots(found, deed["namespace"], deed["target"]) if deed["do"] == "merge" else frozenset({None})
    if unknown or (retried and (error == "alias_unknown" or answer.get("merged") == "unchanged")):
        found.merged[place] = before | after
    elif error is None:
        found.merged[place] = before if answer["merged"] == "unchanged" else after
    elif error not in _MERGE_REFUSED:
        found.problems.append(("answer", f"deed {deed['n']} ({deed['do']}): {error}"))


def _roots(found: Expected, namespace: str, name: str, depth: int = 6) -> frozenset[str | None]:
    """What a target may stand for: itself, or what it was merged into before."""
    allowed = found.merged.get((namespace, name), frozenset({None}))
    roots: set[str | None] = {name} if None in allowed or not depth else set()
    for into in allowed - {None}:
        roots |= _roots(found, namespace, str(into), depth - 1) if depth else set()
    return frozenset(roots)


def _fits(answer: dict[str, Any], place: int, id_: str, said: str, version: int | None, retried: bool, several: bool) -> bool:
    error = answer.get("error")
    if error in _SAVED_ALL_THE_SAME:
        return said not in {"memory_unknown", "memory_forgotten"} and (several or said != "forgotten")
    if error is not None:
        wanted = {"forgotten": "memory_forgotten"}.get(said, said)
        return error == wanted or (error == "namespace_unknown" and said == "memory_unknown")
    got_id, got, got_version = answer["results"][place]
    again = retried and ((said in _WRITTEN and got == "unchanged") or (said, got) == ("1", "0"))
    return got_id == id_ and (got == said or again) and (version is None or got_version == version)
