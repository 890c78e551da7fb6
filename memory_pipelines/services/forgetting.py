"""Forgetting: one memory, or what is chosen of a namespace, page by page. After every commit: one event.

A run that was killed between two pages has forgotten the pages before; the same call again forgets the rest. Must stay out: what a
tombstone keeps (the SQL), expiry (`maintenance.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from memory_pipelines.domain import validation
from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import ForgetResult, Ref, Wait
from memory_pipelines.services import events
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.sync import waiting

BATCH = 500


def chosen(*, thread: str | None, metadata: Mapping[str, Any] | None, before: datetime | str | None) -> dict[str, Any]:
    """Checked filters, of those that are given."""
    found = {
        "thread": validation.thread(thread), "metadata": None if metadata is None else validation.metadata(metadata),
        "created_before": validation.moment(before, "before"),
    }  # fmt: skip
    if found["metadata"] == {}:
        raise InvalidInput("metadata_invalid", "Empty metadata choose every memory: leave them out to mean the whole namespace.")
    return {name: value for name, value in found.items() if value is not None}


def count(
    platform: Platform, *, namespace: str, thread: str | None, metadata: Mapping[str, Any] | None, before: datetime | str | None
) -> int:
    """How many memories a forget with these arguments would find; see `MemoryClient.count`."""
    return platform.record.count(validation.namespace(namespace), chosen(thread=thread, metadata=metadata, before=before))


def forget(
    platform: Platform,
    *,
    id: str | None,  # noqa: A002
    key: str | None,
    namespace: str | None,
    thread: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    before: datetime | str | None = None,
    wait: Wait = "none",
    timeout: float | None = None,
) -> ForgetResult:
    """Forget one id, one key, or page by page what is chosen of a namespace; see `MemoryClient.forget`."""
    meant = chosen(thread=thread, metadata=metadata, before=before)
    if meant and (id is not None or key is not None or namespace is None):
        raise InvalidInput(
            "arguments_invalid", "A thread, metadata or a time choose among the memories of a namespace: name only that too."
        )
    if id is not None and key is not None:
        raise InvalidInput("arguments_invalid", "Name an id or a key, not both.")
    if id is None and key is None and namespace is None:
        raise InvalidInput("arguments_invalid", "Name what to forget: an id, a key, or a whole namespace.")
    if id is not None:
        result, _ = platform.record.forget(ids=[validation.identifier(id)])
    elif key is not None:
        result, _ = platform.record.forget(key=validation.key(key), namespace=validation.namespace(namespace or "default"))
    else:
        return _forget_chosen(platform, validation.namespace(namespace), meant, wait, timeout)
    reach("forget.committed")
    events.publish(platform, result.touched)
    reach("forget.published")
    waiting.bring_refs(platform, result.touched, wait=wait, timeout=timeout)
    return result


def _forget_chosen(platform: Platform, namespace: str, meant: Mapping[str, Any], wait: Wait, timeout: float | None) -> ForgetResult:
    total = 0
    ids: list[str] = []
    touched: list[Ref] = []
    at: datetime | None = None
    while True:
        page, more = platform.record.forget(namespace=namespace, limit=BATCH, chosen=meant)
        reach("forget.committed")
        events.publish(platform, page.touched)
        total, at = total + page.forgotten, page.at or at
        ids.extend(page.ids)
        touched.extend(page.touched)
        if not more:
            break
    waiting.bring_refs(platform, touched, wait=wait, timeout=timeout)
    return ForgetResult(total, tuple(ids), at, tuple(touched))
