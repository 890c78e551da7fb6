"""`memory-pipelines` as a user runs it: a process of its own, with a user's environment.

Lives here: running a command and what came of it. Must stay out: looking into the engines, which a user does not do either.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "memory_pipelines.entrypoints.cli")


@dataclass(frozen=True)
class Ran:
    """One command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be exactly one document."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error document."""
        assert set(self.json) == {"error"}
        assert set(self.json["error"]) == {"code", "message", "retryable", "detail"}
        return self.json["error"]


Cli = Callable[..., Ran]


def environment(home: Path, **settings: str) -> dict[str, str]:
    """A user's environment: none of our variables but the home and `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEMORY_", "DAGSTER_", "OPENAI_", "COV"))}
    path = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    return {**kept, "PYTHONPATH": path, "MEMORY_HOME": str(home), **settings}


class Warm:
    """Runs commands without paying for Python's start each time: see `warm.py`."""

    def __init__(self) -> None:
        env = environment(ROOT / "nowhere")
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("warm.py")], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, arguments: Sequence[str], *, stdin: bytes, env: dict[str, str], folder: Path) -> Ran:
        """Run one command to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"arguments": list(arguments), "stdin": stdin.decode("latin-1"), "env": env, "folder": str(folder)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ran(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)


def runner(warm: Warm, home: Path, folder: Path) -> Cli:
    """A function that runs `memory-pipelines` with the given arguments in `folder`."""

    def run(*arguments: str | Path, stdin: str | bytes = b"", **settings: str) -> Ran:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        return warm.run([*map(str, arguments)], stdin=given, env=environment(home, **settings), folder=folder)

    return run


def space() -> str:
    """A namespace of one test."""
    return f"test-{uuid.uuid4().hex[:8]}"
