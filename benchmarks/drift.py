"""Seeded drift of every kind among 100,000 memories: what the audits find and call it, what a plan puts right, and how long each takes.

The stores are filled by an import and the real drains, everything is settled, and both audits are clean before anything is seeded. Rows
and manners come from a seed; the manners stand in `drift_deeds.py`. Exits with 1 when a row is missed, called by another kind or not
repaired, and when anything is named that was not seeded.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import ground
from benchmarks.drift_deeds import DEEDS, Deed, Rows, Seeded
from memory_pipelines import MemoryClient, wiring
from memory_pipelines.config import Settings
from memory_pipelines.domain.models import Verdict
from memory_pipelines.domain.plans import read_plan
from memory_pipelines.services.audit import audit
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.repair import repair as repair_service
from memory_pipelines.services.sync import sync
from memory_pipelines.services.transfer import transfer
from tests import engines
from tests.integration.drift import Found, World, findings

SEED = 20_261_125
_SPACES = 10  # namespaces; an entity belongs to one
_KINDS = (("Person", "person", 1, 0), ("Works", "organisation", 7, 3), ("Town", "place", 13, 5))  # name, type, step, shift
_MENTIONED = 12  # memories that mention one entity, about


@dataclass
class Outcome:
    """What was measured. `complaints` is empty when every row was found, rightly named and repaired, and nothing else was named."""

    rows: list[dict[str, Any]]
    times: list[dict[str, Any]]
    complaints: list[str] = field(default_factory=list)


def run(settings: Settings, out: Path | None, memories: int = 100_000, rows: int = 1000, seed: int = SEED) -> None:
    """Fill emptied stores, seed, find, repair, look again; show two tables.

    Raises:
        SystemExit: something was missed, misnamed, not repaired, or named without having been seeded.
    """
    with ground.empty(settings):
        pass
    world = open_world(settings)
    try:
        took, said = ground.seconds(lambda: fill(world.platform, settings.home_path, memories, rows))
        print(f"Filled in {took:.0f} s: {said}", flush=True)
        outcome = measure(world, rows, seed)
    finally:
        close(world)
    title = f"{rows:,} rows that differ among {memories:,} memories, seed {seed}"
    ground.show(title, outcome.rows, out)
    ground.show(f"{title}: seconds", outcome.times, out)
    if outcome.complaints:
        raise SystemExit("\n".join([f"Seed {seed}:", *outcome.complaints]))


def open_world(settings: Settings) -> World:
    """A client, and direct ways into each store."""
    platform = wiring.open_platform(settings)
    return World(settings, platform, MemoryClient(platform), engines.connect(settings), engines.graph_server(settings))


def close(world: World) -> None:
    """Let go of every connection."""
    world.sql.close()
    world.graph.close()
    world.client.close()


def fill(platform: Platform, home: Path, memories: int, rows: int) -> str:
    """Memories with three given entities each and a relation to every second one, and some forgotten ones, drained into every projection.

    Args:
        rows: how many are to differ: there are enough forgotten memories for those of them that are ghosts.
    """
    platform.record.health()
    platform.graph.prepare()
    gone = 3 * _each(rows) + 3
    file = home / "memories.jsonl"
    with file.open("w") as lines:
        for number in range(memories):
            lines.write(json.dumps(_memory(number, max(memories * 3 // (_MENTIONED * _SPACES * len(_KINDS)), 3))) + "\n")
        for number in range(gone):
            secret = [{"name": f"Secret {number}", "type": "person"}]
            lines.write(json.dumps({"text": f"A secret: {number}.", "key": f"gone-{number}", "entities": secret}) + "\n")
    imported = transfer.import_file(platform, file).imported
    sync.drain_all(platform)
    client = MemoryClient(platform)
    for number in range(gone):
        client.forget(key=f"gone-{number}")
    done = sync.drain_all(platform)
    return f"{imported:,} memories imported, {gone} forgotten again, {sum(result.owed for result in done)} rows still owed"


def _memory(number: int, each: int) -> dict[str, Any]:
    """A memory as a line of an import. `each` entities of a kind has a namespace."""
    place = number // _SPACES
    names = [f"{kind} {(place * step + shift) % each}" for kind, _, step, shift in _KINDS]
    text = f"{names[0]} met somebody of {names[1]} in {names[2]}, and they spoke of engine {number}."
    entities = [{"name": name, "type": type_} for name, (_, type_, _, _) in zip(names, _KINDS, strict=True)]
    relations = [{"source": names[0], "predicate": "works for", "target": names[1]}] if place % 2 else []
    return {"text": text, "key": f"m-{number}", "namespace": f"user-{number % _SPACES}", "entities": entities, "relations": relations}


# -- seeding -------------------------------------------------------------------------------------------------------------


def _each(rows: int) -> int:
    """Rows of one manner, at most."""
    return -(-rows // len(DEEDS))


def sow(world: World, rows: int, seed: int) -> list[tuple[Deed, Seeded]]:
    """Seed `rows` differences: as many of each manner as of any other, within one, in random order on random rows."""
    dice = random.Random(seed)
    chosen = DEEDS * (rows // len(DEEDS)) + dice.sample(DEEDS, rows % len(DEEDS))
    dice.shuffle(chosen)
    given = Rows.of(world, dice, alone=2 * _each(rows))
    return [(deed, deed.seed(world, given)) for deed in chosen]


# -- measuring -----------------------------------------------------------------------------------------------------------


def measure(world: World, rows: int, seed: int) -> Outcome:
    """Audit, seed, audit, plan, repair, audit; every step timed, every answer compared with what was seeded."""
    platform, complaints = world.platform, []
    clean = {mode: _audited(platform, deep=mode == "deep") for mode in ("quick", "deep")}
    for mode, (_, verdict) in clean.items():
        if not verdict.clean or verdict.pending:
            raise SystemExit(f"The {mode} audit found differences before any was made: {verdict.kinds()}, {verdict.pending} pending.")
    before = shown(world)
    sown = sow(world, rows, seed)
    quick_took, quick = _audited(platform, deep=False)
    deep_took, deep = _audited(platform, deep=True)
    plan_took, plan = ground.seconds(lambda: read_plan(repair_service.plan(platform, deep).as_text()))
    repair_took, repaired = ground.seconds(lambda: repair_service.apply(platform, plan))
    again = {mode: _audited(platform, deep=mode == "deep") for mode in ("quick", "deep")}

    after = shown(world)
    due = Counter(found for _, one in sown for found in (one.named, *one.also))
    at_once = Counter(found for deed, one in sown if not deed.deep for found in (one.named, *one.also))
    by_quick, by_deep = Counter(findings(quick)), Counter(findings(deep))
    left = Counter(found for _, verdict in again.values() for found in findings(verdict)) + Counter(map(_found, repaired.findings))
    # What shares a leaf with a row whose digest differs is met by a quick audit too: that is no mistake.
    complaints += _complain("a quick audit should have named", at_once - by_quick)
    complaints += _complain("a quick audit named what nobody seeded", by_quick - due)
    complaints += _complain("a deep audit should have named", due - by_deep)
    complaints += _complain("a deep audit named what nobody seeded", by_deep - due)
    complaints += _complain("after the repair there still is", left)
    if quick.more or deep.more:
        complaints.append(f"The verdicts keep {quick.more} and {deep.more} findings less than they counted.")
    if not repaired.clean or repaired.outcomes.keys() - {"owed", "unledgered"}:
        complaints.append(f"The repair was not clean: {repaired.outcomes}, {len(repaired.findings)} findings, {repaired.pending} pending.")
    if any(not verdict.clean or verdict.pending for _, verdict in again.values()):
        complaints.append("An audit after the repair was not clean, or something was still on its way.")
    complaints += [
        f"Nobody's audit, but a plain look: {text}" for text in (_unlike(before, after, "lost"), _unlike(after, before, "gained")) if text
    ]
    steps = {
        "quick audit, nothing differs": clean["quick"][0], "deep audit, nothing differs": clean["deep"][0], "quick audit": quick_took,
        "deep audit": deep_took, "plan": plan_took, "repair and its proof": repair_took, "quick audit again": again["quick"][0],
        "deep audit again": again["deep"][0],
    }  # fmt: skip
    counted = {
        "quick audit": sum(by_quick.values()), "deep audit": sum(by_deep.values()), "plan": len(plan.rows),
        "repair and its proof": repaired.changed,
    }  # fmt: skip
    times = [{"what": name, "s": took, "rows": counted.get(name, "")} for name, took in steps.items()]
    return Outcome(_table(sown, by_quick, by_deep, left), times, complaints)


def _audited(platform: Platform, *, deep: bool) -> tuple[float, Verdict]:
    return ground.seconds(lambda: audit.audit(platform, deep=deep))


_GRAPH = (
    "MATCH (n) WHERE n.deleted IS NULL AND NOT n:Marker RETURN labels(n), properties(n)",
    "MATCH (a)-[e]->(b) WHERE e.deleted IS NULL RETURN type(e), a.id, b.id, properties(e)",
)
_BESIDE = (
    "select 'passage', memory_id::text, ordinal, version, namespace, text from memory.passages",
    "select 'embedding', kind, id::text, passage, generation, version, namespace, vector_dims(v) from memory.embeddings",
    # Not at which number: vectors of what is forgotten settle at none when they are removed once more.
    "select 'ledger', projection, kind, id, settled_at is not null, owed_number, parked_at from memory.ledger",
)


def shown(world: World) -> Counter[str]:
    """Whatever is live in the stores, read by statements of its own: what a repair puts right must be as it was before."""
    rows: Counter[str] = Counter()
    for statement in _GRAPH:
        rows.update(repr([sorted(one.items()) if isinstance(one, dict) else one for one in row]) for row in world.cypher(statement))
    for statement in _BESIDE:
        rows.update(repr(row) for row in world.sql.execute(statement.encode()))
    return rows


def _unlike(one: Counter[str], other: Counter[str], what: str) -> str:
    rows = one - other
    return f"{rows.total()} rows {what}: {'; '.join(sorted(rows)[:3])}" if rows else ""


def _found(finding: Any) -> Found:
    return (finding.kind, finding.store, finding.subject, finding.id)


def _complain(what: str, found: Counter[Found]) -> list[str]:
    shown = ", ".join(" ".join(row) for row in sorted(found)[:5])
    return [f"{found.total()} rows that {what}: {shown}"] if found else []


def _table(
    sown: Sequence[tuple[Deed, Seeded]], by_quick: Counter[Found], by_deep: Counter[Found], left: Counter[Found]
) -> list[dict[str, Any]]:
    """One row a kind, store and subject; `with it` are edges that went with a node, under kinds of their own."""
    names = Counter((found[1:]) for found in by_deep.elements())  # whatever it was called
    lines: dict[tuple[str, str, str], dict[str, Any]] = {}
    for deed, one in sown:
        line = lines.setdefault(
            (deed.store, deed.kind, deed.subject),
            {
                "what": f"{deed.kind}, {deed.subject} in {deed.store}",
                **dict.fromkeys(("rows", "with it", "for quick", "by quick", "by deep", "right kind", "repaired"), 0),
            },
        )
        named = [one.named, *one.also]
        line["rows"] += 1
        line["with it"] += len(one.also)
        line["for quick"] += not deed.deep
        line["by quick"] += one.named in by_quick
        line["by deep"] += one.named[1:] in names
        line["right kind"] += one.named in by_deep
        line["repaired"] += not any(found in left for found in named)
    ordered = [lines[key] for key in sorted(lines)]
    total = {"what": "in all"} | {name: sum(line[name] for line in ordered) for name in ordered[0] if name != "what"}
    return [*ordered, total]
