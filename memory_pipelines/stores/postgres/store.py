"""The record's store: every subject over one transport. No statements, no decisions; a new subject is a base here."""

from __future__ import annotations

from memory_pipelines.stores.postgres.subjects.audit import Audit
from memory_pipelines.stores.postgres.subjects.dead_letters import DeadLetters
from memory_pipelines.stores.postgres.subjects.embeddings import Embeddings
from memory_pipelines.stores.postgres.subjects.entities import Entities
from memory_pipelines.stores.postgres.subjects.leases import Leases
from memory_pipelines.stores.postgres.subjects.memories import Memories
from memory_pipelines.stores.postgres.subjects.repair import Repair
from memory_pipelines.stores.postgres.subjects.status import Status
from memory_pipelines.stores.postgres.subjects.sync import Sync


class PostgresRecord(Memories, Sync, DeadLetters, Entities, Embeddings, Audit, Repair, Status, Leases):
    """`ports.RecordStore` over any transport that calls functions.

    Args:
        transport: see `ports.RecordTransport`; closed with the store.
    """

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()
