"""What goes wrong in these tests: processes and engines that are killed, and a Redis that never answers.

Every fault is real. Must stay out: fixtures (`conftest.py`), and anything that only one test needs.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from pydantic import SecretStr

from memory_pipelines import Settings, embedded
from memory_pipelines.embedded import Engine
from tests import engines

ROOT = Path(__file__).parents[2]
BEGINNING = """
from memory_pipelines import MemoryClient
from memory_pipelines.services.sync import sync
client = MemoryClient.from_env()
"""


def killed_at(settings: Settings, point: str, code: str) -> None:
    """Run Python in a process of its own, with `client` and `sync` at hand, that must die at a fail point."""
    ran = run(settings, f"{BEGINNING}\n{code}\n", MEMORY_FAILPOINT=point)
    assert ran.returncode == -signal.SIGKILL, f"it never came to {point}: {ran.stderr}"


def run(settings: Settings, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own with the same settings, and nothing else of our environment's."""
    command, variables = [sys.executable, "-c", script], environment(settings, **variables)
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False, cwd="/")


@contextmanager
def frozen_at(settings: Settings, point: str, code: str) -> Iterator[None]:
    """Python in a process of its own, as for `killed_at`, that stands still at a fail point for as long as the block, and then goes on."""
    variables = environment(settings, MEMORY_FAILPOINT=f"{point}:1:freeze")
    process = subprocess.Popen([sys.executable, "-c", f"{BEGINNING}\n{code}\n"], env=variables, stderr=subprocess.PIPE, text=True, cwd="/")
    try:
        engines.until(lambda: process.poll() is not None or _stands_still(process.pid), f"it comes to {point}", 30)
        assert process.poll() is None, f"it never came to {point}: {process.communicate()[1]}"
        yield
        process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    finally:
        process.kill()
        process.wait(10)


def _stands_still(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def environment(settings: Settings, **variables: str) -> dict[str, str]:
    """What a process sees that shall have the same settings, and nothing else of our environment's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEMORY_", "OPENAI_", "SUPABASE_"))}
    changed = settings.model_dump(exclude_unset=True, exclude_none=True)
    bare = {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in changed.items()}
    plain = {f"MEMORY_{name.upper()}": str(value) for name, value in bare.items()}
    return {**kept, "PYTHONPATH": str(ROOT), **plain, **variables}


def kill(settings: Settings, engine: Engine) -> None:
    """`kill -9` one engine, and wait until it is gone."""
    pid = _pid(settings, engine)
    os.kill(pid, signal.SIGKILL)
    engines.until(lambda: embedded.status(settings.home_path)[engine].pid != pid, f"{engine} is gone")


def start(settings: Settings, *wanted: Engine) -> None:
    """Start what does not run, as the next process that needs it would."""
    embedded.up(settings.home_path, wanted or ("postgres", "redis", "graph"))


@contextmanager
def frozen(settings: Settings, engine: Engine) -> Iterator[None]:
    """An engine that accepts connections and never answers."""
    pid = _pid(settings, engine)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def black_hole(folder: Path) -> Iterator[str]:
    """The address of a server that takes whatever is said and says nothing."""
    path = folder / "silent.sock"
    held: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(100)

        def swallow() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=swallow, daemon=True)
        thread.start()
        yield f"unix://{path}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    for connection in held:
        connection.close()
    path.unlink()


def _pid(settings: Settings, engine: Engine) -> int:
    pid = embedded.status(settings.home_path)[engine].pid
    assert pid is not None, f"{engine} does not run"
    return pid
