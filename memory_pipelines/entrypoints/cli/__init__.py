"""The command line `memory-pipelines`: a file per group of commands, all errors handled in one place.

To add a command: a function in the file of its subject, with `--json`, a help text and examples; then a line in
`docs/using.md` (a test looks). Must stay out: use cases. A command opens the platform, calls one service and prints the result.
Heavy modules are imported inside the commands, so that `--help` and completion are quick.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from memory_pipelines import __version__
from memory_pipelines.domain.errors import MemoryPipelinesError
from memory_pipelines.entrypoints import errors
from memory_pipelines.entrypoints.cli import (
    audit,
    dead,
    demo,
    dev,
    doctor,
    engines,
    entities,
    explain,
    forgetting,
    maintenance,
    memories,
    namespaces,
    output,
    policy,
    repair,
    search,
    sync,
    transfer,
)

app = typer.Typer(
    name="memory-pipelines",
    help="Memory for AI agents: text with vectors and a graph of entities, kept equal and proven so.\n\n"
    "Start with [bold]memory-pipelines demo[/bold]. Without any setting the engines are embedded and their data is in .memory.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
# In the order of `panels.ORDER`: a panel stands where its first command does.
GROUPS = (
    demo.app, dev.app, memories.app, forgetting.app, namespaces.app, search.app, entities.app, transfer.app, sync.app, audit.app,
    explain.app, repair.app, dead.app, policy.app, sync.rebuilding, doctor.app, engines.app, maintenance.app,
)  # fmt: skip
for group in GROUPS:
    app.add_typer(group)

_debug = False


def _version(wanted: bool) -> None:
    if wanted:
        print(f"memory-pipelines {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _all(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show logs, and tracebacks of errors.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = False,  # noqa: ARG001
) -> None:
    global _debug
    _debug = debug
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    if not debug:
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # it repeats what our own error says
    if context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0, 1 failed, 2 usage, 3 the audit has findings, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    output.begin("--json" in options)
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # not under nohup, which ignores it
        signal.signal(signal.SIGHUP, _hung_up)
    code = _run(given)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        output.abandon()  # whoever read us has gone; Python would complain once more while exiting
    except MemoryPipelinesError as error:
        output.failure(error.code, error.message)
        code = code or errors.exit_code(error)
    if code in (128 + signal.SIGTERM, 128 + signal.SIGHUP):
        os._exit(code)  # a thread that still waits for a server would hold up an ordinary exit
    sys.exit(code)


def _terminated(*_: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)  # so that what is open is closed, and what is half-written removed


def _hung_up(*_: object) -> NoReturn:
    output.abandon()  # the terminal has gone; everything else ends as it does on SIGTERM
    raise SystemExit(128 + signal.SIGHUP)


def _run(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        result = command.main(arguments, prog_name="memory-pipelines", standalone_mode=not output.wants_document())
    except SystemExit as error:
        return _left(error.code)
    except MemoryPipelinesError as error:
        _trace()
        output.failure(
            error.code,
            errors.spoken(error.message, _options(command)) + errors.following(error.code),
            retryable=error.retryable,
            detail=error.detail,
        )
        return errors.exit_code(error)
    except typer.Abort:
        output.failure("aborted", "Nothing was done.")
        return errors.FAILED
    except KeyboardInterrupt:
        return _left(errors.INTERRUPTED)
    except BrokenPipeError:
        return errors.FAILED
    except Exception as error:  # noqa: BLE001  # the last line of defence: a person sees a sentence, not a traceback
        _trace()
        return _unexpected(error)
    return _left(result) if isinstance(result, int) else errors.OK  # without standalone mode, the code of an exit is returned


def _options(command: Any, found: dict[str, str] | None = None) -> dict[str, str]:
    """Arguments of all commands that are options, each with its long form."""
    found = {} if found is None else found
    for parameter in command.params:
        if longest := max((option for option in parameter.opts if option.startswith("--")), key=len, default=None):
            found.setdefault(parameter.name, longest)
    for inner in getattr(command, "commands", {}).values():
        _options(inner, found)
    return found


def _trace() -> None:
    if _debug:
        traceback.print_exc()


def _left(code: object) -> int:
    if code == errors.INTERRUPTED:
        said = "What was acknowledged is in the record; the same command can be repeated."
        if output.wants_document():
            output.failure("interrupted", said, retryable=True)
        else:
            output.note(f"Interrupted. {said}")
    return code if isinstance(code, int) else errors.OK if code is None else errors.FAILED


def _unexpected(error: Exception) -> int:
    usage = getattr(error, "exit_code", None)  # Typer's own errors, which reach us only with --json
    if isinstance(usage, int) and hasattr(error, "format_message"):
        output.failure("usage", error.format_message())
        return usage
    name = type(error).__name__
    output.failure(
        "unexpected", f"{name}: {str(error).strip()[:500]}. This should not happen: run memory-pipelines --debug … to see where."
    )
    return errors.FAILED
