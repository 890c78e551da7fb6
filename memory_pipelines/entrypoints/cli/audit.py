"""`audit`: do the stores hold what the record says?

To word a new kind of finding, add it to `WORDS`. Must stay out: comparing (`services/audit.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

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
    "stale": "older than the record",
    "ahead": "newer than the record",
    "edited": "differs in content from the record",
    "extra": "here, but not in the record",
    "orphan": "belongs to nothing in the record",
    "duplicate": "here more than once",
    "owed_too_long": "owed for longer than the sync budget",
}
_SHOWN = 20
_INNER = {"dh", "dl", "bucket", "leaf"}  # digests and where they are summed: they say that a row differs, not how


@app.command(
    rich_help_panel="Keeping in step",
    epilog=options.examples("memory-pipelines audit", "memory-pipelines audit --deep", "memory-pipelines audit --deep --repair --json"),
)
def audit(
    deep: Annotated[bool, typer.Option("--deep", help="Compare every property and edge, rather than digests.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Bring what differs back in step, then audit once more.")] = False,
    json: options.Json = False,
) -> None:
    """Compare the graph and the vectors with the record, row by row. Exits with 3 when something differs."""
    with open_client() as client, output.progress(counted=False) as bar:
        if bar:
            bar.add_task("Auditing deeply" if deep else "Auditing", total=None)
        verdict = client.audit(deep=deep, repair=repair)
    if json:
        output.document(shape(verdict))
    else:
        show(verdict)
    if not verdict.clean:
        raise typer.Exit(errors.DIFFERS)


def shape(verdict: Verdict) -> dict[str, object]:
    """The verdict as its JSON document."""
    return {name: as_json(getattr(verdict, name)) for name in ("clean", "mode", "checked", "pending", "findings", "seconds")}


def show(verdict: Verdict) -> None:
    """Print a verdict in tables and plain words."""
    checked = tuple(verdict.checked)
    output.table(f"Checked ({verdict.mode}, {verdict.seconds:.2f} s)", checked, [list(verdict.checked.values())], right=checked)
    if verdict.repaired:
        output.say(f"Repaired: {verdict.repaired:,}.")
    if verdict.pending:
        output.say(f"{verdict.pending:,} pending: saved moments ago, and on their way.")
    if verdict.clean:
        output.say("[bold green]✓ Clean:[/bold green] every store holds what the record says.")
        return
    counts = Counter((finding.store, finding.subject, finding.kind) for finding in verdict.findings)
    rows = [(store, subject, kind, count, WORDS.get(kind, "")) for (store, subject, kind), count in sorted(counts.items())]
    output.table("Differences", ("store", "what", "kind", "rows", "meaning"), rows, right=("rows",))
    single = [(item.kind, item.store, item.subject, item.id, *_sides(item)) for item in verdict.findings[:_SHOWN]]
    output.table("Row by row", ("kind", "store", "what", "id", "the record says", "found"), single)
    if len(verdict.findings) > _SHOWN:
        output.say(f"… and {len(verdict.findings) - _SHOWN:,} more; --json lists them.")
    output.say(f"[bold red]✗ {len(verdict.findings):,} differences.[/bold red] To repair them: memory-pipelines audit --repair")


def _sides(finding: Finding) -> tuple[str, str]:
    """What the record says and what was found, as far as they differ; where one side is absent the kind says it all."""
    expected, actual = finding.expected, finding.actual
    if not expected or not actual:
        return "", ""
    differing = [name for name in {**expected, **actual} if name not in _INNER and expected.get(name) != actual.get(name)]
    return _some(expected, differing), _some(actual, differing)


def _some(values: Mapping[str, object], names: list[str]) -> str:
    return output.cut(", ".join(f"{name} {values.get(name)}" for name in names), 80)
