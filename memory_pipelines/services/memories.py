"""Save, update, forget and read memories. After every commit: one event; if that fails, the ledger owes all the same."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from memory_pipelines.domain import cursors, validation
from memory_pipelines.domain.errors import Conflict, Gone, InvalidInput, MemoryPipelinesError
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import HistoryEntry, Memory, MemoryInput, MemoryPage, Namespace, SaveResult, Wait, as_json
from memory_pipelines.services import events
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.sync import waiting

BATCH = 500
NAMESPACES = 100  # a page of their counts
_WRITTEN = {"created", "updated", "revived"}


def save(platform: Platform, item: Mapping[str, Any], *, revive: bool, wait: Wait, timeout: float | None) -> SaveResult:
    """Save one memory; see `MemoryClient.save`."""
    (result,) = save_inputs(platform, [_input(platform, item)], revive=revive)
    if result.outcome == "forgotten":
        raise Gone("memory_forgotten", "This memory was forgotten; save with revive=True to bring it back on purpose.", {"id": result.id})
    waiting.bring(platform, [result], wait=wait, timeout=timeout)
    return result


def save_many(
    platform: Platform, items: Iterable[Mapping[str, Any]], *, revive: bool, wait: Wait, timeout: float | None
) -> list[SaveResult]:
    """Save in batches of 500, each whole or not at all; see `MemoryClient.save_many`."""
    results: list[SaveResult] = []
    source = iter(items)
    while batch := list(islice(source, BATCH)):
        inputs = []
        for position, item in enumerate(batch):
            try:
                inputs.append(_input(platform, item))
            except InvalidInput as error:
                raise _named(error, len(results) + position, item) from None
        try:
            results.extend(save_inputs(platform, inputs, revive=revive))
        except MemoryPipelinesError as error:
            index = error.detail.get("index")
            raise (_named(error, len(results) + index, batch[index]) if isinstance(index, int) else error) from None
    waiting.bring(platform, results, wait=wait, timeout=timeout)
    return results


def _named(error: MemoryPipelinesError, index: int, item: Mapping[str, Any]) -> MemoryPipelinesError:
    """The error with the item of a batch that it is about, by its place and what its caller calls it."""
    names = {name: item[name] for name in ("key", "id") if isinstance(item, Mapping) and isinstance(item.get(name), (str, uuid.UUID))}
    called = "".join(f", {name} {str(value)[:100]!r}" for name, value in names.items())
    return type(error)(error.code, f"Item {index}{called}: {error.message}", {**error.detail, "index": index})


def save_inputs(platform: Platform, inputs: Sequence[MemoryInput], *, revive: bool = False) -> list[SaveResult]:
    """Save one validated batch and publish what it touched."""
    reach("save.begun")
    results = platform.record.save(inputs, revive=revive)
    reach("save.committed")
    events.publish(platform, [ref for result in results for ref in result.touched])
    reach("save.published")
    return results


def update(
    platform: Platform,
    id: str,  # noqa: A002
    changes: Mapping[str, Any],
    *,
    expected_version: int | None,
    wait: Wait,
    timeout: float | None,
) -> SaveResult:
    """Change some fields; see `MemoryClient.update`."""
    checked = validation.patch(changes, passage_chars=platform.settings.passage_chars, text_limit=platform.settings.text_limit)
    memory_id = validation.identifier(id)
    if ("entities" in checked) == ("relations" in checked):
        result = platform.record.update(memory_id, checked, expected_version=expected_version)
    else:
        result = _update_half_of_links(platform, memory_id, checked, expected_version)
    reach("update.committed")
    events.publish(platform, result.touched)
    reach("update.published")
    waiting.bring(platform, [result], wait=wait, timeout=timeout)
    return result


def _update_half_of_links(platform: Platform, memory_id: str, checked: dict[str, Any], expected_version: int | None) -> SaveResult:
    """Entities and relations are kept together, so the half that was not named is read and the write compared with that read."""
    while True:
        present = platform.record.get(id=memory_id)
        whole = {"entities": present.entities, "relations": present.relations, **checked}
        try:
            return platform.record.update(memory_id, whole, expected_version=expected_version or present.version)
        except Conflict:
            if expected_version is not None:
                raise


def get(platform: Platform, *, id: str | None, key: str | None, namespace: str) -> Memory:  # noqa: A002
    """One live memory; see `MemoryClient.get`."""
    if (id is None) == (key is None):
        raise InvalidInput("arguments_invalid", "Name either an id or a key.")
    if id is not None:
        return platform.record.get(id=validation.identifier(id))
    return platform.record.get(key=validation.key(key), namespace=validation.namespace(namespace))


def list_page(
    platform: Platform, *, namespace: str, limit: int, cursor: str | None = None, thread: str | None = None,
    metadata: Mapping[str, Any] | None = None, created_after: Any = None, created_before: Any = None,
) -> MemoryPage:  # fmt: skip
    """One page, newest first; see `MemoryClient.list`."""
    rows = validation.limit(limit)
    request = filters(namespace, thread, metadata, created_after, created_before) | {"limit": rows + 1}
    if cursor is not None:
        request["after"] = _position(cursor)
    page = platform.record.page(request)
    more = len(page) > rows
    page = page[:rows]
    return MemoryPage(page, _cursor(page[-1]) if more else None)


def filters(
    namespace: str, thread: str | None, metadata: Mapping[str, Any] | None, created_after: Any, created_before: Any
) -> dict[str, Any]:
    """The filters of a listing or a search, checked; those that are None are left out."""
    chosen = {
        "namespace": validation.namespace(namespace),
        "thread": None if thread is None else validation.thread(thread),
        "metadata": None if not metadata else validation.metadata(metadata),
        "created_after": as_json(validation.moment(created_after, "created_after")),
        "created_before": as_json(validation.moment(created_before, "created_before")),
    }
    return {name: value for name, value in chosen.items() if value is not None}


def named(platform: Platform, *, id: str | None, key: str | None, namespace: str, gone: bool = False) -> str:  # noqa: A002
    """The id of a memory that is named by its id or by its key.

    Args:
        gone: also of one that was forgotten or has expired.

    Raises:
        InvalidInput: `arguments_invalid`, not just one of them is given.
        NotFound, Gone: of a key; an id is not looked up.
    """
    if (id is None) == (key is None):
        raise InvalidInput("arguments_invalid", "Name an id or a key, and not both.")
    if id is not None:
        return validation.identifier(id)
    try:
        return platform.record.get(key=validation.key(key), namespace=validation.namespace(namespace)).id
    except Gone as error:
        if gone:
            return str(error.detail["id"])
        raise


def namespaces(platform: Platform) -> tuple[Namespace, ...]:
    """Every namespace with what it holds, by name; see `MemoryClient.namespaces`."""
    found: list[Namespace] = []
    while page := platform.record.namespace_counts(limit=NAMESPACES, after=found[-1].name if found else None):
        found += page
    return tuple(found)


def history(platform: Platform, id: str) -> tuple[HistoryEntry, ...]:  # noqa: A002
    """Every version, oldest first; see `MemoryClient.history`."""
    return platform.record.history(validation.identifier(id))


def _input(platform: Platform, item: Mapping[str, Any]) -> MemoryInput:
    return validation.memory_input(item, passage_chars=platform.settings.passage_chars, text_limit=platform.settings.text_limit)


def _cursor(last: Memory) -> str:
    return cursors.written(last.created_at.isoformat(), last.id)


def _position(cursor: str) -> list[str]:
    try:
        at, memory_id = cursors.read(cursor)
        return [as_json(validation.moment(at, "cursor")), validation.identifier(memory_id)]
    except (AttributeError, ValueError, TypeError, InvalidInput):
        raise InvalidInput("cursor_invalid", "This cursor was not made by `list`: start again without one.") from None
