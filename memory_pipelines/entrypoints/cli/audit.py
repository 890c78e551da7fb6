"""`audit`: do the stores hold what the record says?

To word a new kind of finding, add it to `WORDS`. Must stay out: comparing (`services/audit/audit.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memory_pipelines.domain.models import as_json
from memory_pipelines.entrypoints import errors
from memory_pipelines.entrypoints.cli import options, output
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
    "parked": "set aside after failing",
    "unledgered": "in the record, but unknown to the ledger",
    "without_subject": "in the ledger, but not in the record",
}
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
    rich_help_panel="Keeping in step",
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
    """Compare the graph and the vectors with the record, row by row. Exits with 3 when something differs.

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
    rows = [
        (*_outcome(one), *(one[name] for name in ("pending", "repaired", "seconds")), one["bytes"] / 1e6, one["paused_seconds"])
        for one in verdicts
    ]
    numbers = ("rows", "pending", "repaired", "seconds", "MB read", "paused s")
    output.table("Verdicts, newest first", ("at (UTC)", "mode", "found", *numbers), rows, right=numbers)


def _outcome(verdict: Mapping[str, Any]) -> tuple[str, str, str, int]:
    found = "clean" if verdict["clean"] else ", ".join(f"{kind} {rows:,}" for kind, rows in verdict["kinds"].items())
    return str(verdict["at"])[:19].replace("T", " "), verdict["mode"], found, sum(verdict["checked"].values())


def shape(verdict: Verdict) -> dict[str, object]:
    """The verdict as its JSON document."""
    return {name: as_json(getattr(verdict, name)) for name in _SHAPE}


def show(verdict: Verdict) -> None:
    """Print a verdict in tables and plain words."""
    checked = tuple(verdict.checked)
    cost = f"{verdict.seconds:.2f} s, {verdict.bytes / 1e6:.1f} MB read"
    output.table(f"Checked ({verdict.mode}, {cost})", checked, [list(verdict.checked.values())], right=checked)
    if verdict.resumed and verdict.started_at is not None:
        output.say(f"Resumed: this audit began {output.when(verdict.started_at)} UTC.")
    if verdict.paused_seconds:
        output.say(f"Stood aside for {verdict.paused_seconds:.0f} s of that, while the queue was behind.")
    if verdict.repaired:
        output.say(f"Repaired: {verdict.repaired:,}.")
    if verdict.pending:
        output.say(f"{verdict.pending:,} pending: saved moments ago, and on their way.")
    if verdict.clean:
        output.say("[bold green]✓ Clean:[/bold green] every store holds what the record says.")
        return
    kept = Counter((finding.store, finding.subject, finding.kind) for finding in verdict.findings)
    rows = [(store, subject, kind, count, WORDS.get(kind, "")) for (store, subject, kind), count in sorted(kept.items())]
    output.table("Differences", ("store", "what", "kind", "rows", "meaning"), rows, right=("rows",))
    columns = ("kind", "store", "what", "id", "since", "last write", "settled", "the record says", "found")
    output.table(
        "Row by row",
        columns,
        [(item.kind, item.store, item.subject, item.id, *_times(item), *_sides(item)) for item in verdict.findings[:_SHOWN]],
    )
    if len(verdict.findings) > _SHOWN:
        output.say(f"… and {len(verdict.findings) - _SHOWN:,} more; --json lists them.")
    if verdict.more:
        output.say(f"{verdict.more:,} further rows differ that are counted and not named; repair these, and audit again.")
    output.say(f"[bold red]✗ {sum(verdict.counts.values()):,} differences.[/bold red] To repair them: memory-pipelines audit --repair")


def _times(finding: Finding) -> tuple[str, str, str]:
    """Since when, and the revision and time of the last write and settlement."""
    return output.when(finding.since), _moment(finding.last_write), _moment(finding.last_settlement)


def _moment(what: Mapping[str, object] | None) -> str:
    return "" if what is None else f"r{what['revision']} {str(what['at'])[:16].replace('T', ' ')}"


def _sides(finding: Finding) -> tuple[str, str]:
    """What the record says and what was found, as far as they differ; where one side is absent the kind says it all."""
    expected, actual = finding.expected, finding.actual
    if not expected or not actual:
        return "", ""
    differing = [name for name in {**expected, **actual} if name not in _INNER and expected.get(name) != actual.get(name)]
    return _some(expected, differing), _some(actual, differing)


def _some(values: Mapping[str, object], names: list[str]) -> str:
    return output.cut(", ".join(f"{name} {values.get(name)}" for name in names), 80)
