"""Record against graph: which rows differ, and how.

Two ways to candidates, page by page. Quick: sums of digests per bucket in each store, leaves of the buckets that differ, rows of the
leaves that differ; it trusts stored digests. Deep: every row of both sides, property by property. A page is a range of buckets, so that
no more than some ten thousand rows are held at a time, whatever differs.
One way to a finding: each candidate is looked at again by its id, record first, then graph, then record, and counts only
if the record shows the same revision both times and owes nothing. What changes while we look is looked at again.

Mentions are known by their endpoints, `memory:entity`; relations by their id and their endpoints. An edge is summed in the bucket of its
source: one that was moved between sources of the same bucket and leaf, with its digest, is seen by a deep audit only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory_pipelines.domain.models import Finding
from memory_pipelines.services.platform import Platform

KINDS = ("memory", "entity", "mention", "relation")
BUCKETS = 4096
_PAGE_ROWS = 2000  # rows of a deep page, about
_GROUP_ROWS = 20_000  # rows behind the buckets whose leaves are compared at once, about
_CELLS = 500  # (bucket, leaf) cells a look
_STRANGERS = 100_000  # rows in no bucket that one round looks at; what is put right makes room for the rest
_LOOKS = 3  # times a moving row is looked at before it counts as pending

Row = Mapping[str, Any]
Key = tuple[str, str | None, str | None]  # id, source, target; of nodes the id alone


@dataclass(frozen=True, slots=True)
class Page:
    """Rows that may differ, how many rows were compared for it, of how many in all, and the first bucket of the next page."""

    candidates: frozenset[Key]
    checked: int
    total: int
    following: int


def key(kind: str, row: Row) -> Key:
    """What makes a row of one store the same as a row of the other. Whatever is no string is no name of ours: empty."""
    if kind in ("memory", "entity"):
        return (_name(row["id"]), None, None)
    return (_name(row["id"]), _name(row["source"]), _name(row["target"]))


def key_of(finding: Finding) -> Key:
    """The key of a row of the graph that was found to differ."""
    if finding.subject in ("memory", "entity"):
        return (finding.id, None, None)
    return (finding.id, _name(finding.hint.get("source")), _name(finding.hint.get("target")))


def stray(kind: str, item: Key) -> bool:
    """Whether nobody can name a row of the graph: it, or an end of it, has no id."""
    return "" in (item[:1] if kind in ("memory", "entity") else item)


def _name(value: Any) -> str:
    return value if isinstance(value, str) else ""


def quick(platform: Platform, kind: str, scope: Sequence[int] | None = None) -> Iterator[Page]:
    """Candidates by sums of digests.

    Args:
        scope: only these buckets; by default all, and what stands in none.
    """
    if scope is not None and len(scope) * 2 > BUCKETS:
        scope = None  # summing all of them costs no more
    if scope is None:
        graph, record = platform.graph.sums(kind), platform.record.audit_sums(kind)
        candidates = _nobodys(platform, kind)
    else:
        graph = platform.graph.sums(kind, buckets=scope, leaves=False) if scope else []
        record = platform.record.audit_sums(kind, buckets=scope, leaves=False) if scope else []
        candidates = set()
    total = sum(row[1] for row in record)
    yield Page(frozenset(candidates), total, total, 0)
    buckets = [cell[0] for cell in _differing(graph, record, 1)]
    rows = max(total, sum(row[1] for row in graph))
    at_once = max(1, len(scope or range(BUCKETS)) * _GROUP_ROWS // max(rows, 1))
    for start in range(0, len(buckets), at_once):
        group = buckets[start : start + at_once]
        cells = _differing(platform.graph.sums(kind, buckets=group), platform.record.audit_sums(kind, buckets=group), 2)
        for first in range(0, len(cells), _CELLS):
            chosen = [(cell[0], cell[1]) for cell in cells[first : first + _CELLS]]
            expected, actual = platform.record.audit_expected(kind, cells=chosen), platform.graph.rows(kind, cells=chosen)
            yield Page(frozenset(_unequal(kind, expected, actual, _digest)), 0, total, group[-1] + 1)


def deep(platform: Platform, kind: str, first: int = 0) -> Iterator[Page]:
    """Candidates by comparing every property of every row, a range of buckets at a time.

    Args:
        first: the bucket to begin with; what stands in no bucket is taken with the first page of all.
    """
    total = max(sum(row[1] for row in platform.record.audit_sums(kind)), sum(row[1] for row in platform.graph.sums(kind)))
    width = max(1, min(BUCKETS, BUCKETS * _PAGE_ROWS // max(total, 1)))
    for low in range(first, BUCKETS, width):
        span = (low, min(low + width, BUCKETS))
        expected = platform.record.audit_expected(kind, buckets=span)
        found = _unequal(kind, expected, platform.graph.rows(kind, buckets=span), _properties)
        if low == 0:
            found |= _nobodys(platform, kind)
        yield Page(frozenset(found), len(expected), total, span[1])


def confirm(platform: Platform, kind: str, candidates: Iterable[Key]) -> tuple[list[Finding], set[tuple[str, str]]]:
    """Look at candidates by id, and again at those that move. Returns findings, and the (kind, id) that are owed or still moving."""
    findings: list[Finding] = []
    waiting: set[Key] = set(candidates)
    pending: set[tuple[str, str]] = set()
    strays = sorted((item for item in waiting if stray(kind, item)), key=str)
    findings.extend(_stray(kind, item) for item in strays)
    waiting -= set(strays)
    for _ in range(_LOOKS):
        moving: set[Key] = set()
        page = sorted(waiting)
        for start in range(0, len(page), 1000):
            keys = page[start : start + 1000]
            before, actual, after = _expected(platform, kind, keys), _actual(platform, kind, keys), _expected(platform, kind, keys)
            for item in keys:
                was, now = before.get(item[0]), after.get(item[0])
                if _numbers(was) != _numbers(now):
                    moving.add(item)
                elif now is not None and now["owed_seconds"] is not None:
                    if now["owed_seconds"] < platform.settings.sync_budget_seconds:  # older debts are findings of their own
                        pending.add(_owner(kind, item))
                else:
                    finding = _judge(kind, item, now, actual.get(item, []))
                    if finding is not None:
                        findings.append(finding)
        waiting = moving
        if not waiting:
            break
    return findings, pending | {_owner(kind, item) for item in waiting}


def _stray(kind: str, item: Key) -> Finding:
    """The finding for what nobody can name; an edge dangles where that is one of its ends."""
    _, source, target = item
    return Finding(
        "dangling_edge" if "" in (source, target) else "extra",
        "graph",
        kind,
        "",
        None,
        {"source": source, "target": target},
        {"stray": True},
    )


def _owner(kind: str, item: Key) -> tuple[str, str]:
    """What the ledger owes when a row differs: a memory's apply owns its mentions."""
    return ("memory", item[1] or "") if kind == "mention" else (kind, item[0])


def _judge(kind: str, item: Key, expected: Row | None, actual: list[Row]) -> Finding | None:
    """The finding for one row whose record stands still, or None when both sides agree."""
    name = item[0]
    hint: dict[str, Any] = {} if item[1] is None else {"source": item[1], "target": item[2]}
    live = [row for row in actual if not row["props"].get("deleted")]
    wanted = expected is not None and not expected["deleted"] and (kind == "mention" or key(kind, expected) == item or item[1] is None)
    if expected is None or not wanted:
        if not live:
            return None
        hint["revision"] = live[0]["props"].get("revision")
        return Finding("dangling_edge" if live[0].get("dangling") else "extra", "graph", kind, name, None, dict(live[0]["props"]), hint)
    props = expected["props"]
    if not live:
        if actual:
            hint["revision"] = actual[0]["props"].get("revision")  # a tombstone of what the record holds: the graph may be ahead
        absent = "settled_absent" if (expected["settled_revision"] or -1) >= expected["revision"] else "missing"
        return Finding(absent, "graph", kind, name, dict(props), dict(actual[0]["props"]) if actual else None, hint)
    if len(live) > 1:
        twice = "duplicate_node" if kind in ("memory", "entity") else "duplicate_edge"
        return Finding(twice, "graph", kind, name, dict(props), {"copies": len(live)}, hint)
    shown = live[0]["props"]
    if _properties(shown) == _properties(props):
        return None
    hint["revision"] = shown.get("revision")
    both = {field for field in {*props, *shown} if repr(props.get(field)) != repr(shown.get(field))}
    sides = {field: props.get(field) for field in both}, {field: shown.get(field) for field in both}
    seen = shown.get("revision")
    if "namespace" in both and "namespace" in props and shown.get("namespace") is not None:
        return Finding("wrong_namespace", "graph", kind, name, *sides, hint)  # whatever else is wrong with it: it is shown to others
    if "revision" in both and kind != "mention" and type(seen) in (int, type(None)):
        ahead = seen is not None and seen > props["revision"]
        return Finding("ahead" if ahead else "stale", "graph", kind, name, *sides, hint)
    return Finding("edited", "graph", kind, name, *sides, hint)


def _numbers(row: Row | None) -> tuple[Any, ...] | None:
    return None if row is None else (row["revision"], row["deleted"], row["owed_seconds"] is not None)


def _expected(platform: Platform, kind: str, keys: list[Key]) -> dict[str, Row]:
    return {row["id"]: row for row in platform.record.audit_expected(kind, ids=[item[0] for item in keys])}


def _actual(platform: Platform, kind: str, keys: list[Key]) -> dict[Key, list[Row]]:
    if kind in ("memory", "entity"):
        rows = platform.graph.rows(kind, ids=[item[0] for item in keys])
    else:
        rows = platform.graph.rows(kind, ids=[{"id": item[0], "source": item[1] or "", "target": item[2] or ""} for item in keys])
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault(key(kind, row), []).append(row)
    return found


def _nobodys(platform: Platform, kind: str) -> set[Key]:
    """Rows of the graph that stand in no bucket: made by someone else, or waiting for their own apply."""
    limit = 1000
    while len(rows := platform.graph.rows(kind, nobodys=limit)) == limit < _STRANGERS:
        limit *= 10  # else those that wait could hide the others
    return {key(kind, row) for row in rows}


def _differing(graph: list[list[int]], record: list[list[int]], width: int) -> list[tuple[int, ...]]:
    """Cells (the first `width` numbers of each row) whose count or sums differ, in order."""
    left, right = ({tuple(row[:width]): tuple(row[width:]) for row in side} for side in (graph, record))
    return sorted(cell for cell in left.keys() | right.keys() if left.get(cell) != right.get(cell))


def _unequal(kind: str, expected: list[dict[str, Any]], actual: list[dict[str, Any]], face: Callable[[Row], Any]) -> set[Key]:
    """Keys whose rows are not the same, once each, on both sides."""
    left = Counter((key(kind, row), face(row["props"])) for row in expected)
    right = Counter((key(kind, row), face(row["props"])) for row in actual)
    return {name for name, _ in (left - right) | (right - left)}


def _digest(props: Row) -> tuple[str, ...]:
    return tuple(repr(props.get(name)) for name in ("revision", "dh", "dl", "bucket", "leaf"))


def _properties(props: Row) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in props.items()))
