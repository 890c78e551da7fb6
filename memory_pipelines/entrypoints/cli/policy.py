"""`policy`: what becomes of edits that somebody makes in the graph.

To add a command, add it to `commands`. Must stay out: rules about policies (`services/repair/policies.py`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from memory_pipelines.entrypoints.cli import options, output, panels
from memory_pipelines.entrypoints.cli.session import open_client

app = typer.Typer()
commands = typer.Typer(
    help="What becomes of edits that somebody makes in the graph: the record wins, or adopts them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=options.examples("memory-pipelines policy list", "memory-pipelines policy set work adopt"),
)
app.add_typer(commands, name="policy", rich_help_panel=panels.REPAIR)


class OutsideEdits(StrEnum):
    """What becomes of an outside edit."""

    record_wins = "record-wins"
    adopt = "adopt"


@commands.command("set", epilog=options.examples("memory-pipelines policy set work adopt", "memory-pipelines policy set work record-wins"))
def set_policy(
    namespace: Annotated[str, typer.Argument(help="The namespace.")],
    outside_edits: Annotated[OutsideEdits, typer.Argument(help="`record-wins` undoes edits; `adopt` writes them to the record.")],
    json: options.Json = False,
) -> None:
    """Say what the next repair does with edits in the graph: of an entity's name, type, aliases, summary, and of relations."""
    with open_client() as client:
        client.set_policy(namespace, outside_edits.value)
    if json:
        output.document({"namespace": namespace, "outside_edits": outside_edits.value})
    else:
        output.say(f"Outside edits in [bold]{output.shown(namespace)}[/bold]: {outside_edits.value}.")


@commands.command("list", epilog=options.examples("memory-pipelines policy list", "memory-pipelines policy list --json"))
def list_policies(json: options.Json = False) -> None:
    """List every namespace with its policy."""
    with open_client() as client:
        found = client.policies()
    if json:
        output.document({"policies": [{"namespace": name, "outside_edits": policy} for name, policy in found.items()]})
    elif not found:
        output.say('There are no namespaces yet; the first save creates one: memory-pipelines save "…" --namespace NAME')
    else:
        output.table(None, ("namespace", "outside edits"), list(found.items()))
