"""The server processes: started, found and ended. Who is alive is asked of the kernel, not of a number in a file.

A server is started with its pid file open and locked (`flock`), and it keeps both until it ends, however it ends. So:

- a lock that is held means that the server, or a child of it that still writes, is alive;
- a lock that is free means that all of them are gone, whatever number the file holds and whoever has that number now;
- a starter that is killed at any moment leaves nothing that cannot be found.

Only processes that hold the pid file are ever signalled. Must stay out: which engine it is.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.embedded.account import Account
from memory_pipelines.embedded.server import Command, Server

# The shell leaves at once, so the server is init's child, not ours: nothing to reap, and no end of ours ends it. The shell's
# output is the pid file, which thus names the server even if we are killed right here.
_LAUNCH = 'exec "$@" >&2 & echo $!'
_open_here: set[int] = set()
_KEPT_LOG_BYTES = 5_000_000
_STRAY_SECONDS = 10.0
_KILL_SECONDS = 5.0
_PROGRAMS = {"postgres", "redis-server"}
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def environment() -> dict[str, str]:
    """What a server sees of our environment: no API keys, and no PG… or LC_… variables that change what it does."""
    return {"LC_ALL": "C"} | {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def spawn(server: Server, command: Command) -> None:
    """Start a server that outlives us: own session (so that Ctrl-C is ours alone), no terminal, output to its log."""
    with _locked(server.pid_file) as pid_file, open_log(server.log) as log:
        subprocess.run(
            ["/bin/sh", "-c", _LAUNCH, "sh", *command.argv],
            stdin=subprocess.DEVNULL,
            stdout=pid_file,
            stderr=log,
            cwd="/",
            env=environment(),
            umask=0o077,
            start_new_session=True,
            pass_fds=(pid_file,),
            check=True,
            **run_as(command.account),
        )


def alive(server: Server) -> bool:
    """Whether the server, or a child that it left behind, still exists."""
    import fcntl  # not on Windows

    try:
        with _opened(server.pid_file, os.O_RDONLY) as pid_file:
            fcntl.flock(pid_file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def leader(server: Server) -> psutil.Process | None:
    """The server's own process: the one that is named in the pid file and really holds it."""
    with suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int(server.pid_file.read_text()))
        if _holds(process, server.pid_file):
            return process
    return None


def ask_to_stop(server: Server) -> bool:
    """Signal the server to end in order. Returns whether there was anything to end."""
    if not alive(server):
        return False
    holders = [process] if (process := leader(server)) else _holders(server.pid_file)
    for process in holders:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(server.stop_signal)
    return True


def wait_stopped(server: Server, seconds: float) -> None:
    """Wait until all of a server is gone; after `seconds`, kill it.

    Raises:
        Unavailable: `engine_failed`: not even that ended it.
    """
    asked = time.monotonic()
    while alive(server):
        waited = time.monotonic() - asked
        if waited > seconds + _KILL_SECONDS:
            raise Unavailable("engine_failed", f"{server.name} was killed and still does not end. {last_words(server)}", facts(server))
        if waited > seconds:
            _kill(_holders(server.pid_file))
        time.sleep(0.01)


def end_strays(server: Server) -> None:
    """End servers that were started for this home and no longer hold its pid file, because somebody deleted it.

    In order where their data is still there, at once where it is gone too: then they only hold memory.
    """
    strays: list[psutil.Process] = []
    for process in psutil.process_iter(["name", "cmdline"]):
        line = " ".join(process.info["cmdline"] or ()).strip()
        if process.info["name"] in _PROGRAMS and f" {server.mark} " in f" {line} ":
            with suppress(psutil.Error):
                strays += [process, *process.children(recursive=True)]
                process.send_signal(server.stop_signal)
    asked, patience = time.monotonic(), _STRAY_SECONDS if server.data.exists() else 0
    while (strays := [process for process in strays if _exists(process)]) and time.monotonic() - asked < patience + _KILL_SECONDS:
        if time.monotonic() - asked > patience:
            _kill(strays)
        time.sleep(0.01)


def last_words(server: Server, lines: int = 12) -> str:
    """The end of a server's log, introduced by where it is, relative to the home."""
    text = ""
    with suppress(FileNotFoundError), server.log.open("rb") as log:
        log.seek(max(0, server.log.stat().st_size - 8192))
        text = "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
    return f"The end of logs/{server.log.name}:\n{text}"


def facts(server: Server) -> dict[str, str]:
    """The detail of an error about a server."""
    return {"engine": server.name, "log": f"logs/{server.log.name}"}


def run_as(account: Account | None) -> dict[str, Any]:
    """The arguments that make `subprocess` run something as `account`, and as nothing else of ours."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The pid file, emptied, open and locked. The lock ends with the last process that has it open, not with us."""
    import fcntl  # not on Windows

    with _opened(path, os.O_RDWR | os.O_CREAT) as pid_file:
        for attempt in range(200):
            try:
                fcntl.flock(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # somebody who only looks (`alive`) holds it for some microseconds
                if attempt == 199:
                    raise
                time.sleep(0.01)
        os.ftruncate(pid_file, 0)
        yield pid_file


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """A pid file, which no fork of ours may keep: the lock would look held for as long as that fork lives."""
    pid_file = os.open(path, flags, 0o600)
    _open_here.add(pid_file)
    try:
        yield pid_file
    finally:
        _open_here.discard(pid_file)
        os.close(pid_file)


@contextmanager
def open_log(path: Path) -> Iterator[int]:
    """A log to append to, for its owner only; one that has grown large is set aside first."""
    with suppress(FileNotFoundError):
        if path.stat().st_size > _KEPT_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield log
    finally:
        os.close(log)


def _forget_in_fork() -> None:
    for pid_file in _open_here:
        with suppress(OSError):
            os.close(pid_file)
    _open_here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_fork)


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


def _exists(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _holders(path: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["name"]) if process.info["name"] in _PROGRAMS and _holds(process, path)]


def _holds(process: psutil.Process, path: Path) -> bool:
    try:
        return any(opened.path == os.fspath(path) for opened in process.open_files())
    except psutil.Error:
        return False
