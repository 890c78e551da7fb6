"""The benchmark of drift, small: one row of every manner at once, each named by its kind, all of them repaired by one plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import drift
from benchmarks.drift_deeds import DEEDS
from tests import engines

MEMORIES = 2000
# What `Finding` lists, by store: an embedding has no copies, a passage is never ahead.
KINDS = {
    "graph": {
        "missing", "settled_absent", "stale", "ahead", "edited", "extra", "wrong_namespace", "duplicate_node", "duplicate_edge",
        "dangling_edge",
    },
    "embeddings": {"missing", "stale", "ahead", "orphan", "wrong_generation", "wrong_dimension", "wrong_namespace"},
    "passages": {"missing", "stale", "edited", "orphan", "wrong_namespace"},
    "ledger": {"owed_too_long", "parked", "unledgered", "without_subject"},
}  # fmt: skip


def test_there_is_a_deed_for_every_kind_of_finding() -> None:
    assert {store: {deed.kind for deed in DEEDS if deed.store == store} for store in KINDS} == KINDS


@pytest.mark.parametrize("seed", [drift.SEED])
def test_every_manner_of_drift_is_named_rightly_and_repaired_by_one_plan(home: Path, seed: int) -> None:
    settings = engines.settings_for(home, extractor="none")
    engines.empty(settings)
    world = drift.open_world(settings)
    try:
        drift.fill(world.platform, settings.home_path, MEMORIES, len(DEEDS))
        outcome = drift.measure(world, len(DEEDS), seed)
    finally:
        drift.close(world)
    assert outcome.complaints == []
    total = outcome.rows[-1]
    assert total["rows"] == total["by deep"] == total["right kind"] == total["repaired"] == len(DEEDS)
    assert total["for quick"] <= total["by quick"] < total["rows"]
