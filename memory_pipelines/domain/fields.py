"""Rules of single fields: each takes one raw value and returns it normalised, or raises `InvalidInput`.

Lives here: text, key, namespace, times, ids, limits, metadata. To add a rule, add a function with a stable code and a
test. Must stay out: I/O, rules that look at several fields (those are `validation.py`), and the offending text itself:
a message names the field, what is wrong and what to do, never what the caller wrote there.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any, NoReturn
from uuid import UUID

from memory_pipelines.domain.errors import InvalidInput

KEY_CHARS = 512
NAMESPACE_CHARS = 256
LABEL_CHARS = 512
QUERY_CHARS = 10_000
METADATA_BYTES = 64 * 1024
METADATA_DEPTH = 64

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


def refuse(code: str, message: str, field: str, **facts: Any) -> NoReturn:
    """Raise `InvalidInput` with the field's name in its detail."""
    raise InvalidInput(code, message, {"field": field, **facts}) from None


def storable(value: str, field: str) -> str:
    """`value`, if every store can hold it: no NUL and no lone surrogate.

    Raises:
        InvalidInput: `text_invalid`
    """
    if "\0" in value:
        refuse("text_invalid", f"`{field}` holds a NUL character, which no store can keep: remove it.", field)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        refuse(
            "text_invalid", f"`{field}` is not valid Unicode: a lone surrogate at position {error.start}. Decode it properly first.", field
        )
    return str(value)


def text(value: Any, limit: int) -> str:
    """A memory's text, unchanged: 1 to `limit` characters, at least one of them visible.

    Raises:
        InvalidInput: `text_missing`, `text_empty`, `text_too_long`, `text_invalid`
    """
    if value is None:
        refuse("text_missing", "`text` is missing: a memory needs something to remember.", "text")
    if not isinstance(value, str):
        refuse("text_invalid", f"`text` must be a string, not {_kind(value)}.", "text")
    if len(value) > limit:
        refuse(
            "text_too_long",
            f"`text` has {len(value):,} characters; the limit is {limit:,} (MEMORY_TEXT_LIMIT). Split it into several memories.",
            "text",
            limit=limit,
            length=len(value),
        )
    storable(value, "text")
    if not _visible(value):
        refuse("text_empty", "`text` is empty or only whitespace: a memory needs something to remember.", "text")
    return str(value)


def query(value: Any) -> str:
    """What a search asks: some words or a question.

    Raises:
        InvalidInput: `query_empty`, `query_too_long`, `text_invalid`
    """
    if value is not None and not isinstance(value, str):
        refuse("text_invalid", f"`query` must be a string, not {_kind(value)}.", "query")
    if value is None or not _visible(value):
        refuse("query_empty", "`query` is empty: ask a question or give some words.", "query")
    if len(value) > QUERY_CHARS:
        refuse("query_too_long", f"`query` has {len(value):,} characters; the limit is {QUERY_CHARS:,}.", "query", limit=QUERY_CHARS)
    return storable(value, "query")


def label(value: Any, field: str, code: str, limit: int = LABEL_CHARS) -> str | None:
    """A short optional string such as `key`, `thread` or `source`.

    Raises:
        InvalidInput: `code`, `text_invalid`
    """
    if value is None:
        return None
    if not isinstance(value, str):
        refuse(code, f"`{field}` must be a string, not {_kind(value)}.", field)
    if not _visible(value):
        refuse(code, f"`{field}` is empty: leave it out, or give it a value.", field)
    if len(value) > limit:
        refuse(code, f"`{field}` has {len(value):,} characters; the limit is {limit}.", field, limit=limit, length=len(value))
    return storable(value, field)


def key(value: Any) -> str | None:
    """The caller's own name for a memory, or None.

    Raises:
        InvalidInput: `key_invalid`, `text_invalid`
    """
    return label(value, "key", "key_invalid", KEY_CHARS)


def thread(value: Any) -> str | None:
    """The conversation a memory belongs to, or None.

    Raises:
        InvalidInput: `thread_invalid`, `text_invalid`
    """
    return label(value, "thread", "thread_invalid")


def namespace(value: Any) -> str:
    """A namespace's name.

    Raises:
        InvalidInput: `namespace_invalid`, `text_invalid`
    """
    name = label(value, "namespace", "namespace_invalid", NAMESPACE_CHARS)
    if name is None:
        refuse("namespace_invalid", "`namespace` is missing: leave it out for `default`, or name one.", "namespace")
    if any(unicodedata.category(character) == "Cc" for character in name):
        refuse("namespace_invalid", "`namespace` holds a control character such as a line break: remove it.", "namespace")
    return name


def identifier(value: Any) -> str:
    """A memory's id as a lower-case UUID.

    Raises:
        InvalidInput: `id_invalid`
    """
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str) or _UUID.fullmatch(value) is None:
        refuse("id_invalid", "`id` must be a UUID such as 0198c7a2-5d3e-7c41-9f6b-2f1d7f0a9c55; use `key` for a name of your own.", "id")
    return value.lower()


def limit(value: Any, most: int = 1000) -> int:
    """How many rows are wanted, 1 to `most`.

    Raises:
        InvalidInput: `limit_invalid`
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        refuse("limit_invalid", f"`limit` must be a whole number from 1 to {most:,}; page through more with `cursor`.", "limit", limit=most)
    return int(value)


def moment(value: Any, field: str) -> datetime | None:
    """A point in time in UTC, or None: an aware `datetime`, an ISO 8601 string, or a plain date (midnight UTC).

    Raises:
        InvalidInput: `timestamp_invalid`
    """
    if value is None:
        return None
    try:
        if isinstance(value, str):
            given = value.strip()
            value = date.fromisoformat(given) if _DAY.fullmatch(given) else datetime.fromisoformat(given)
        if isinstance(value, datetime):
            if value.utcoffset() is None:
                refuse(
                    "timestamp_invalid",
                    f"`{field}` has no time zone: add one, for example 2026-05-01T09:30:00+02:00, or end it with Z for UTC.",
                    field,
                )
            return value.astimezone(UTC)
        if isinstance(value, date):
            return datetime.combine(value, time(), UTC)
    except (ValueError, OverflowError):
        pass  # not a time, or outside the years 1 to 9999: said below
    return refuse(
        "timestamp_invalid",
        f"`{field}` must be a time with a zone as ISO 8601 (2026-05-01T09:30:00Z) or a date (2026-05-01), in the years 1 to 9999.",
        field,
    )


def metadata(value: Any) -> dict[str, Any]:
    """A JSON object of at most 64 KiB, as plain dicts, lists, strings, numbers, booleans and None.

    Raises:
        InvalidInput: `metadata_invalid`, `metadata_too_large`, `text_invalid`
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        refuse("metadata_invalid", f'`metadata` must be an object such as {{"topic": "work"}}, not {_kind(value)}.', "metadata")
    plain: dict[str, Any] = _plain(value, 0)
    try:
        size = len(json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode())
    except ValueError:  # an integer of thousands of digits
        refuse("metadata_invalid", "`metadata` holds a number that JSON cannot carry: store it as a string.", "metadata")
    if size > METADATA_BYTES:
        refuse(
            "metadata_too_large",
            f"`metadata` takes {size:,} bytes as JSON; the limit is {METADATA_BYTES:,}. Keep long content in `text`.",
            "metadata",
            limit=METADATA_BYTES,
            length=size,
        )
    return plain


def _plain(value: Any, depth: int) -> Any:
    if depth > METADATA_DEPTH:
        refuse("metadata_invalid", f"`metadata` is nested deeper than {METADATA_DEPTH} levels.", "metadata", limit=METADATA_DEPTH)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return storable(value, "metadata")
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            refuse("metadata_invalid", "`metadata` holds NaN or Infinity, which JSON does not know: use null or a string.", "metadata")
        return float(value)
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            refuse("metadata_invalid", "`metadata` has a key that is not a string: JSON objects have string keys only.", "metadata")
        return {storable(name, "metadata"): _plain(item, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    return refuse("metadata_invalid", f"`metadata` holds a {_kind(value)}, which is not JSON: make it a string or number.", "metadata")


def _visible(value: str) -> bool:
    return any(unicodedata.category(character) not in _INVISIBLE for character in value)


def _kind(value: Any) -> str:
    return {"NoneType": "null", "dict": "object", "list": "list", "bytes": "bytes"}.get(type(value).__name__, type(value).__name__)
