"""What the tests on real servers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.integration.drift")

from memory_pipelines import MemoryClient, Settings  # noqa: E402
from memory_pipelines.domain.errors import MemoryPipelinesError  # noqa: E402
from tests import capabilities, engines  # noqa: E402  # what asserts is rewritten as it is imported
from tests.integration import drift  # noqa: E402
from tests.integration.drift import World  # noqa: E402


@pytest.fixture(scope="module")
def intact_world(home: Path) -> Iterator[Callable[[], World]]:
    """Gives the world that the tests of a module share; another one after a test that failed and left it broken."""
    worlds = [drift.build(engines.settings_for(home))]

    def give() -> World:
        try:
            verdict = worlds[-1].client.audit(deep=True)
            intact = verdict.clean and not verdict.pending
        except MemoryPipelinesError:
            intact = False
        if not intact:
            drift.close(worlds.pop())
            worlds.append(drift.build(engines.settings_for(home)))
        return worlds[-1]

    yield give
    drift.close(worlds[-1])


@pytest.fixture
def world(intact_world: Callable[[], World]) -> World:
    """A small world in which every store shows what the record says."""
    return intact_world()


@pytest.fixture(scope="module")
def own_home() -> Iterator[Path]:
    """Engines of this module's own, which its tests may kill."""
    capabilities.need("embedded")
    with engines.temporary_home() as folder:
        yield folder


@pytest.fixture
def mortal(own_home: Path, named_graph: dict[str, Any]) -> Settings:
    """Settings of engines that may be killed: they run, and hold nothing. Batches are small, a dead drain's lease and a breaker's
    period short.
    """
    settings = engines.settings_for(own_home, lease_seconds=1.0, batch_rows=20, breaker_seconds=1.0, **named_graph)
    engines.empty(settings)
    return settings


@pytest.fixture
def survivor(mortal: Settings) -> Iterator[MemoryClient]:
    """A client that lives on while others die."""
    with MemoryClient.from_env(mortal) as client:
        yield client
