"""What services ask of leases: a name for one holder at a time, with a number that late writers are told by."""

from __future__ import annotations

from typing import Protocol

from memory_pipelines.domain.models import Lease


class Leases(Protocol):
    """Leases by the record's clock. Whoever stores something under one presents it, and is refused when it was granted anew since."""

    def acquire_lease(self, name: str, holder: str, *, lease_seconds: float) -> Lease:
        """Take `name`, unless another holder's lease is fresh; a holder that asks again gets a new number too.

        Raises:
            Conflict: `lease_held`, with `holder` and `until` in its detail.
        """
        ...

    def renew_lease(self, lease: Lease, *, lease_seconds: float) -> Lease:
        """Hold it for so long from now; one that has run out and that nobody else was granted lives again.

        Raises:
            Conflict: `lease_lost`
        """
        ...

    def release_lease(self, lease: Lease) -> bool:
        """Give it back. False when it was another's by now: nothing was done."""
        ...
