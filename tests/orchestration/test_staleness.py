"""What Dagster says of the order of runs: nothing. Which row is behind, the ledger knows, and "Unsynced" would be untrue."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from memory_pipelines import MemoryClient
from memory_pipelines.definitions import defs
from tests.orchestration.conftest import Jobs

ORDERS = [
    ("sync_entities", "sync_embeddings", "sync_graph", "audit_quick"),  # a first fill, then the hour's measurement
    ("sync_graph", "sync_embeddings", "sync_entities", "audit_quick"),  # three sensors at once, in any order
    ("audit_quick", "sync_graph", "sync_entities", "audit_incremental"),
    ("sync_everything", "sync_entities", "audit_quick"),
]


def stale(instance: dg.DagsterInstance) -> dict[str, Sequence[str]]:
    """What the UI marks in amber, and why."""
    resolver = CachingStaleStatusResolver(instance, defs.resolve_asset_graph(), LoadingContextForTest(instance))
    keys = defs.resolve_asset_graph().get_all_asset_keys()
    marked = [key for key in keys if resolver.get_status(key) == StaleStatus.STALE]
    return {key.to_user_string(): [cause.reason for cause in resolver.get_stale_causes(key)] for key in marked}


@pytest.mark.parametrize("jobs", ORDERS, ids=" ".join)
def test_nothing_counts_as_unsynced(jobs: Sequence[str], client: MemoryClient, execute: Jobs, instance: dg.DagsterInstance) -> None:
    client.save("Ada met Charles.")
    for job in jobs:
        execute(job)
        assert stale(instance) == {}


def test_nor_does_it_after_a_rebuild(client: MemoryClient, execute: Jobs, instance: dg.DagsterInstance) -> None:
    client.save("Ada met Charles.")
    execute("sync_everything")
    for job in ("rebuild_graph", "rebuild_entities"):
        assert execute(job, partition="00").get_asset_materialization_events()
        execute("audit_quick")
        assert stale(instance) == {}
