"""`doctor`: every check, with a remedy for each finding.

Must stay out: looking (`stores/*/examine.py`) and comparing (`services/doctor.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from memory_pipelines.entrypoints import errors
from memory_pipelines.entrypoints.cli import options, output, panels

if TYPE_CHECKING:
    from memory_pipelines.domain.diagnosis import Check

app = typer.Typer()
_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


@app.command(rich_help_panel=panels.OPERATIONS, epilog=options.examples("memory-pipelines doctor", "memory-pipelines doctor --json"))
def doctor(json: options.Json = False) -> None:
    """Look at every engine, the schema, the embedder and the clock, and say what to do about what is wrong. Changes nothing.

    Exits with 0 when nothing is wrong (warnings included) and with 1 when there is an error.
    """
    from rich.text import Text

    from memory_pipelines import wiring
    from memory_pipelines.config import load

    found = wiring.diagnose(load())
    wrong = [check for check in found if check.state == "error"]
    if json:
        output.document({"ok": not wrong, "checks": [_shape(check) for check in found]})
    else:
        rows = [(check.name, Text(check.state, _STYLES[check.state]), check.seen, check.fix) for check in found]
        output.table(None, ("check", "state", "what was seen", "fix"), rows)
        warnings = sum(check.state == "warning" for check in found)
        output.say(
            f"[bold red]✗ {len(wrong)} errors[/bold red], {warnings} warnings."
            if wrong
            else f"[green]✓ Fit for use[/green], {warnings} warnings."
        )
    if wrong:
        raise typer.Exit(errors.FAILED)


def _shape(check: Check) -> dict[str, str]:
    return {"check": check.name, "state": check.state, "seen": check.seen, "fix": check.fix}
