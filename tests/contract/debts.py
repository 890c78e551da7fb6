"""Short ways to save memories and to see what is owed for them, for the suites of the record. Must stay out: assertions."""

from __future__ import annotations

from typing import Any

from uuid_utils import uuid7

from memory_pipelines.domain.models import MemoryInput
from memory_pipelines.ports import RecordStore


def item(text: str = "A note.", **fields: Any) -> MemoryInput:
    return MemoryInput(id=str(uuid7()), text=text, passages=(text,), **fields)


def saved(record: RecordStore, *texts: str) -> list[str]:
    return [result.id for result in record.save([item(text) for text in texts])]


def everything(record: RecordStore, projection: str, limit: int = 1000) -> list[tuple[str, str, int]]:
    claim = record.claim(projection, refs=None, limit=limit, owed_for_seconds=0)
    return [(row.kind, row.id, row.number) for row in claim.rows]
