"""`repair`: a plan first, then the plan applied.

To word a new outcome, add it to `WORDS`. Must stay out: making and applying plans (`services/repair`).
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.models import as_json
from memory_pipelines.entrypoints import errors
from memory_pipelines.entrypoints.cli import options, output, panels, units
from memory_pipelines.entrypoints.cli.session import open_client

if TYPE_CHECKING:
    from memory_pipelines.domain.plans import RepairPlan, RepairResult

app = typer.Typer()
WORDS = {
    "owed": "owed again, and drained",
    "adopted": "became part of the record",
    "held": "the record says so already",
    "unledgered": "ledger rows of nothing, removed",
    "settled": "settled since the plan was made",
    "refused": "not as the plan saw it: nothing of it changed",
    "left": "for a person to decide",
}
_SHOWN = 20


@app.command(
    rich_help_panel=panels.REPAIR,
    epilog=options.examples(
        "memory-pipelines repair --plan",
        "memory-pipelines repair --plan plan.json",
        "memory-pipelines repair --plan plan.json --last",
        "memory-pipelines repair --apply plan.json",
    ),
)
def repair(
    file: Annotated[Path | None, typer.Argument(help="With --plan: the file to write the plan to.", metavar="[FILE]")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Audit, and say what a repair would do and cost. Nothing is repaired.")] = False,
    apply: Annotated[
        Path | None, typer.Option("--apply", help="Apply the plan of this file; `-` is standard input.", metavar="PLAN")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="With --plan: audit by digests instead of every property.")] = False,
    last: Annotated[bool, typer.Option("--last", help="With --plan: no new audit; look again at what the newest one has named.")] = False,
    json: options.Json = False,
) -> None:
    """Bring what differs back in step, by a plan that can be read first. Exits with 3 when a touched row still differs afterwards."""
    if plan == (apply is not None):
        raise typer.BadParameter("either --plan [FILE] or --apply PLAN", param_hint="--plan / --apply")
    if apply is not None:
        if file or quick or last:
            raise typer.BadParameter("takes nothing but the plan", param_hint="--apply")
        _apply(apply, json)
        return
    with open_client() as client, output.progress(counted=False) as bar:
        if bar:
            bar.add_task("Auditing", total=None)
        made = client.plan_repair(deep=not quick, last=last)
    if file is not None:
        _write(file, made.as_text())
    if json:
        output.document(made.model_dump(mode="json", exclude_none=True))
    else:
        show_plan(made, file)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput("file_unwritable", f"{file} cannot be written: {error.strerror}.") from None


def _apply(file: Path, json: bool) -> None:
    from memory_pipelines.domain.plans import read_plan

    try:
        text = options.text_or_stdin("-") if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise InvalidInput("file_unreadable", f"{file} cannot be read: {error.strerror}.") from None
    made = read_plan(text)
    with open_client() as client, output.progress(counted=False) as bar:
        if bar:
            bar.add_task("Repairing", total=None)
        result = client.repair(made)
    if json:
        output.document({**as_json(result), "changed": result.changed})
    else:
        show_result(result)
    if not result.clean:
        raise typer.Exit(errors.DIFFERS)


def show_plan(made: RepairPlan, file: Path | None) -> None:
    """Print a plan: what, why, how many, which projections, tokens and money."""
    if not made.rows:
        output.say("[bold green]✓ Nothing to repair:[/bold green] every store holds what the record says.")
        return
    rows = [(line.what, line.why, line.rows, ", ".join(line.projections), line.tokens, money(line.money)) for line in made.summary]
    rows.append(("all", "", len(made.rows), "", made.tokens, money(made.money)))
    output.table("Plan", ("what", "why", "rows", "projections", "tokens", "USD"), rows, right=("rows", "tokens", "USD"))
    if file is not None:
        output.say(f"Written to {output.shown(str(file))}. To apply it: memory-pipelines repair --apply {output.shown(quote(str(file)))}")
    else:
        output.say("Nothing was changed. To keep the plan: memory-pipelines repair --plan plan.json")


def money(value: float | None) -> str:
    """An estimate in US dollars, as the settings' prices are."""
    return "unknown" if value is None else f"{value:,.4f}".rstrip("0").rstrip(".")


def show_result(result: RepairResult) -> None:
    """Print what became of a plan."""
    rows = [(name, count, WORDS.get(name, "")) for name, count in result.outcomes.items()]
    output.table(f"Repaired ({units.lasting(result.seconds)})", ("outcome", "rows", "meaning"), rows, right=("rows",))
    told = [row for row in result.rows if row["outcome"] in ("refused", "left")]
    if told:
        shown = [(row["outcome"], row["projection"], row["kind"], row["id"], row["reason"] or "") for row in told[:_SHOWN]]
        output.table("Row by row", ("outcome", "projection", "what", "id", "reason"), shown)
    if len(told) > _SHOWN:
        output.say(f"… and {len(told) - _SHOWN:,} more; --json lists them.")
    if result.clean:
        output.say(f"[bold green]✓ Clean:[/bold green] {result.checked:,} touched rows looked at again, all equal to the record.")
        return
    found = [(item.kind, item.store, item.subject, item.id) for item in result.findings[:_SHOWN]]
    output.table("Still different", ("kind", "store", "what", "id"), found)
    output.say(
        f"[bold red]✗ {units.count(len(result.findings), 'finding')}[/bold red] "
        f"and {units.count(result.pending, 'row')} pending after the repair. "
        "To audit once more: memory-pipelines audit"
    )
