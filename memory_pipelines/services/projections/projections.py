"""The projections by name: how each is made, how many subjects a batch of it takes, and how a written batch is settled.

To add a projection, add its two functions to `steps`; see `projection.py`. Must stay out: in which order batches are worked
on (`services/sync/rounds.py`), and how a projection is made (the file of its subject).
"""

from __future__ import annotations

from collections.abc import Callable

from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.failpoints import reach
from memory_pipelines.domain.models import PROJECTIONS, Claim
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projections import embeddings, entities, graph
from memory_pipelines.services.projections.projection import Batch, Settle, Stored

REFS_PER_BATCH = {"entities": 500, "embeddings": 400}  # texts per call; the graph takes `batch_rows`

Compute = Callable[[Platform, Claim], Batch]
Store = Callable[[Platform, Batch], Settle]


def steps(projection: str) -> tuple[Compute, Store]:
    """How a projection is made: its compute and its store function; see `projection.py`."""
    found: dict[str, tuple[Compute, Store]] = {
        "entities": (entities.extract, entities.store),
        "embeddings": (embeddings.embed, embeddings.store),
        "graph": (graph.build, graph.apply),
    }
    if projection not in found:
        raise InvalidInput("projection_unknown", f"There is no projection {projection!r}: use {', '.join(PROJECTIONS)}.")
    return found[projection]


def settle(platform: Platform, projection: str, batch: Batch, settlement: Settle) -> Stored:
    """Settle one batch that is written, and charge the rows that failed on their own."""
    stored = settlement()
    if not batch.failures:
        return stored
    charged = platform.record.fail(projection, batch.failures, max_attempts=platform.settings.max_attempts, lease=batch.lease)
    reach("dead.parked")
    return Stored(stored.done, stored.superseded, stored.failed + charged["failed"], stored.parked + charged["parked"], stored.touched)
