"""`save`, `get`, `list`, `update`, `history`: single memories. Forgetting them: `forgetting.py`.

To add a command, see the docstring of this package. Must stay out: rules about memories (`domain/validation.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from memory_pipelines.entrypoints.cli import options, output, panels
from memory_pipelines.entrypoints.cli.session import open_client

if TYPE_CHECKING:
    from memory_pipelines.domain.models import SaveResult

app = typer.Typer()
PANEL = panels.MEMORIES
CLEARABLE = ("thread", "source", "expires_at", "metadata", "entities", "relations")


@app.command(
    rich_help_panel=PANEL,
    epilog=options.examples(
        'memory-pipelines save "Mara moved to Lisbon in May." --namespace mara --key home',
        'memory-pipelines save "Anna works at Acme." --entity Anna:person --relation "Anna|works_at|Acme" --wait graph',
        "memory-pipelines save - --namespace notes < note.txt",
    ),
)
def save(
    text: Annotated[str, typer.Argument(help="What to remember; - reads standard input.")],
    namespace: options.Namespace = "default",
    key: options.Key = None,
    id: Annotated[str | None, typer.Option("--id", help="A UUID of your own; by default a new one.")] = None,  # noqa: A002
    thread: options.Thread = None,
    metadata: options.Metadata = None,
    source: options.Source = None,
    created_at: options.CreatedAt = None,
    expires_at: options.ExpiresAt = None,
    entity: options.Entities = None,
    relation: options.Relations = None,
    revive: Annotated[bool, typer.Option("--revive", help="Let a forgotten key or id live again.")] = False,
    wait: options.WaitFor = options.Wait.none,
    timeout: options.Timeout = None,
    json: options.Json = False,
) -> None:
    """Save one memory. Saving again under the same key updates it; saving the same again changes nothing."""
    given: dict[str, Any] = {
        "namespace": namespace, "key": key, "id": id, "thread": thread, "source": source,
        "created_at": created_at, "expires_at": expires_at, "metadata": options.json_object(metadata),
        "entities": options.entity_list(entity), "relations": options.relation_list(relation),
    }  # fmt: skip
    body = options.text_or_stdin(text)
    with open_client() as client:
        _saved(client.save(body, **given, revive=revive, wait=wait.value, timeout=timeout), json)


@app.command(
    rich_help_panel=PANEL,
    epilog=options.examples(
        "memory-pipelines get 0198c7a2-5d3e-7c41-9f6b-2f1d7f0a9c55", "memory-pipelines get --key home --namespace mara --json"
    ),
)
def get(
    id: Annotated[str | None, typer.Argument(help="Its id; or use --key.")] = None,  # noqa: A002
    key: options.Key = None,
    namespace: options.Namespace = "default",
    json: options.Json = False,
) -> None:
    """Show one memory, by its id or its key."""
    one_of(id, key)
    with open_client() as client:
        memory = client.get(id, key=key, namespace=namespace)
    if json:
        output.document(memory)
        return
    facts = {
        "id": memory.id, "namespace": memory.namespace, "key": memory.key, "thread": memory.thread, "source": memory.source,
        "version": memory.version, "created": output.when(memory.created_at), "updated": output.when(memory.updated_at),
        "expires": output.when(memory.expires_at), "metadata": dict(memory.metadata) or None,
        "entities": ", ".join(f"{entity.name} ({entity.type})" for entity in memory.entities),
        "relations": "; ".join(f"{item.source} — {item.predicate} → {item.target}" for item in memory.relations),
    }  # fmt: skip
    output.table(None, ("field", "value"), [(name, value) for name, value in facts.items() if value not in (None, "")])
    output.text(memory.text)


@app.command(
    "list",
    rich_help_panel=PANEL,
    epilog=options.examples(
        "memory-pipelines list --namespace mara --limit 20",
        """memory-pipelines list --namespace mara --metadata '{"topic": "work"}' --created-after 2026-05-01""",
    ),
)
def list_(
    namespace: options.Namespace = "default",
    thread: options.Thread = None,
    metadata: Annotated[str | None, typer.Option("--metadata", "-m", help="Only memories that have these pairs.", metavar="JSON")] = None,
    created_after: options.After = None,
    created_before: options.Before = None,
    limit: options.Limit = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Continue after the page that ended with this cursor.")] = None,
    json: options.Json = False,
) -> None:
    """List the live memories of a namespace, newest first."""
    wanted = options.json_object(metadata)
    with open_client() as client:
        page = client.list(
            namespace=namespace, thread=thread, metadata=wanted, created_after=created_after, created_before=created_before,
            limit=limit, cursor=cursor,
        )  # fmt: skip
    if json:
        output.document({"memories": page.memories, "cursor": page.cursor})
        return
    if not page.memories:
        output.say(_nothing_listed(namespace, filtered=any((thread, metadata, created_after, created_before)), paged=cursor is not None))
        return
    output.memories(page)
    if page.cursor:
        output.note(f"[dim]There are more: --cursor {page.cursor}[/dim]")


@app.command(
    rich_help_panel=PANEL,
    epilog=options.examples(
        'memory-pipelines update 0198c7a2-5d3e-7c41-9f6b-2f1d7f0a9c55 --text "Mara lives in Porto."',
        'memory-pipelines update --key home --namespace mara --text "Mara lives in Porto."',
        """memory-pipelines update 0198c7a2-5d3e-7c41-9f6b-2f1d7f0a9c55 --metadata '{"sure": true}' --clear thread --expected-version 3""",
    ),
)
def update(
    id: Annotated[str | None, typer.Argument(help="Its id; or use --key.")] = None,  # noqa: A002
    key: options.Key = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of the key.")] = "default",
    text: Annotated[str | None, typer.Option("--text", "-t", help="The new text; - reads standard input.")] = None,
    metadata: Annotated[str | None, typer.Option("--metadata", "-m", help="The new metadata, whole.", metavar="JSON")] = None,
    thread: options.Thread = None,
    source: options.Source = None,
    created_at: options.CreatedAt = None,
    expires_at: options.ExpiresAt = None,
    entity: options.Entities = None,
    relation: options.Relations = None,
    clear: Annotated[list[str] | None, typer.Option("--clear", help=f"Empty a field: {', '.join(CLEARABLE)}.", metavar="FIELD")] = None,
    expected_version: Annotated[int | None, typer.Option("--expected-version", help="Refuse if someone else wrote since.")] = None,
    wait: options.WaitFor = options.Wait.none,
    timeout: options.Timeout = None,
    json: options.Json = False,
) -> None:
    """Change the fields that are named, and no others."""
    changes: dict[str, Any] = {
        "text": None if text is None else options.text_or_stdin(text), "metadata": options.json_object(metadata), "thread": thread,
        "source": source, "created_at": created_at, "expires_at": expires_at,
        "entities": options.entity_list(entity) or None, "relations": options.relation_list(relation) or None,
    }  # fmt: skip
    changes = {name: value for name, value in changes.items() if value is not None}
    for field in clear or []:
        if field not in CLEARABLE or field in changes:
            raise typer.BadParameter(f"is one of {', '.join(CLEARABLE)}, and not given a value as well", param_hint="--clear")
        changes[field] = None
    if not changes:
        raise typer.BadParameter("nothing to change: name at least one field", param_hint="--text, --metadata, …")
    one_of(id, key)
    with open_client() as client:
        _saved(
            client.update(id, key=key, namespace=namespace, expected_version=expected_version, wait=wait.value, timeout=timeout, **changes),
            json,
        )


@app.command(
    rich_help_panel=PANEL,
    epilog=options.examples(
        "memory-pipelines history 0198c7a2-5d3e-7c41-9f6b-2f1d7f0a9c55", "memory-pipelines history --key home --namespace mara --json"
    ),
)
def history(
    id: Annotated[str | None, typer.Argument(help="Its id; or use --key.")] = None,  # noqa: A002
    key: options.Key = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of the key.")] = "default",
    json: options.Json = False,
) -> None:
    """Show every version of a memory, oldest first. Of a forgotten one, only numbers and times are left."""
    one_of(id, key)
    with open_client() as client:
        versions = client.history(id, key=key, namespace=namespace)
    if json:
        output.document({"id": id and id.lower(), "key": key, "versions": versions})
        return
    rows = [(item.version, item.operation, output.when(item.at), output.cut(item.text or "", 200)) for item in versions]
    output.table(None, ("version", "what", "at (UTC)", "text"), rows, right=("version",))


def _saved(result: SaveResult, json: bool) -> None:
    if json:
        found = {"id": result.id, "key": result.key, "version": result.version, "revision": result.revision, "outcome": result.outcome}
        output.document(found)
    else:
        output.say(f"{result.outcome}: [bold]{result.id}[/bold], version {result.version}")


def _nothing_listed(namespace: str, *, filtered: bool, paged: bool) -> str:
    name = options.quoted(namespace)
    if paged:
        return "That was all: nothing comes after the page before."
    if filtered:
        return f"No live memory of this namespace is as asked. To see all of them: memory-pipelines list -n {name}"
    return f'No live memories in this namespace. To save one: memory-pipelines save "…" -n {name}'


def one_of(id: str | None, key: str | None) -> None:  # noqa: A002
    """Refuse a command that names both an id and a key, or neither."""
    if (id is None) == (key is None):
        raise typer.BadParameter("give either an id or --key", param_hint="ID")
