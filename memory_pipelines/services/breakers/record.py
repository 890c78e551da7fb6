"""The record's breaker: local to the process, since without the record there is nothing to be done elsewhere either.

While Postgres is away each call waits for a connection, 5 s at most. After some failures in a row calls fail at once, and one a
period finds out whether it is back. Must stay out: transports themselves; this is wrapped around one by `wiring`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.ports import BreakerStore, RecordTransport, Vectors
from memory_pipelines.services.breakers import breakers

T = TypeVar("T")

NAME = "record"
FAILURES = 5
SECONDS = 1.0  # its period: a save that is refused for longer than Postgres needs to come back is worse than one that waits
_OUTAGES = frozenset({"record_unavailable"})


class GuardedTransport:
    """`ports.RecordTransport` behind a breaker.

    Args:
        transport: what is called; closed with this.
        store: where the breaker's state is: one of this process.
    """

    def __init__(self, transport: RecordTransport, store: BreakerStore) -> None:
        self._transport, self._store = transport, store
        self.binary = transport.binary

    def call(self, function: str, payload: Mapping[str, Any]) -> Any:
        """See `ports.RecordTransport.call`."""
        return self._guarded(lambda: self._transport.call(function, payload))

    def call_with_vectors(self, function: str, payload: Mapping[str, Any], vectors: Vectors) -> Any:
        """See `ports.RecordTransport.call_with_vectors`."""
        return self._guarded(lambda: self._transport.call_with_vectors(function, payload, vectors))

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()

    def _guarded(self, call: Callable[[], T]) -> T:
        try:
            return breakers.through(self._store, NAME, call, outages=_OUTAGES, failures=FAILURES, seconds=SECONDS)
        except Unavailable as error:
            if error.code != breakers.OPEN:
                raise
            raise Unavailable(
                "record_unavailable", f"Postgres has not answered several times in a row; it is asked again within {SECONDS:.0f} s."
            ) from None
