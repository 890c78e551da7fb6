"""The whole path with a stream and a graph that live in the process: what ends with it is noticed, owed again and written again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from memory_pipelines import MemoryClient, Settings
from tests import engines
from tests.integration import faults


@pytest.fixture
def here(settings: Settings) -> Iterator[Settings]:
    """Settings with nothing but the record on a server, and nothing in any of them."""
    own = engines.settings_for(settings.home, redis_url=engines.IN_MEMORY, graph_url=engines.IN_MEMORY)
    engines.empty(own)
    yield own
    engines.held_in_memory(own).empty()


def test_a_restarted_process_finds_its_graph_gone_and_writes_it_again(here: Settings) -> None:
    """The process before this one is a real one, which saved, synced, forgot and ended."""
    script = (
        "client.save('Mara works at Orbit Labs.', key='job')\n"
        "client.save('Mara moved to Porto.', key='home')\n"
        "client.save('Ben knows Mara.', key='friend', wait='graph')\n"
        "client.sync()\n"
        "client.forget(key='home', wait='all')\n"
        "verdict = client.audit(deep=True)\n"
        "print(verdict.clean, sum(client.status().owed.values()), client._platform.graph.counts()['memory'])\n"
    )
    before = faults.run(here, f"from memory_pipelines import MemoryClient\nclient = MemoryClient.from_env()\n{script}")
    assert before.stdout.split() == ["True", "0", "2"], before.stderr
    with MemoryClient.from_env(here) as client:
        assert client._platform.graph.counts()["memory"] == 0
        assert not client.audit().clean
        results = {result.projection: result for result in client.sync()}
        assert results["graph"].rolled_back > 0
        assert client._platform.graph.counts()["memory"] == 2
        verdict = client.audit(deep=True)
        assert verdict.clean
        assert not verdict.pending
        assert not any(client.status().owed.values())
        assert "Orbit Labs" in {neighbour.name for neighbour in client.related("Mara").neighbours}


def test_clients_of_a_process_share_what_is_in_it_and_status_says_that_it_will_not_last(here: Settings) -> None:
    with MemoryClient.from_env(here) as writer, MemoryClient.from_env(here) as reader:
        writer.save("Mara works at Orbit Labs.", wait="graph")
        assert reader.related("Mara").neighbours
        found = reader.status().engines
        for name in ("redis", "graph"):
            assert (found[name]["ok"], found[name]["server"]) == (True, "memory")
            assert "process" in found[name]["warnings"][0]
