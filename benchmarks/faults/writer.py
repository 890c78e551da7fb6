"""A writer: does its part of a history, and writes every call and its answer to a file of its own, each synced before it goes on.

To add a deed: its call in `_answered`. Must stay out: what a deed means (`history.py`), and faults.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults.history import Deed
from memory_pipelines import MemoryClient
from memory_pipelines.domain.errors import MemoryPipelinesError

_WAIT_SECONDS = 1.0
_SAVED = ("id", "key", "namespace", "text", "metadata", "entities", "relations")


class Log:
    """An append-only file of JSON lines, synced line by line: a line that was written is there, whatever happens to its writer."""

    def __init__(self, path: Path) -> None:
        torn = path.exists() and not path.read_bytes().endswith(b"\n")
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if torn:
            os.write(self._file, b"\n")

    def note(self, **fields: Any) -> None:
        """Write one line and sync it."""
        os.write(self._file, json.dumps(fields).encode() + b"\n")
        os.fdatasync(self._file)


def write(client: MemoryClient, deeds: Sequence[Deed], log: Log, progress: Callable[[int], None]) -> None:
    """Do all deeds in order; `progress` is told how many are done."""
    for n, deed in enumerate(deeds, 1):
        log.note(call=deed)
        try:
            answer: dict[str, Any] = _answered(client, deed)
        except MemoryPipelinesError as error:
            answer = {"error": error.code, "message": error.message}
        log.note(answer=answer, n=deed["n"])
        progress(n)


def _answered(client: MemoryClient, deed: Deed) -> dict[str, Any]:
    waiting: dict[str, Any] = {"wait": deed["wait"], "timeout": _WAIT_SECONDS}
    if deed["do"] == "save":
        saved = client.save(**{name: deed[name] for name in _SAVED}, revive=deed["revive"], **waiting)
        return {"results": [[saved.id, saved.outcome, saved.version]]}
    if deed["do"] == "many":
        items = [{name: item[name] for name in _SAVED} for item in deed["items"]]
        results = client.save_many(items, revive=deed["revive"], **waiting)
        return {"results": [[saved.id, saved.outcome, saved.version] for saved in results]}
    if deed["do"] == "update":
        saved = client.update(deed["id"], **deed["changes"], **waiting)
        return {"results": [[saved.id, saved.outcome, saved.version]]}
    if deed["do"] == "forget":
        by_key = {"key": deed["key"], "namespace": deed["namespace"]}
        gone = client.forget(**by_key, **waiting) if deed["key"] is not None else client.forget(deed["id"], **waiting)
        return {"results": [[deed["id"], str(gone.forgotten), None]]}
    if deed["do"] == "merge":
        return {"merged": client.merge_entities(deed["source"], deed["target"], namespace=deed["namespace"]).outcome}
    if deed["do"] == "unmerge":
        return {"merged": client.unmerge_entity(deed["source"], namespace=deed["namespace"]).outcome}
    raise AssertionError(f"no such deed: {deed['do']}")
