"""A process that has imported everything and forks a run worker in milliseconds. `launcher.py` starts it.

A run worker of its own spends most of its start importing (3 to 5 seconds of processor time each, and a save wakes three projections at
once). This one pays that once. It holds no connection, no thread and no model when it forks, so that a child begins clean.

It reads one request a line from its standard input and answers each with the worker's process id, or with `stale` when source files have
changed since it started; it then ends, and the launcher starts another. It also ends when its input does. Workers outlive it.
"""

import gc
import importlib
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import dagster as dg
import psutil

MODULE = "memory_pipelines.definitions"
PRELOADED = (
    MODULE,
    "memory_pipelines.embedded",
    "memory_pipelines.models",
    "memory_pipelines.stores.graph.bolt_transport",
    "memory_pipelines.stores.graph.falkor_transport",
    "memory_pipelines.stores.graph.store",
    "memory_pipelines.stores.postgres.migrate",
    "memory_pipelines.stores.postgres.psycopg_transport",
    "memory_pipelines.stores.postgres.rpc_transport",
    "memory_pipelines.stores.postgres.store",
    "memory_pipelines.stores.redis.streams",
    "dagster._cli.api",
    "wordllama",
)
OURS = ("memory_pipelines",)
STALE = "stale"
WORKER_TAG = ".dagster/memory_worker"  # hidden in the UI by its first part


def identity(pid: int) -> str:
    """A process by id and start time, so that a later one with the same id is not taken for it."""
    return f"{pid}@{psutil.Process(pid).create_time()}"


def newest_source() -> float:
    """When a loaded source file of ours was changed last, in seconds since 1970."""
    loaded = [getattr(module, "__file__", None) for name, module in list(sys.modules.items()) if name.split(".")[0] in OURS]
    return max((Path(file).stat().st_mtime for file in loaded if file and Path(file).exists()), default=0.0)


def rehearse() -> None:
    """Import the rest, which Dagster imports only when something runs, by running something in a folder of its own."""

    @dg.asset
    def rehearsal() -> None:
        """Nothing."""

    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
        dg.materialize([rehearsal], instance=instance, run_config=quiet)


def serve() -> None:
    """Answer requests until the input ends.

    Raises:
        RuntimeError: a thread is running; a child would inherit its locks without it.
    """
    for name in PRELOADED:
        importlib.import_module(name)
    rehearse()
    if threading.active_count() > 1:
        raise RuntimeError(f"Cannot fork beside {[thread.name for thread in threading.enumerate()]}.")
    started = newest_source()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the workers; this process ends with its launcher
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    gc.freeze()
    with os.fdopen(os.dup(0), "rb", buffering=0) as requests, os.fdopen(os.dup(1), "w") as answers:
        while request := requests.readline():
            if newest_source() != started:
                print(STALE, file=answers, flush=True)
                return
            worker = os.fork()
            if worker == 0:
                _work(request.decode())
            print(worker, file=answers, flush=True)


def _work(request: str) -> NoReturn:
    """Execute one run, as `dagster api execute_run` would, and end: a child must not go on serving."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)  # the answers' pipe is not for a worker's output
        from dagster._cli.api import execute_run_command

        execute_run_command.main([request], standalone_mode=False)
        code = 0
    except BaseException:  # noqa: BLE001  # shown, and the process ends
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
