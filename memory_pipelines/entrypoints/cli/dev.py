"""`dev`: engines, schema, Dagster's UI and daemon, until Ctrl-C.

Must stay out: what Dagster shows (`definitions.py`), its settings (`dagster.yaml`), ending processes (`supervised.py`).
"""

from __future__ import annotations

import json as json_module
import os
import socket
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memory_pipelines.domain.errors import ConfigurationError, MemoryPipelinesError, Unavailable
from memory_pipelines.entrypoints.cli import options, output, panels, running

if TYPE_CHECKING:
    from memory_pipelines.entrypoints.cli.supervised import Supervised

app = typer.Typer()
START_SECONDS = 180.0
_LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries {
  loadStatus locationOrLoadError { ... on PythonError { message errorChain { error { message } } } } } } } }"""


@app.command(rich_help_panel=panels.FIRST, epilog=options.examples("memory-pipelines dev", "memory-pipelines dev --port 3100 --logs"))
def dev(
    port: Annotated[int, typer.Option("--port", "-p", help="Port of the Dagster UI, on 127.0.0.1.", min=1, max=65535)] = 3000,
    logs: Annotated[bool, typer.Option("--logs", help="Show Dagster's log here instead of writing it to a file.")] = False,
    json: options.Json = False,
) -> None:
    """Start the engines, the Dagster UI and its daemon, and stop all of them on Ctrl-C.

    The queue sensors run: what is saved, from anywhere, is in the graph and the vectors seconds later.
    """
    from memory_pipelines import embedded, wiring
    from memory_pipelines.config import load
    from memory_pipelines.dagster_home import prepare_home
    from memory_pipelines.entrypoints.cli.supervised import Supervised

    settings = load()
    home = settings.home_path
    output.note(f"Home: {output.shown(str(home))}")
    history, url = prepare_home(home), f"http://127.0.0.1:{port}"
    with running.only(history, url):
        _port_is_free(port)
        wanted = wiring.embedded_engines(settings)
        ours = bool(wanted) and not any(engine.running for engine in embedded.status(home).values())
        try:
            _schema()
            log = None if logs else history / "dev.log"
            output.note(f"[dim]Starting Dagster; its log is in {output.shown(str(log or 'this terminal'))}.[/dim]")
            env = {**os.environ, "DAGSTER_HOME": str(history), "MEMORY_HOME": str(home)}
            command = [sys.executable, "-m", "dagster", "dev", "-m", "memory_pipelines.definitions", "-h", "127.0.0.1", "-p", str(port)]
            child = Supervised(command, env, log)
            try:
                _until_ready(child, url, log)
                if not child.asked_to_stop:
                    _welcome(url, json, wanted, str(home))
                while child.running and not child.asked_to_stop:
                    child.pause(0.3)
                if not child.asked_to_stop:
                    raise Unavailable("dagster_ended", f"Dagster ended by itself. {_last_words(log)}")
            finally:
                output.note("[dim]Stopping Dagster … (Ctrl-C again kills it)[/dim]")
                child.stop()
        finally:
            if ours:
                output.note("[dim]Stopping the engines …[/dim]")
                embedded.down(home)
    output.note("Stopped.")


def _port_is_free(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise ConfigurationError(
                "port_busy", f"Port {port} is taken, perhaps by another `memory-pipelines dev`. Choose one with --port.", {"port": port}
            ) from None


def _schema() -> None:
    from memory_pipelines import wiring
    from memory_pipelines.entrypoints.cli.session import open_platform

    with open_platform() as platform:
        wiring.bring_schema(platform)
        platform.graph.prepare()
        try:
            platform.stream.last_id()  # an embedded one starts with its first use
        except MemoryPipelinesError as error:
            output.note(f"[yellow]The stream does not answer[/yellow] ({error.code}): changes are found more slowly, none is lost.")


def _until_ready(child: Supervised, url: str, log: Path | None) -> None:
    """Wait until the UI answers and has loaded our definitions.

    Raises:
        Unavailable: `dagster_failed`, with the end of its log.
        ConfigurationError: `definitions_invalid`, with the cause.
    """
    waited = 0.0
    while not child.asked_to_stop:
        if not child.running:
            raise Unavailable("dagster_failed", f"Dagster did not start. {_last_words(log)}")
        if waited > START_SECONDS:
            raise Unavailable("dagster_failed", f"Dagster did not answer on {url} within {START_SECONDS:.0f} s. {_last_words(log)}")
        found = _locations(url)
        for error in (entry["locationOrLoadError"] or {} for entry in found):
            if "message" in error:
                raise ConfigurationError("definitions_invalid", f"Dagster could not load our definitions: {_cause(error)}")
        if found and all(entry["loadStatus"] == "LOADED" for entry in found):
            return
        child.pause(0.25)
        waited += 0.25


def _cause(error: dict[str, Any]) -> str:
    chain = [link["error"]["message"].strip() for link in error.get("errorChain") or []]
    return str(chain[-1] if chain else error["message"].strip())


def _locations(url: str) -> list[dict[str, Any]]:
    """The code locations that the UI knows; none while it does not answer."""
    asked = urllib.request.Request(
        f"{url}/graphql", json_module.dumps({"query": _LOCATIONS}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            workspace = json_module.load(answer)["data"]["workspaceOrError"]
    except (OSError, ValueError):
        return []  # not yet
    found: list[dict[str, Any]] = workspace.get("locationEntries", [])
    return found


def _last_words(log: Path | None) -> str:
    if log is None or not log.exists():
        return "See its log above."
    lines = log.read_text("utf-8", errors="replace").splitlines()[-15:]
    return f"The end of {log}:\n" + "\n".join(lines)


def _welcome(url: str, json: bool, engines: tuple[str, ...], home: str) -> None:
    if json:
        output.document({"url": url, "home": home, "engines": list(engines)})
        return
    from rich.panel import Panel

    places = (
        ("Lineage", "/asset-groups", "what follows from what; Materialize runs any of it"),
        ("Sensors", "/automation", "the queue sensors with their ticks, and the schedules"),
        ("Runs", "/runs", "each drain, with its log"),
        ("Audit", "/assets/consistency_audit", "the newest verdict, its plots and checks"),
    )
    lines = [f"[bold]Dagster is at [link={url}]{url}[/link][/bold]", ""]
    lines += [f"{name:<8} {url}{path}  [dim]{what}[/dim]" for name, path, what in places]
    lines += ["", 'Try, in another terminal:  memory-pipelines save "Mara moved to Lisbon." --namespace mara', "Ctrl-C stops everything."]
    output.results().print(Panel("\n".join(lines), expand=False))
    sys.stdout.flush()
