"""How the `graph` projection is made: present state to batches under the marker, settled only when the graph has them.

Also here: what to do when the marker refuses. It is the graph's own witness against a rollback, of itself or of the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_pipelines.domain.errors import Refused
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Claim, Owed
from memory_pipelines.services.breakers import breakers
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projections.projection import Batch, MarkerMoved, Settle, Stored, failure

# Copies of a node before it is applied; entities before the memories and relations that point at them.
ORDER = ("copies_entity", "copies_memory", "entity", "memory", "relation", "buried_relation", "strays")
_NOTHING = -2  # no revision: nothing that a repair has seen
_NEVER = 2**53 - 1  # a fence that no claim reaches
_OFFERS = 5  # times a batch is offered while other workers make newer claims


def build(platform: Platform, claim: Claim) -> Batch:
    """What to write for each row of a claim, from the state that came with it."""
    del platform
    batch = Batch(claim)
    for row in claim.rows:
        batch.rows.extend(_targets(row))
    batch.sample.extend({"kind": row.kind, "id": row.id, "revision": (row.state or {}).get("revision")} for row in claim.rows[:5])
    return batch


def apply(platform: Platform, batch: Batch) -> Settle:
    """Apply a batch, kind by kind. What it returns settles what the graph took.

    Raises:
        MarkerMoved: the marker refused, or, when settling, the graph was rolled back since; nothing of the batch is settled.
        Unavailable: the graph did not answer; everything is still owed.
        Refused: the graph refuses every write, whatever it says; nothing is charged to the rows.
    """
    reach("graph.applying")
    writing = _Writing(platform, batch.claim)
    charges = breakers.guarded(platform, "graph", lambda: _write(platform, batch, writing))
    refused = {(charge["kind"], charge["id"]) for charge in charges}
    paid = [row for key, row in writing.taken.items() if key not in refused]
    paid.extend(_nothing_to_write(batch))
    reach("graph.applied")
    return lambda: _settle(platform, batch, paid, charges, writing.markers)


def _write(platform: Platform, batch: Batch, writing: _Writing) -> list[dict[str, Any]]:
    """All statements of a batch; returns what is charged to single rows."""
    platform.graph.prepare()
    for kind in ORDER:
        rows = [row for row in batch.rows if row["target"] == kind]
        if rows:
            writing.write(kind, rows)
            reach("graph.written")
    return writing.charges()


def _settle(platform: Platform, batch: Batch, paid: list[dict[str, Any]], charges: list[dict[str, Any]], markers: list[int]) -> Stored:
    nothing = {"settled": 0, "lost": 0}
    settled = platform.record.settle_graph(paid, claim=batch.claim.claim, markers=markers) if paid or markers else nothing
    if settled["lost"]:
        raise MarkerMoved(settled["lost"])
    reach("graph.settled")
    failed = platform.record.fail("graph", charges, max_attempts=platform.settings.max_attempts) if charges else {"failed": 0, "parked": 0}
    return Stored(settled["settled"], len(paid) - settled["settled"], failed["failed"], failed["parked"])


class _Writing:
    """The statements of one batch. Each must find the graph at least where the one before left it."""

    def __init__(self, platform: Platform, claim: Claim) -> None:
        self.taken: dict[tuple[str, str], dict[str, Any]] = {}
        self.markers: list[int] = []  # each one that a statement was given, whatever became of its rows
        self._platform, self._claim = platform, claim
        self._issued, self._at_least = claim.issued, claim.settled_marker
        self._ahead: list[Owed] = []
        self._failed: list[tuple[Owed, Refused]] = []

    def write(self, kind: str, rows: Sequence[dict[str, Any]]) -> None:
        """One statement; a row that the graph cannot take is found by halving."""
        try:
            marker, newer = self._offer(kind, [row["write"] for row in rows])
        except Refused as error:
            if error.code != "graph_error":
                raise
            if len(rows) == 1:
                self._failed.append((rows[0]["owed"], error))
                return
            self.write(kind, rows[: len(rows) // 2])
            self.write(kind, rows[len(rows) // 2 :])
            return
        for row in rows:
            owed: Owed = row["owed"]
            if row["write"]["id"] in newer:
                self._ahead.append(owed)
            else:
                self.taken[owed.kind, owed.id] = _paid(owed, row["write"]["revision"], marker)

    def charges(self) -> list[dict[str, Any]]:
        """What is charged to single rows: only what failed while the graph took others, or an empty batch."""
        if self._failed and not self.taken:
            self._platform.graph.apply("entity", [], claim=self._claim.claim, issued=self._issued, settled=self._at_least)
        # Where another worker wrote a newer revision, its debt had another number and this charge finds no row.
        ahead = [
            failure(owed, "The graph is ahead of the record: run an audit with --repair.", final=True, code="graph_ahead")
            for owed in self._ahead
        ]
        return ahead + [failure(owed, f"{error.code}: {error.message}", final=True, code=error.code) for owed, error in self._failed]

    def _offer(self, kind: str, writes: Sequence[dict[str, Any]]) -> tuple[int, set[str]]:
        for _ in range(_OFFERS):
            answer = self._platform.graph.apply(kind, writes, claim=self._claim.claim, issued=self._issued, settled=self._at_least)
            if answer.marker is not None:
                self._at_least = answer.marker
                self.markers.append(answer.marker)
                return answer.marker, set(answer.refused)
            if not self._only_newer_claims():
                break
        raise MarkerMoved

    def _only_newer_claims(self) -> bool:
        """Whether the marker refused for nothing but a claim that another worker has made since ours. Both may go on."""
        marker = self._platform.graph.marker()
        if marker.counter < self._at_least or marker.fence > self._claim.claim:
            return False
        self._issued = _newest_claim(self._platform)
        return marker.claim <= self._issued


def recover(platform: Platform, claim: Claim | None = None) -> int:
    """Find out why the marker refused, or whether it would, and put it right. Returns how many rows are owed again.

    Raises:
        Refused: `record_rolled_back`: the graph has met claims that this record never issued. It stays closed until it is emptied.
    """
    # The record first: what it has settled was in the graph before, so a drain at work meanwhile cannot look like a rollback.
    settled = int(platform.record.status(platform.settings.sync_budget_seconds)["settled_marker"])
    marker = breakers.guarded(platform, "graph", lambda: platform.graph.marker())
    highest = max(marker.claim, marker.fence)
    if highest > (claim.issued if claim is not None else 0) and highest > (newest := _newest_claim(platform)):
        if platform.graph.shut(newest, _NEVER):  # else the record would in time issue as many claims, and go on
            raise Refused(
                "record_rolled_back",
                "The graph has seen claims that this record never issued: the record was rolled back to an older state, or a drop of the"
                " graph has not ended. Nothing was written. Unless a drop is at work, drop the graph and build it again from the record:"
                " `memory-pipelines rebuild graph --drop`.",
                {"graph_claim": marker.claim, "record_claim": newest},
            )
        marker = breakers.guarded(platform, "graph", lambda: platform.graph.marker())  # it was dropped between the two looks
    if marker.counter == 0 or marker.counter < settled:
        platform.graph.prepare(again=True)  # an emptied graph has lost its indexes and constraints too
    if marker.counter >= settled:
        return 0
    lost = platform.record.owe_lost(marker.counter)
    reach("graph.lost_owed")
    platform.graph.raise_marker(int(lost["settled_marker"]))
    reach("graph.raised")
    return int(lost["owed"])


def drop(platform: Platform) -> int:
    """Delete the projection; returns how many nodes went. The next drain owes all of it again, and makes it.

    Nobody writes meanwhile: the fence is closed first and goes last, so a drop that was killed leaves a closed graph, and is repeated.
    """
    platform.graph.raise_fence(_NEVER)
    gone = 0
    for page in platform.graph.drop():
        gone += page
        reach("graph.dropping")
    return gone


def behind(platform: Platform, settled_marker: int) -> bool:
    """Whether the graph shows less than the record has settled: it was emptied, or restored to an older state."""
    return breakers.guarded(platform, "graph", lambda: platform.graph.marker()).counter < settled_marker


def _newest_claim(platform: Platform) -> int:
    return int(platform.record.maintain("claim", limit=1)["done"])


def _paid(owed: Owed, revision: int, marker: int | None) -> dict[str, Any]:
    version = (owed.state or {}).get("version", 0)
    return {"kind": owed.kind, "id": owed.id, "number": owed.number, "revision": revision, "version": version, "marker": marker}


def _nothing_to_write(batch: Batch) -> list[dict[str, Any]]:
    """Rows that need no statement: what the record does not know, and no repair has seen. Should it be there, audits find it."""
    written = {(row["owed"].kind, row["owed"].id) for row in batch.rows}
    return [_paid(row, 0, None) for row in batch.claim.rows if (row.kind, row.id) not in written]


def mentions(packed: str) -> list[dict[str, Any]]:
    """The mentions of a memory, `{entity, dh, dl}` each, from the text that a claim brings: `entity high low;…`."""
    parts = (item.split(" ") for item in packed.split(";") if item)
    return [{"entity": entity, "dh": int(high), "dl": int(low)} for entity, high, low in parts]


def _targets(row: Owed) -> list[dict[str, Any]]:
    """The writes that make the graph show one subject's present state; more where a repair saw an edge elsewhere."""
    hint: Mapping[str, Any] = row.hint or {}
    seen = hint.get("seen", row.forced)
    if row.state is None and row.kind != "stray" and row.forced is None and not hint:
        return []
    state: Mapping[str, Any] = row.state or {"revision": row.forced or 0, "deleted": True, "props": None}
    base = {"id": row.id, "revision": state["revision"], "expect": _NOTHING if seen is None else seen}
    tomb = {"id": row.id, "revision": state["revision"], "deleted": True}
    props = tomb if state["deleted"] else dict(state["props"])
    if row.kind == "stray":
        return [{"target": "strays", "owed": row, "write": base | {"revision": 0}}]
    copies = (
        [{"target": f"copies_{row.kind}", "owed": row, "write": base}] if hint.get("copies") and row.kind in ("memory", "entity") else []
    )
    if row.kind == "memory":
        return [
            *copies,
            {"target": "memory", "owed": row, "write": base | {"props": props, "mentions": mentions(state.get("mentions", ""))}},
        ]
    if row.kind == "entity":
        return [*copies, {"target": "entity", "owed": row, "write": base | {"props": props}}]
    here = (state.get("source"), state.get("target"))
    edges = {(source, target): revision for source, target, revision in hint.get("edges", ())}
    writes = []
    for place, revision in edges.items():
        if place != here:
            write = base | {"source": place[0], "target": place[1], "props": tomb, "expect": _NOTHING if revision is None else revision}
            writes.append({"target": "buried_relation", "owed": row, "write": write})
    if here[0] is not None:
        revision = edges.get(here)
        write = base | {"source": here[0], "target": here[1], "props": props, "expect": _NOTHING if revision is None else revision}
        writes.append({"target": "buried_relation" if state["deleted"] else "relation", "owed": row, "write": write})
    return writes
