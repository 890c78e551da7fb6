"""How things stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memory_pipelines.stores.postgres.subjects.caller import Caller


class Status(Caller):
    """See `ports.record.StatusRecords`."""

    def status(self, budget_seconds: float) -> Mapping[str, Any]:
        """`{"projections": {name: {owed, ready, first_ready, parked, oldest_owed_seconds, draining}}, "newest_number", …}`"""
        return dict(self._call("memory_status_v1", {"budget_seconds": budget_seconds}))

    def counts(self) -> Mapping[str, Any]:
        """How much the record holds."""
        return dict(self._call("memory_counts_v1", {}))

    def health(self) -> Mapping[str, Any]:
        """Versions and identity."""
        return dict(self._call("memory_health_v1", {}))
