"""Leases with fencing numbers."""

from __future__ import annotations

from typing import Any

from memory_pipelines.domain.models import Lease
from memory_pipelines.stores.postgres import shapes
from memory_pipelines.stores.postgres.subjects.caller import Caller


class Leases(Caller):
    """See `ports.leases.Leases`."""

    def acquire_lease(self, name: str, holder: str, *, lease_seconds: float) -> Lease:
        """Take a name; see `memory_lease_acquire_v1`."""
        answer = self._call("memory_lease_acquire_v1", {"name": name, "holder": holder, "lease_seconds": lease_seconds})
        return Lease(name, answer["fence"], shapes.moment(answer["lease_until"]))

    def renew_lease(self, lease: Lease, *, lease_seconds: float) -> Lease:
        """Hold it for so long from now."""
        answer = self._call("memory_lease_renew_v1", {**presented(lease), "lease_seconds": lease_seconds})
        return Lease(lease.name, answer["fence"], shapes.moment(answer["lease_until"]))

    def release_lease(self, lease: Lease) -> bool:
        """Give it back; False when it was another's by now."""
        return bool(self._call("memory_lease_release_v1", presented(lease)))


def presented(lease: Lease) -> dict[str, Any]:
    """A lease as functions take it that check it before they store."""
    return {"name": lease.name, "fence": lease.fence}


def under(lease: Lease | None) -> dict[str, Any]:
    """The part of a call that presents a lease; nothing without one."""
    return {} if lease is None else {"lease": presented(lease)}
