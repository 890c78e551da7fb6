"""Runs commands, each in a fork of this process, which has loaded the modules already: a second saved on each of them.

What it runs is the same `main` with the same streams, environment and exit as a process of its own. One request a line on
standard input: `{"arguments", "stdin", "env", "folder"}`, bytes as Latin-1; one answer a line: `{"code", "out", "err"}`.
Must stay out: threads, which a fork does not survive.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, NoReturn

import memory_pipelines.client
import memory_pipelines.embedded
import memory_pipelines.services.transfer.transfer
import memory_pipelines.stores.graph.falkor_transport
import memory_pipelines.stores.postgres.psycopg_transport
import memory_pipelines.stores.redis.streams  # noqa: F401  # loaded before the forks
from memory_pipelines.entrypoints.cli import main


def run(request: dict[str, Any], folder: Path) -> dict[str, object]:
    """One command in a fork: what it printed and how it exited."""
    given, out, err = folder / "in", folder / "out", folder / "err"
    given.write_bytes(request["stdin"].encode("latin-1"))
    child = os.fork()
    if child == 0:
        become(request, given, out, err)
    _, status = os.waitpid(child, 0)
    return {"code": os.waitstatus_to_exitcode(status), "out": out.read_text("utf-8"), "err": err.read_text("utf-8")}


def become(request: dict[str, Any], given: Path, out: Path, err: Path) -> NoReturn:
    """Be that command, from here to the exit."""
    code = 70
    try:
        os.dup2(os.open(given, os.O_RDONLY), 0)
        for number, target in ((1, out), (2, err)):
            os.dup2(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # the other one has read ahead
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["folder"])
        main(request["arguments"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001  # a fork must never return into the loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        for line in sys.stdin:
            print(json.dumps(run(json.loads(line), Path(name))), flush=True)
