"""`explain`: everything that is known of one row, in order of time.

To tell more, add it to `_story`, in words; a store's own numbers to `_numbers`. Must stay out: gathering it (`services/explain.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memory_pipelines.entrypoints.cli import options, output, panels, units
from memory_pipelines.entrypoints.cli.session import open_client

if TYPE_CHECKING:
    from memory_pipelines.domain.models import Explanation

app = typer.Typer()


@app.command(
    rich_help_panel=panels.SYNC,
    epilog=options.examples(
        "memory-pipelines explain 0197c9a2-7b1e-7c31-8f7e-3a5d0c5b1e44",
        "memory-pipelines explain 0197c9a2-7b1e-7c31-8f7e-3a5d0c5b1e44 --text --json",
        "memory-pipelines explain 0197c9a2-7b1e-7c31-8f7e-3a5d0c5b1e44 --verbose",
    ),
)
def explain(
    id: Annotated[str, typer.Argument(help="Id of a memory, an entity or a relation.")],  # noqa: A002  # the name it has everywhere
    text: Annotated[bool, typer.Option("--text", help="Show what a person wrote, too: text, name, predicate.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the stores' own numbers, too: digests, buckets, markers, revisions, owed numbers.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Everything that is known of one row: record, stores, ledger, attempts, verdict, in order of time. Changes nothing."""
    with open_client() as client:
        found = client.explain(id, text=text)
    if json:
        output.document(found)
    elif verbose:
        _numbers(found)
    else:
        _story(found)


def _story(found: Explanation) -> None:
    """What became of it, in words and times."""
    record = found.record
    where = f" in {output.visible(str(record['namespace']), line=True)}" if record else ""
    output.results().print(f"{found.kind} {output.cut(found.id, 200)}{where}", markup=False, style="bold")
    said = {name: (record or {}).get(name) for name in ("key", "name", "predicate", "text")}
    for name, value in said.items():
        if value is not None:
            output.results().print(f"{name}: {output.visible(str(value))}", markup=False, soft_wrap=True)
    for sentence in (_in_record(found), _in_graph(found), *_in_vectors(found)):
        output.results().print(sentence, markup=False)
    columns = ("projection", "state", "since (UTC)", "version", "failed attempts", "reason")
    output.table("What is owed and settled", columns, [_standing(row) for row in found.ledger], right=columns[3:5])
    output.table("In order of time (UTC)", ("at", "what"), [(_at(event["at"]), _event(event)) for event in found.events])
    for sentence in _next(found):
        output.say(sentence)


def _in_record(found: Explanation) -> str:
    record = found.record
    if record is None:
        return "The record does not know it."
    if record["deleted_at"]:
        return f"The record: forgotten {_at(record['deleted_at'])} UTC; only numbers and times are left."
    ends = f", expires {_at(record['expires_at'])} UTC" if record.get("expires_at") else ""
    links = {"mentions": "mention", "statements": "relation"}
    behind = ", ".join(units.count(record[name], noun) for name, noun in links.items() if name in record)
    version = f"version {record['version']}, " if found.kind == "memory" else ""
    return f"The record: {version}last written {_at(record['updated_at'])} UTC{ends}, {behind}."


def _in_graph(found: Explanation) -> str:
    """Whether the graph shows what the record holds; the digests that tell are left to `--verbose`."""
    nodes: list[Mapping[str, Any]] = found.stores["graph"]
    live = found.record is not None and not found.record["deleted_at"]
    if not nodes:
        return "The graph does not show it" + (" yet." if live and _owes(found, "graph") else "." if live else ", as it should be.")
    if len(nodes) > 1:
        return f"The graph shows it {len(nodes)} times."
    if found.record is None:
        return "The graph shows it, and the record does not know it."
    equal = all(nodes[0].get(name) == found.record.get(name) for name in ("revision", "dh", "dl"))
    if equal:
        return "The graph shows it as the record holds it." if live else "The graph keeps a tombstone of it, as it should."
    return "The graph shows another state of it" + (", and is owed the present one." if _owes(found, "graph") else ".")


def _in_vectors(found: Explanation) -> list[str]:
    if found.kind == "relation":
        return []  # has none
    vectors = found.stores["embeddings"]
    if not vectors:
        return ["There is no vector of it" + (" yet." if _owes(found, "embeddings") else ".")]
    dimensions = ", ".join(sorted({f"{one['dimensions']:,}" for one in vectors}))
    versions = ", ".join(str(number) for number in sorted({one["version"] for one in vectors}))
    made = f", made from version {versions}" if found.kind == "memory" else ""
    return [f"{units.count(len(vectors), 'vector')} of {dimensions} dimensions{made}."]


def _owes(found: Explanation, projection: str) -> bool:
    return any(row["projection"] == projection and row["owed_number"] is not None for row in found.ledger)


def _standing(row: Mapping[str, Any]) -> tuple[object, ...]:
    state = _state(row)
    since = row["parked_at"] if state == "parked" else row["owed_since"] if state == "owed" else row["settled_at"]
    # of what is owed, the version that the projection holds; for entities and relations the ledger's version is their revision
    version = row["settled_version"] if row["kind"] == "memory" else None
    return row["projection"], state, _at(since) if since else "", version, row["attempts"] or None, row["last_error"]


def _event(event: Mapping[str, Any]) -> str:
    """One event, in words."""
    what, projection = str(event["what"]), event.get("projection")
    if what == "settled":
        return f"settled: {projection} holds it"
    if what == "owed":
        return f"owed to {projection}"
    if what == "named by an audit":
        return f"named by an audit ({event['mode']}): {', '.join(event['kinds'])}"
    if projection is not None:
        return f"{what}: attempt {event['attempt']} of {projection}: {event['error']}"
    return f"{what}, version {event['version']}"


def _next(found: Explanation) -> Iterator[str]:
    states = {_state(row) for row in found.ledger}
    if "owed" in states:
        yield "To drain what is owed now: memory-pipelines sync"
    if "parked" in states:
        yield f"To see why it is parked: memory-pipelines dead show {options.quoted(found.id)}"


def _numbers(found: Explanation) -> None:
    output.say(f"[bold]{found.kind}[/bold] {output.shown(output.cut(found.id, 200))}")
    if found.record is None:
        output.say("The record does not know it.")
    else:
        rows = [(name, value) for name, value in found.record.items() if name != "versions" and value is not None]
        output.table("The record", ("what", "value"), rows)
    nodes: list[Mapping[str, Any]] = found.stores["graph"]
    for n, node in enumerate(nodes):
        output.table("The graph" if n == 0 else f"The graph, once more ({n + 1})", ("what", "value"), sorted(node.items()))
    if not nodes:
        output.say("The graph shows nothing under this id.")
    vectors = [(one["passage"], one["version"], one["generation"], one["dimensions"]) for one in found.stores["embeddings"]]
    output.table("Vectors", ("passage", "version", "generation", "dimensions"), vectors)
    columns = ("projection", "owed_number", "settled_version", "settled_revision", "settled_marker", "attempts", "last_error")
    ledger = [(_state(row), *(row[name] for name in columns)) for row in found.ledger]
    output.table("The ledger", ("state", *(name.removeprefix("settled_").replace("_", " ") for name in columns)), ledger)
    output.table("In order of time (UTC)", ("at", "what", ""), [_raw(event) for event in found.events])


def _state(row: Mapping[str, Any]) -> str:
    return "parked" if row["parked_at"] else "settled" if row["owed_number"] is None else "owed"


def _raw(event: Mapping[str, Any]) -> tuple[str, str, str]:
    rest = (f"{name} {value}" for name, value in event.items() if name not in ("at", "what") and value is not None)
    return _at(event["at"], parts=23), event["what"], ", ".join(rest)


def _at(moment: object, parts: int = 19) -> str:
    """A time of the record, in UTC, to the second, or with more characters to the millisecond."""
    return str(moment)[:parts].replace("T", " ")
