"""How many bytes an audit reads: the length of every answer of both stores, as JSON.

To count another store, wrap it in `metered`. Must stay out: what is asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from memory_pipelines.services.platform import Platform


@dataclass(slots=True)
class Meter:
    """Bytes read so far."""

    bytes: int = 0


class _Counted:
    """A store whose answers are counted."""

    def __init__(self, store: Any, meter: Meter) -> None:
        self._store, self._meter = store, meter

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._store, name)

        def call(*values: Any, **named: Any) -> Any:
            answer = method(*values, **named)
            self._meter.bytes += len(json.dumps(answer, default=str, ensure_ascii=False, separators=(",", ":")).encode())
            return answer

        return call


class _Metered:
    """A platform with counted stores; the graph opens when it is first asked."""

    def __init__(self, platform: Platform, meter: Meter) -> None:
        self._platform, self._meter = platform, meter

    def __getattr__(self, name: str) -> Any:
        part = getattr(self._platform, name)
        return _Counted(part, self._meter) if name in ("record", "graph") else part


def metered(platform: Platform, meter: Meter) -> Platform:
    """The same platform, counting into `meter` what record and graph answer."""
    return cast(Platform, _Metered(platform, meter))
