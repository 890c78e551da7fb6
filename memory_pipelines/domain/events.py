"""Events of the stream: what an entry holds, written and read in one place, and checked on the way in.

An entry of version 1 is `{"v": "1", "refs": "[[kind, id], …]"}`: which subjects changed, never what they are. A new field is a new
version: a model here, and a branch in `read`. Must stay out: the stream itself, and what is done with an entry that cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, Json, StrictStr, ValidationError

from memory_pipelines.domain.models import Ref

VERSION = "1"
PAYLOAD_CHARS = 4000  # of an entry that cannot be read, so much is kept


class EventV1(BaseModel):
    """Version 1: the subjects, each a pair of kind and id. Unknown fields are refused: they would be somebody's meaning."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    v: Literal["1"]
    refs: Annotated[Json[list[tuple[StrictStr, StrictStr]]], Field()]


def write(refs: Sequence[Ref]) -> dict[str, str]:
    """The fields of an entry that names some subjects."""
    return {"v": VERSION, "refs": json.dumps([[ref.kind, ref.id] for ref in refs], separators=(",", ":"))}


def read(fields: Mapping[str, str]) -> tuple[tuple[Ref, ...], str | None]:
    """The subjects that an entry names, and what is wrong with it; one of the two is empty.

    Args:
        fields: as they came, whoever wrote them.
    """
    version = fields.get("v")
    if version != VERSION:
        return (), "it has no version" if version is None else f"its version is unknown: {version[:20]!r}"
    try:
        event = EventV1.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return (), f"it is malformed at {where[:100]}: {first['msg'][:200]}"
    return tuple(Ref(kind, subject) for kind, subject in event.refs), None


def payload(fields: Mapping[str, str]) -> str:
    """What an entry held, as JSON, cut to `PAYLOAD_CHARS`; a zero character, which no database takes, is shown as its escape."""
    text = json.dumps({str(name): str(value)[:PAYLOAD_CHARS] for name, value in list(fields.items())[:50]}, ensure_ascii=True)
    return text if len(text) <= PAYLOAD_CHARS else f"{text[:PAYLOAD_CHARS]}…"


def read_payload(text: str) -> tuple[tuple[Ref, ...], str | None]:
    """The same as `read`, of what `payload` kept."""
    try:
        fields = json.loads(text)
    except ValueError:
        return (), "only a part of it was kept"
    return read(fields) if isinstance(fields, dict) else ((), "it is no entry")
