"""That a `dev` runs on a home: one at a time, and known to the others.

A lock that its process holds for as long as it lives says that it runs; a file beside it, who and where. Must stay out: what `dev` does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from memory_pipelines.domain.errors import Conflict
from memory_pipelines.embedded import unusable


@dataclass(frozen=True)
class Dev:
    """Who runs: process, the address of its UI, since when."""

    pid: int
    url: str
    since: str

    @property
    def words(self) -> str:
        """For people."""
        return f"`memory-pipelines dev` runs on this home already: process {self.pid}, since {self.since}, at {self.url}"


@contextmanager
def only(folder: Path, url: str) -> Iterator[None]:
    """Be the one `dev` of a home.

    Args:
        folder: the home's folder for Dagster, which is there.
        url: where the UI will be.

    Raises:
        Conflict: `dev_runs`, with who it is.
        ConfigurationError: `engine_folder`: the home is not ours to write.
    """
    lock = FileLock(folder / "dev.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise _conflict(folder, "Open that, or choose another MEMORY_HOME.") from None
    except OSError as error:
        raise unusable(folder.parent, error) from error
    note = folder / "dev.json"
    try:
        note.write_text(json.dumps(asdict(Dev(os.getpid(), url, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"))), "utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def who(folder: Path) -> Dev | None:
    """The `dev` that runs on this home, as far as it is known."""
    try:
        refuse_beside(folder)
    except Conflict as conflict:
        return Dev(**conflict.detail) if conflict.detail else None
    return None


def refuse_beside(folder: Path) -> None:
    """Go on only where no `dev` runs.

    Raises:
        Conflict: `dev_runs`
        ConfigurationError: `engine_folder`
    """
    if not (folder / "dev.lock").exists():
        return
    try:
        with FileLock(folder / "dev.lock", timeout=0):
            return
    except Timeout:
        raise _conflict(folder, "Stop that first, with Ctrl-C where it was started; it stops the engines that it started.") from None
    except OSError as error:
        raise unusable(folder.parent, error) from error


def _conflict(folder: Path, what: str) -> Conflict:
    try:
        found = Dev(**json.loads((folder / "dev.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError):  # it has only just begun, or is about to end
        return Conflict("dev_runs", f"Another `memory-pipelines dev` is starting or ending on this home. {what}")
    return Conflict("dev_runs", f"{found.words}. {what}", asdict(found))
