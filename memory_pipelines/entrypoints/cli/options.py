"""Options that several commands share, and how their values are read.

To add one, add its annotated type here and use it in the commands. Must stay out: rules about memories
(`domain/validation.py`); only the form of an argument is checked here, and a wrong form is a usage error.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.markup import escape

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output and nothing else.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="The namespace to look or write in.")]
Limit = Annotated[int, typer.Option("--limit", "-l", help="How many rows at most, 1 to 1000.")]
Key = Annotated[str | None, typer.Option("--key", "-k", help="Your own name for the memory, unique in its namespace.")]
Thread = Annotated[str | None, typer.Option("--thread", help="The conversation it belongs to.")]
Metadata = Annotated[str | None, typer.Option("--metadata", "-m", help="A JSON object.", metavar="JSON")]
After = Annotated[str | None, typer.Option("--created-after", help="Only newer ones: ISO 8601 with a zone, or a date.", metavar="TIME")]
Before = Annotated[str | None, typer.Option("--created-before", help="Only older ones: ISO 8601 with a zone, or a date.", metavar="TIME")]
CreatedAt = Annotated[str | None, typer.Option("--created-at", help="When it happened: ISO 8601 with a zone, or a date.", metavar="TIME")]
ExpiresAt = Annotated[str | None, typer.Option("--expires-at", help="When it stops being true.", metavar="TIME")]
Source = Annotated[str | None, typer.Option("--source", help="Where it comes from, free text.")]
Entities = Annotated[list[str] | None, typer.Option("--entity", help="An entity it mentions; may be repeated.", metavar="NAME[:TYPE]")]
Relations = Annotated[
    list[str] | None, typer.Option("--relation", help="A relation it states; may be repeated.", metavar="SOURCE|PREDICATE|TARGET")
]
Timeout = Annotated[float | None, typer.Option("--timeout", help="How many seconds --wait waits at most.", min=0.0)]


class Wait(StrEnum):
    """What a write waits for."""

    none = "none"
    graph = "graph"
    all = "all"


WaitFor = Annotated[Wait, typer.Option("--wait", help="Return when the graph, or everything, shows this version.")]


def examples(*lines: str) -> str:
    """The epilog of a command's help."""
    return "\n\n".join(["[bold]Examples:[/bold]", *(f"[cyan]{escape(line)}[/cyan]" for line in lines)])


def quoted(value: str) -> str:
    """A value as it may be put into a command that is printed: safe for a shell, for a terminal, and as rich markup."""
    import shlex

    from memory_pipelines.entrypoints.cli.output import visible

    return escape(shlex.quote(visible(value, line=True)))


def text_or_stdin(value: str) -> str:
    """The argument itself, or standard input for `-`."""
    if value != "-":
        return value
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise typer.BadParameter(f"standard input cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter("standard input is not UTF-8") from None


def json_object(value: str | None, option: str = "--metadata") -> dict[str, Any] | None:
    """A JSON object given as an option; None when it was not given."""
    if value is None:
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise typer.BadParameter("""must be a JSON object such as '{"topic": "work"}'""", param_hint=option)
    return found


def entity_list(values: list[str] | None) -> list[dict[str, str]]:
    """`Anna:person` -> name and type; the last colon counts, and without one the type is `thing`."""
    found = []
    for value in values or []:
        name, colon, kind = value.rpartition(":")
        found.append({"name": name, "type": kind} if colon else {"name": kind})
    return found


def relation_list(values: list[str] | None) -> list[dict[str, str]]:
    """`Anna|works_at|Acme` -> source, predicate and target."""
    found = []
    for value in values or []:
        parts = value.split("|")
        if len(parts) != 3:
            raise typer.BadParameter('must have three parts, such as "Anna|works_at|Acme"', param_hint="--relation")
        found.append(dict(zip(("source", "predicate", "target"), parts, strict=True)))
    return found


def pairs(values: list[str] | None, option: str) -> dict[str, str]:
    """`field=column`, repeated."""
    found = {}
    for value in values or []:
        field, equals, column = value.partition("=")
        if not equals or not field or not column:
            raise typer.BadParameter("must look like field=column, such as created_at=date", param_hint=option)
        if field in found:
            raise typer.BadParameter(f"maps {field} twice", param_hint=option)
        found[field] = column
    return found
