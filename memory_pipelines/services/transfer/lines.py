"""What a line of an import means: which column is which field, what goes to metadata, what is to be forgotten.

Lives here: raw fields -> the arguments of `save`. To add a field, see `domain/validation.py`; it is picked up from there.
Must stay out: files (`reading.py`), batches and stores (`transfer.py`), rules of fields (`domain/fields.py`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.models import as_json
from memory_pipelines.domain.validation import FIELDS
from memory_pipelines.services.transfer.reading import jsonable

TARGETS = (*FIELDS, "forget")
NESTED = ("metadata", "entities", "relations")
LABELS = ("key", "thread", "source", "namespace")

# A line with neither id nor key gets its id from its content, so that importing the file again finds it.
_LINE_IDS = uuid.UUID("6a3f1f2e-52f4-5d0c-9f0e-7d1f5a0c4b11")


def columns_of(mapping: Mapping[str, str]) -> dict[str, str]:
    """Which column each field is read from. A mapped column is used for that only: with `key=id`, `id` is not the memory's id.

    Args:
        mapping: field -> column.

    Raises:
        InvalidInput: `mapping_unknown` for a field that does not exist.
    """
    for field in mapping:
        if field not in TARGETS:
            raise InvalidInput(
                "mapping_unknown",
                f"Cannot map to {field!r}: it is no field. Fields are {', '.join(TARGETS)}; write field=column.",
                {"allowed": list(TARGETS)},
            )
    used = set(mapping.values())
    return {field: mapping.get(field, field) for field in TARGETS if field in mapping or field not in used}


def arrange(raw: Mapping[str, Any], columns: Mapping[str, str], namespace: str | None, *, tabular: bool) -> tuple[dict[str, Any], bool]:
    """The arguments of `save` in one line, and whether the line asks to forget instead.

    Args:
        raw: the line as it was read.
        columns: field -> column, see `columns_of`.
        namespace: where every line goes, whatever the line says itself.
        tabular: cells are strings: nested values are JSON in them, `forget` is a word.

    Raises:
        InvalidInput: `metadata_invalid`, `entity_invalid`, `relation_invalid`, `forget_invalid`
    """
    item = {field: raw[column] for field, column in columns.items() if raw.get(column) is not None}
    taken = set(columns.values())
    rest = {name: value for name, value in raw.items() if name not in taken}
    if tabular:  # where each row has every column, None says that it has not
        rest = {name: jsonable(value) for name, value in rest.items() if value is not None}

    for field in LABELS:
        item[field] = _label(item.get(field))
    for field in NESTED:
        if tabular and isinstance(item.get(field), str):
            item[field] = _nested(item[field], field)
    item["metadata"] = _merged(item.get("metadata"), rest)
    if namespace is not None and item["namespace"] not in (None, namespace):
        item["id"] = copied_id(item.get("id"), namespace)  # a memory never moves: this is a copy
    item["namespace"] = namespace or item["namespace"]
    return item, _forgets(item.pop("forget", None), tabular)


def identity(raw: Mapping[str, Any], columns: Mapping[str, str], namespace: str | None) -> str | None:
    """What two lines about the same memory have in common: its id, or its namespace and key; None if it has neither."""
    own_id, own_key, own_space = (raw.get(columns.get(field, "")) for field in ("id", "key", "namespace"))
    if own_id is not None:
        return f"id {str(own_id).lower()}"
    if own_key is not None:
        return f"key {namespace or _label(own_space) or 'default'}\0{_label(own_key)}"
    return None


def copied_id(given: Any, namespace: str) -> Any:
    """The id of a copy in another namespace: made from both, so that copying twice changes nothing. What is no UUID stays, for
    validation to refuse."""
    try:
        return given if given is None else str(uuid.uuid5(uuid.UUID(str(given)), namespace))
    except ValueError:
        return given


def with_id(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """`item`, with an id made from its content when it has neither id nor key."""
    if item.get("id") is not None or item.get("key") is not None:
        return item
    try:
        content = json.dumps(as_json({**item, "namespace": item.get("namespace") or "default"}), sort_keys=True, default=_text)
        return {**item, "id": uuid.uuid5(_LINE_IDS, content)}
    except (ValueError, TypeError, RecursionError):
        return item  # not storable either: validation says why


def _text(value: Any) -> str:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    raise TypeError


def _label(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():  # an integer column with gaps, as pandas holds it
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _nested(cell: str, field: str) -> Any:
    code = {"metadata": "metadata_invalid", "entities": "entity_invalid", "relations": "relation_invalid"}[field]
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        raise InvalidInput(code, f"`{field}` must be JSON in this format.", {"field": field}) from None


def _merged(given: Any, rest: Mapping[str, Any]) -> Any:
    if given is not None and not isinstance(given, Mapping):
        return given  # validation says what is wrong with it
    if given and (both := set(given) & set(rest)):
        shown = ", ".join(sorted(str(name) for name in both)[:3])
        raise InvalidInput("metadata_invalid", f"Given twice, as a field and inside `metadata`: {shown}.", {"field": "metadata"})
    return {**(given or {}), **rest}


def _forgets(value: Any, tabular: bool) -> bool:
    if tabular and isinstance(value, str):
        value = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(value.strip().lower(), value)
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(
            "forget_invalid", "`forget` must be true or false; map it elsewhere if it means something else.", {"field": "forget"}
        )
    return bool(value)
