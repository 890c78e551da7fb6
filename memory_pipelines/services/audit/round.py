"""One round of an audit: which steps there are, what they ask, how far it has come.

A round goes kind by kind through the graph, then through passages and vectors, then through the ledger, a page at a time. After each
page a deep round keeps where it is (`memory.audit_rounds`), so that the next one can go on there. Between pages it stands aside while a
drain is behind its budget, for so long at most as `MEMORY_AUDIT_PAUSE_SECONDS` allows.
To add a step: a method that yields `_Step`s, and its name in `_STEPS`. Must stay out: how a row is judged (`comparison.py`, and the SQL
beside the record), and what is kept of a verdict (`audit.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import Finding, Verdict
from memory_pipelines.services.audit import comparison
from memory_pipelines.services.audit.findings import Tally, outline
from memory_pipelines.services.audit.meter import Meter, metered
from memory_pipelines.services.platform import Platform

Mode = Literal["incremental", "quick", "deep"]
Progress = Callable[[int, int], None]

_OWNERS = 5000  # memories and entities a page of the embeddings' audit
_SUBJECTS = 50_000  # subjects a page of the ledger's
_LEDGER_KINDS = ("memory", "entity", "relation")
_STEPS = (*comparison.KINDS, "embeddings", *(f"ledger:{kind}" for kind in _LEDGER_KINDS), "debts")
_REMEMBERED = 50_000  # findings that are not counted twice
_LOOK_SECONDS = 1.0  # the queue is looked at so often
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Step:
    """What one page brought. `place` is where the step goes on; None when it is done."""

    findings: Sequence[Finding]
    place: str | None
    checked: Mapping[str, int] = field(default_factory=dict)
    total: int = 0


@dataclass(frozen=True, slots=True)
class Looked:
    """A round that is done: its verdict, and what is stored with it beside that."""

    verdict: Verdict
    marker: int
    round: int | None


def look(platform: Platform, mode: Mode, *, resume: bool = False, on_progress: Progress | None = None) -> Looked:
    """Look at everything that `mode` takes in.

    Args:
        resume: go on with the deep round that was interrupted, if there is one; what that one found is looked at again.
        on_progress: called with (rows checked, rows in all, 0 while unknown).

    Raises:
        Unavailable: a store could not be looked at.
    """
    return _Round(platform, mode, resume, on_progress).run()


class _Round:
    def __init__(self, platform: Platform, mode: Mode, resume: bool, on_progress: Progress | None) -> None:
        self._began = time.monotonic()
        self._meter = Meter()
        self._platform = metered(platform, self._meter)
        begun = platform.record.audit_begin(mode, resume=resume)
        self._base: Mapping[str, Any] | None = begun["base"]
        self._mode: Mode = "quick" if mode == "incremental" and self._base is None else mode  # nothing to start from: take all
        self._round: int | None = begun["round"]
        self._marker, self._started_at = int(begun["marker"]), datetime.fromisoformat(begun["started_at"])
        self._resumed = bool(begun["resumed"])
        self._tally = Tally.restored(begun["tally"], begun["findings"])
        self._step, self._place = begun["step"] or _STEPS[0], begun["place"]
        self._pending: set[tuple[str, str]] = set()
        self._named: set[tuple[str, str, comparison.Key | str]] = set()  # a row in the wrong bucket is met in both; it is one finding
        self._throttle = _Throttle(platform)
        self._on_progress = on_progress
        self._before = float(begun["tally"].get("seconds", 0.0))
        self._bytes_before, self._paused_before = int(begun["tally"].get("bytes", 0)), float(begun["tally"].get("paused_seconds", 0.0))
        self._scope: Mapping[str, Any] | None = None

    def run(self) -> Looked:
        if self._mode == "incremental" and self._base is not None:
            self._scope = self._platform.record.audit_touched(marker=int(self._base["marker"]), since=self._base["started_at"])
        if self._resumed:
            self._again(self._tally.take())
        elif self._scope is not None and self._base is not None:
            self._again([Finding(**row) for row in self._base["findings"]])
        for name in _STEPS[_STEPS.index(self._step) :]:
            for step in self._steps(name):
                self._note(name, step)
            self._place = None
        return Looked(self._verdict(), self._marker, self._round)

    def _steps(self, name: str) -> Iterator[_Step]:
        if name in comparison.KINDS:
            return self._graph(name)
        if name == "embeddings":
            return self._embeddings()
        return self._debts() if name == "debts" else self._ledger(name.removeprefix("ledger:"))

    def _note(self, name: str, step: _Step) -> None:
        """Count what a page brought, keep where to go on, and let the queue go first where it lags."""
        added = self._tally.add(self._platform, list(self._new(step.findings)))
        self._tally.count(step.checked)
        if self._round is not None and name != _STEPS[-1]:
            following = name if step.place is not None else _STEPS[_STEPS.index(name) + 1]
            self._keep(following, step.place, added)
            reach("audit.page")
        if self._on_progress is not None:
            self._on_progress(sum(self._tally.checked.values()), step.total)
        self._throttle.give_way()

    def _new(self, findings: Sequence[Finding]) -> Iterator[Finding]:
        """Those that no earlier page has found. So many are remembered; beyond that a row may be counted twice."""
        known = frozenset(self._named) if findings else frozenset()
        for finding in findings:
            name = _name(finding)
            if name not in known:
                yield finding
                if len(self._named) < _REMEMBERED:
                    self._named.add(name)

    def _keep(self, step: str, place: str | None, added: Sequence[Finding]) -> None:
        state = self._tally.state() | {
            "seconds": self._seconds(), "bytes": self._bytes_before + self._meter.bytes, "paused_seconds": self._paused(),
        }  # fmt: skip
        self._platform.record.audit_progress({
            "round": self._round, "step": step, "place": place, "tally": state, "findings": [outline(finding) for finding in added],
        })  # fmt: skip

    # -- steps -------------------------------------------------------------------------------------------------------

    def _graph(self, kind: str) -> Iterator[_Step]:
        if self._mode == "deep":
            pages = comparison.deep(self._platform, kind, int(self._place or 0))
        else:
            scope = None if self._scope is None else self._scope["buckets"]["memory" if kind == "mention" else kind]
            pages = comparison.quick(self._platform, kind, scope)
        for page in pages:
            place = str(page.following) if self._mode == "deep" and page.following < comparison.BUCKETS else None
            yield _Step(self._confirmed(kind, page.candidates), place, {kind: page.checked}, page.total)
        self._tally.count({kind: 0})

    def _confirmed(self, kind: str, candidates: Sequence[comparison.Key] | frozenset[comparison.Key]) -> list[Finding]:
        reach("audit.summed")
        if not candidates:
            return []
        found, waiting = comparison.confirm(self._platform, kind, candidates)
        self._pending |= waiting
        return found

    def _embeddings(self) -> Iterator[_Step]:
        owners = None if self._scope is None else self._scope["owners"]
        if owners is not None:
            for start in range(0, len(owners), _OWNERS):
                yield _vectors(self._platform.record.audit_embeddings(ids=owners[start : start + _OWNERS]))
            self._tally.count({"passage": 0, "embedding": 0})
            return
        after = self._place
        while True:
            step = _vectors(self._platform.record.audit_embeddings(after=after, limit=_OWNERS))
            yield step
            if step.place is None:
                return
            after = step.place

    def _ledger(self, kind: str) -> Iterator[_Step]:
        if self._scope is not None:  # what nobody has touched since is left to the full rounds
            return
        after = self._place
        while True:
            page = self._platform.record.audit_coverage(kind, after=after, limit=_SUBJECTS)
            yield _Step([Finding(**row) for row in page["findings"]], page["next"])
            if page["next"] is None:
                return
            after = page["next"]

    def _debts(self) -> Iterator[_Step]:
        page = self._platform.record.audit_ledger(budget_seconds=self._platform.settings.sync_budget_seconds)
        self._tally.rest(page["more"])
        self._tally.pending = max(int(page["pending"]), len(self._pending))
        yield _Step([Finding(**row) for row in page["findings"]], None)

    def _again(self, findings: Sequence[Finding]) -> None:
        """Look again at what an earlier page, or the last round, has named."""
        found: list[Finding] = []
        graph = [finding for finding in findings if finding.store == "graph" and not finding.hint.get("stray")]
        for kind in comparison.KINDS:
            keys = frozenset(comparison.key_of(finding) for finding in graph if finding.subject == kind)
            found.extend(self._confirmed(kind, keys))
        if owners := sorted({finding.hint["owner"] for finding in findings if finding.store in ("embeddings", "passages")}):
            found.extend(Finding(**row) for row in self._platform.record.audit_embeddings(ids=owners)["findings"])
        # Only a repair ends these, and only a full look finds that it has.
        found.extend(one for one in findings if one.kind in ("unledgered", "without_subject") or one.hint.get("stray"))
        self._tally.add(self._platform, list(self._new(found)))

    # -- the end -----------------------------------------------------------------------------------------------------

    def _seconds(self) -> float:
        return round(self._before + time.monotonic() - self._began, 3)

    def _paused(self) -> float:
        return round(self._paused_before + self._throttle.seconds, 3)

    def _verdict(self) -> Verdict:
        tally = self._tally
        return Verdict(
            self._mode, not tally.counts, dict(tally.checked), tally.pending, tuple(tally.findings), self._seconds(),
            counts=dict(sorted(tally.counts.items())), more=tally.more, bytes=self._bytes_before + self._meter.bytes,
            paused_seconds=self._paused(), started_at=self._started_at, resumed=self._resumed,
        )  # fmt: skip


def _name(finding: Finding) -> tuple[str, str, comparison.Key | str]:
    """What a finding is about."""
    if finding.hint.get("stray"):
        ends = finding.actual or {}
        return finding.store, finding.subject, ("", str(ends.get("source")), str(ends.get("target")))
    graph = finding.store == "graph"
    return finding.store, finding.subject, comparison.key_of(finding) if graph else f"{finding.id} {finding.hint.get('projection')}"


def _vectors(page: Mapping[str, Any]) -> _Step:
    counted = {"passage": page["passages"], "embedding": page["embeddings"]}
    return _Step([Finding(**row) for row in page["findings"]], page["next"], counted)


class _Throttle:
    """Lets drains go first: while one is at work and behind its budget, the round waits, up to a limit."""

    def __init__(self, platform: Platform) -> None:
        self.seconds = 0.0
        self._platform = platform
        self._limit = platform.settings.audit_pause_seconds
        self._looked = time.monotonic()

    def give_way(self) -> None:
        if time.monotonic() - self._looked < _LOOK_SECONDS or self.seconds >= self._limit:
            return
        while self.seconds < self._limit and self._lags():
            time.sleep(_PAUSE_SECONDS)
            self.seconds += _PAUSE_SECONDS
        self._looked = time.monotonic()

    def _lags(self) -> bool:
        """A queue that nobody works on does not get shorter by waiting."""
        budget = self._platform.settings.sync_budget_seconds
        states = self._platform.record.status(budget)["projections"].values()
        return any(state["draining"] and (state["oldest_owed_seconds"] or 0.0) > budget for state in states)
