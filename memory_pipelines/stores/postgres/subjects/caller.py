"""What every subject stands on: a transport."""

from __future__ import annotations

from memory_pipelines.ports import RecordTransport


class Caller:
    """Calls functions through a transport.

    Args:
        transport: see `ports.RecordTransport`.
    """

    def __init__(self, transport: RecordTransport) -> None:
        self._call = transport.call
        self._transport = transport
