"""Up, down and status of all engines of a home: what the command line, the client and Dagster call.

Must stay out: how an engine is run (its own file) and how a process is kept (`process.py`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from filelock import FileLock, Timeout

from memory_pipelines.domain.errors import ConfigurationError, Unavailable
from memory_pipelines.embedded import process, sockets
from memory_pipelines.embedded.graph import Graph
from memory_pipelines.embedded.postgres import Postgres
from memory_pipelines.embedded.redis import Redis
from memory_pipelines.embedded.server import Answer, Engine, Server, unsupported

START_SECONDS = 30.0
_SILENT_SECONDS = 5.0
_LOCK_SECONDS = 120.0

_KINDS: dict[Engine, type[Server]] = {"postgres": Postgres, "redis": Redis, "graph": Graph}


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the engines of a home are, or will be: `postgresql://postgres@/memory?host=…` and `unix://…` (percent-encoded)."""

    database_url: str
    redis_url: str
    graph_url: str


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """One engine: `running` when it answers; `pid` while it exists, answering or not; its data folder and its address."""

    running: bool
    pid: int | None
    data: Path
    address: str


def addresses(home: Path) -> Addresses:
    """The addresses of `home`'s engines. Starts nothing."""
    found = {server.name: server.url for server in _servers(home, _KINDS)}
    return Addresses(found["postgres"], found["redis"], found["graph"])


def up(home: Path, engines: Collection[Engine] = get_args(Engine)) -> Addresses:
    """Start those of `engines` that do not run. They stay until `down`, whoever started them.

    Args:
        home: MEMORY_HOME; made if missing.
        engines: which are wanted; the others are left as they are.

    Returns:
        All addresses of the home. When everything runs this takes about a millisecond, without lock or subprocess.

    Raises:
        ConfigurationError: `engine_unsupported` (no wheel here), `engine_account`, `engine_folder`, `engine_denied`, `engine_version`.
        Unavailable: `engine_failed` with the end of its log; `engine_starting`, `engines_locked`: try again.
    """
    servers = _servers(home, engines)
    if wanted := [server for server in servers if server.answer() is not Answer.READY]:
        if impossible := [server for server in wanted if not server.supported]:
            raise unsupported(impossible)
        with _exclusive(home):
            _start([server for server in wanted if not _runs_already(server)])
    return addresses(home)


def down(home: Path) -> list[str]:
    """Stop all engines of `home` in order: Postgres with a checkpoint, the graph with a snapshot; what hangs is killed.

    Returns:
        The names of those that ran. Empty when there was nothing to stop.
    """
    if not (home.expanduser().resolve() / "run").is_dir():
        return []
    with _exclusive(home):
        stopping = [server for server in _servers(home, _KINDS) if process.ask_to_stop(server)]
        for server in stopping:
            process.wait_stopped(server, server.stop_seconds)
    return [server.name for server in stopping]


def status(home: Path) -> dict[str, EngineStatus]:
    """What runs, by engine name. Starts nothing and changes nothing."""
    found: dict[str, EngineStatus] = {}
    for server in _servers(home, _KINDS):
        leader = process.leader(server)
        found[server.name] = EngineStatus(server.answer() is Answer.READY, leader.pid if leader else None, server.data, server.url)
    return found


def _servers(home: Path, engines: Collection[Engine]) -> list[Server]:
    resolved = home.expanduser().resolve()
    sockets.refuse_foreign(resolved)
    return [kind(resolved) for name, kind in _KINDS.items() if name in engines]


@contextmanager
def _exclusive(home: Path) -> Iterator[None]:
    """One process at a time starts or stops the engines of a home."""
    home = home.expanduser().resolve()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (sockets.base(home), home / "run", home / "logs"):
            if folder != home:
                sockets.private_folder(folder)
        with FileLock(home / "engines.lock", timeout=_LOCK_SECONDS, mode=0o600):
            yield
    except Timeout:
        raise Unavailable("engines_locked", "Another process has been starting or stopping the engines for two minutes.") from None
    except OSError as error:
        raise unusable(home, error) from error


def unusable(home: Path, error: OSError) -> ConfigurationError:
    """What to say of a home in which nothing can be made: a file, another user's, on a full or read-only disk."""
    place = str(error.filename or home)
    why = "is no folder" if isinstance(error, (FileExistsError, NotADirectoryError)) else f"cannot be used: {error.strerror or error}"
    return ConfigurationError(
        "engine_folder", f"MEMORY_HOME is {home}, but {place} {why}. Make room for it there, or name another folder in MEMORY_HOME."
    )


def unfit(home: Path) -> str | None:
    """What stands in the way of making something in `home`, or None. Nothing is made to find out."""
    nearest = next(folder for folder in (home, *home.parents) if os.path.lexists(folder))
    if not nearest.is_dir():
        return "is no folder" if nearest == home else f"is below {nearest}, which is no folder"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return "is not ours to write" if nearest == home else f"is below {nearest}, which is not ours to write"
    return None


def _runs_already(server: Server) -> bool:
    """Whether the server runs, after waiting for one that is still starting and clearing away one that is broken."""
    begun = time.monotonic()
    while process.alive(server):
        answer, waited = server.answer(), time.monotonic() - begun
        if answer is Answer.READY:
            return True
        orphaned = waited > 1.0 and process.leader(server) is None  # the server was killed, a child of it lingers
        if orphaned or (answer is Answer.ABSENT and waited > _SILENT_SECONDS):
            process.ask_to_stop(server)
            process.wait_stopped(server, 2.0 if orphaned else server.stop_seconds)
            return False
        if waited > START_SECONDS:
            raise _still_starting(server)
        time.sleep(0.01)
    process.end_strays(server)
    return False


def _start(servers: list[Server]) -> None:
    """Start all, then wait for all: Redis and the graph load while Postgres makes its data."""
    for server in reversed(servers):
        process.spawn(server, server.prepare())
    for server in servers:
        deadline = time.monotonic() + START_SECONDS
        while server.answer() is not Answer.READY:
            if not process.alive(server):
                raise Unavailable("engine_failed", f"{server.name} did not start. {process.last_words(server)}", process.facts(server))
            if time.monotonic() > deadline:
                raise _still_starting(server)
            time.sleep(0.01)
        server.confirm()


def _still_starting(server: Server) -> Unavailable:
    return Unavailable(
        "engine_starting",
        f"{server.name} runs but does not answer after {START_SECONDS:.0f} s; it may be recovering, so it was left alone. "
        f"Try again. {process.last_words(server)}",
        process.facts(server),
    )
