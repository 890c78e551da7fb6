"""`audit`: do the stores hold what the record says?

To word a new kind of finding, add it to `WORDS`. Must stay out: comparing (`services/audit/audit.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memory_pipelines.domain.models import PROJECTIONS, as_json
from memory_pipelines.entrypoints import errors
from memory_pipelines.entrypoints.cli import options, output, panels, units
from memory_pipelines.entrypoints.cli.session import open_client

if TYPE_CHECKING:
    from memory_pipelines.domain.models import Finding, Verdict

app = typer.Typer()
WORDS = {
    "missing": "in the record, but not here",
    "settled_absent": "in the record, settled by the ledger, but not here",
    "stale": "older than the record",
    "ahead": "newer than the record",
    "edited": "differs in content from the record",
    "wrong_namespace": "shown to another namespace",
    "extra": "here, but not in the record",
    "orphan": "belongs to nothing in the record",
    "duplicate_node": "here more than once",
    "duplicate_edge": "here more than once",
    "dangling_edge": "an edge from or to nothing of ours",
    "wrong_generation": "made by another model than the present one",
    "wrong_dimension": "a vector of the wrong length",
    "owed_too_long": "owed for longer than the sync budget",
    "parked": "failed for a reason of its own; no drain takes it",
    "given_up": "a parked row that somebody dropped knowingly",
    "unledgered": "in the record, but unknown to the ledger",
    "without_subject": "in the ledger, but not in the record",
}
LATE = "owed_too_long"
PARKED = {"parked", "given_up"}
_SHOWN = 20
_INNER = {"dh", "dl", "bucket", "leaf"}  # digests and where they are summed: they say that a row differs, not how
_SHAPE = (
    "clean",
    "mode",
    "checked",
    "pending",
    "findings",
    "seconds",
    "counts",
    "more",
    "bytes",
    "paused_seconds",
    "resumed",
    "started_at",
    "at",
)


@app.command(
    rich_help_panel=panels.SYNC,
    epilog=options.examples(
        "memory-pipelines audit",
        "memory-pipelines audit --deep",
        "memory-pipelines audit --deep --resume",
        "memory-pipelines audit --incremental --json",
        "memory-pipelines audit --deep --repair --json",
        "memory-pipelines audit --history --limit 10",
    ),
)
def audit(
    deep: Annotated[bool, typer.Option("--deep", help="Compare every property and edge, rather than digests.")] = False,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Look only at what was written since the last audit, and at what that one found.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the deep audit that was interrupted; needs --deep.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Bring what differs back in step, then audit once more.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Look at nothing; list the verdicts so far, newest first.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, max=1000, help="With --history: how many verdicts at most.")] = 20,
    json: options.Json = False,
) -> None:
    """Compare the graph and the vectors with the record, row by row. Exits with 3 when there are findings.

    A deep audit keeps where it is: when it was interrupted, --deep --resume goes on there.
    """
    if deep and incremental:
        raise typer.BadParameter("goes with quick audits only: a deep one takes everything", param_hint="--incremental")
    if resume and not deep:
        raise typer.BadParameter("needs --deep: only deep audits keep where they are", param_hint="--resume")
    if history:
        _history(limit, json)
        return
    with open_client() as client, output.progress(counted=False) as bar:
        if bar:
            bar.add_task("Auditing deeply" if deep else "Auditing", total=None)
        verdict = client.audit(deep=deep, repair=repair, incremental=incremental, resume=resume)
    if json:
        output.document(shape(verdict))
    else:
        show(verdict)
    if not verdict.clean:
        raise typer.Exit(errors.DIFFERS)


def _history(limit: int, json: bool) -> None:
    with open_client() as client:
        verdicts = client.audits(limit)
    if json:
        output.document({"verdicts": list(verdicts)})
        return
    if not verdicts:
        output.say("No audit has ended yet. To run one: memory-pipelines audit")
        return
    output.say("[bold]Verdicts, newest first[/bold] (UTC)")
    for one in verdicts:
        output.results().print(_verdict(one), markup=False)


def _verdict(one: Mapping[str, Any]) -> str:
    """A stored verdict in a line."""
    found = "clean" if one["clean"] else ", ".join(f"{kind} {rows:,}" for kind, rows in one["kinds"].items())
    rows = units.count(sum(one["checked"].values()), "row")
    more = [f"{rows} checked in {units.lasting(one['seconds'])}", f"{units.size(one['bytes'])} read"]
    more += [f"{one[name]:,} {name}" for name in ("pending", "repaired") if one[name]]
    more += [f"stood aside for {units.lasting(one['paused_seconds'])}"] if one["paused_seconds"] else []
    return f"{str(one['at'])[:19].replace('T', ' ')}  {one['mode']:<11}  {found}; {', '.join(more)}"


def shape(verdict: Verdict) -> dict[str, object]:
    """The verdict as its JSON document."""
    return {name: as_json(getattr(verdict, name)) for name in _SHAPE}


def show(verdict: Verdict) -> None:
    """Print a verdict in tables and plain words."""
    checked = tuple(verdict.checked)
    cost = f"{units.lasting(verdict.seconds)}, {units.size(verdict.bytes)} read"
    output.table(f"Rows checked ({verdict.mode}, {cost})", checked, [list(verdict.checked.values())], right=checked)
    if verdict.resumed and verdict.started_at is not None:
        output.say(f"Resumed: this audit began {output.when(verdict.started_at)} UTC.")
    if verdict.paused_seconds:
        output.say(f"Stood aside for {units.lasting(verdict.paused_seconds)} of that, while more was owed than the sync budget allows.")
    if verdict.repaired:
        output.say(f"Repaired: {units.count(verdict.repaired, 'row')}.")
    if verdict.pending:
        output.say(f"{units.count(verdict.pending, 'row')} pending: owed for less than the sync budget, and on their way.")
    if verdict.clean:
        output.say("[bold green]✓ Clean:[/bold green] every store holds what the record says.")
        return
    kept = Counter((finding.store, finding.subject, finding.kind) for finding in verdict.findings)
    rows = [(store, subject, kind, count, WORDS.get(kind, "")) for (store, subject, kind), count in sorted(kept.items())]
    output.table("Findings", ("store", "what", "kind", "rows", "meaning"), rows, right=("rows",))
    late = _late(verdict.findings)
    if late:
        output.say("[bold]Owed too long[/bold], the longest first (UTC)")
        for (subject, id_), of_it in list(late.items())[:_SHOWN]:
            output.results().print(_owed(subject, id_, of_it), markup=False, soft_wrap=True)
        _and_more(len(late))
    others = [finding for finding in verdict.findings if finding.kind != LATE]
    if others:
        output.say("[bold]Row by row[/bold] (UTC)")
        for finding in others[:_SHOWN]:
            output.results().print(_line(finding), markup=False, soft_wrap=True)
        _and_more(len(others))
    if verdict.more:
        output.say(f"{units.count(verdict.more, 'further row')} are counted and not named; mend these, and audit again.")
    output.say(f"[bold red]✗ {units.count(sum(verdict.counts.values()), 'finding')}.[/bold red] {' '.join(_advice(verdict))}")


def _and_more(number: int) -> None:
    if number > _SHOWN:
        output.say(f"… and {number - _SHOWN:,} more; --json lists them.")


def _late(findings: Iterable[Finding]) -> dict[tuple[str, str], list[Finding]]:
    """Rows owed too long, by what is owed: a memory is owed to up to three projections, and is one thing to a person."""
    late: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if finding.kind == LATE:
            late.setdefault((finding.subject, finding.id), []).append(finding)
    return dict(sorted(late.items(), key=lambda item: min(_owed_since(one) for one in item[1])))


def _owed_since(finding: Finding) -> str:
    return str((finding.actual or {}).get("owed_since") or "")


def _owed(subject: str, id: str, of_it: list[Finding]) -> str:  # noqa: A002
    """One line: what is owed, to which projections, since when, and why if it was tried."""
    to = ", ".join(sorted({str(one.hint.get("projection")) for one in of_it}, key=_order))
    tried = max((one.actual or {}).get("attempts") or 0 for one in of_it)
    reason = next((str((one.actual or {})["error"]) for one in of_it if (one.actual or {}).get("error")), "")
    since = min(_owed_since(one) for one in of_it)[:19].replace("T", " ")
    failed = f", {units.count(tried, 'attempt')} failed: {output.cut(reason, 120)}" if tried else ""
    return f"  {subject} {id}  owed to {to} since {since}{failed}"


def _order(projection: str) -> int:
    return PROJECTIONS.index(projection) if projection in PROJECTIONS else len(PROJECTIONS)


def _line(finding: Finding) -> str:
    """A finding in one to three lines: a table of so many columns would fit no terminal."""
    head = f"  {finding.kind}  {finding.store}  {finding.subject} {output.visible(finding.id, line=True)}"
    since, written, settled = _times(finding)
    times = ", ".join(f"{name} {at}" for name, at in (("seen since", since), ("last write", written), ("settled", settled)) if at)
    ours, found = _sides(finding)
    sides = f"the record says {ours}; found {found}" if ours or found else ""
    return "\n      ".join(filter(None, (head, times, sides)))


def _advice(verdict: Verdict) -> Iterator[str]:
    """What to do, in the order in which to do it."""
    kinds = set(verdict.counts)
    if LATE in kinds:
        yield "To drain what is owed too long: memory-pipelines sync"
    if kinds & PARKED:
        yield "To see why rows are parked or given up: memory-pipelines dead list"
    if kinds - PARKED - {LATE}:
        yield f"To repair: memory-pipelines audit{' --deep' if verdict.mode == 'deep' else ''} --repair"


def _times(finding: Finding) -> tuple[str, str, str]:
    """Since when, and the time of the last write and settlement."""
    return output.when(finding.since), _moment(finding.last_write), _moment(finding.last_settlement)


def _moment(what: Mapping[str, object] | None) -> str:
    return "" if what is None else f"{str(what['at'])[:19].replace('T', ' ')} (revision {what['revision']})"


def _sides(finding: Finding) -> tuple[str, str]:
    """What the record says and what was found, as far as they differ; where one side is absent the kind says it all."""
    expected, actual = finding.expected, finding.actual
    if not expected or not actual:
        return "", ""
    differing = [name for name in {**expected, **actual} if name not in _INNER and expected.get(name) != actual.get(name)]
    return _some(expected, differing), _some(actual, differing)


def _some(values: Mapping[str, object], names: list[str]) -> str:
    return output.cut(", ".join(f"{name} {values.get(name)}" for name in names), 80)
