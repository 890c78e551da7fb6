"""What the tests of faults share: engines of their own, which a test may kill, and clients that outlive it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_pipelines import MemoryClient, Settings
from tests import capabilities, engines


@pytest.fixture(scope="session")
def fragile_home() -> Iterator[Path]:
    """Engines that these tests may kill, started once."""
    capabilities.need("embedded")
    with engines.temporary_home() as folder:
        yield folder


@pytest.fixture
def fragile(fragile_home: Path) -> Settings:
    """Settings of these engines, which run and hold nothing. Batches are small, and a dead drain's lease is short."""
    settings = engines.settings_for(fragile_home, lease_seconds=0.5, batch_rows=20)
    engines.empty(settings)
    return settings


@pytest.fixture
def survivor(fragile: Settings) -> Iterator[MemoryClient]:
    """A client that lives on while others die."""
    with MemoryClient.from_env(fragile) as client:
        client.health()  # opens everything: what is opened for the first time starts an engine that was killed
        yield client
