"""The whole path with a stream and a graph that live in the process: what ends with it is noticed, owed again and written again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from uuid_utils import uuid7

from memory_pipelines import MemoryClient, Settings, wiring
from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.domain.models import PROJECTIONS
from memory_pipelines.services import maintenance
from memory_pipelines.stores.memory.tables import forget, held
from tests import engines
from tests.integration import faults

NOWHERE = engines.settings_for(Path("unused"), database_url="memory://whole", redis_url="memory://whole", graph_url="memory://whole")


def test_the_whole_path_runs_with_no_server(tmp_path: Path) -> None:
    settings = NOWHERE.model_copy(update={"home": tmp_path / "unused"})
    with MemoryClient.from_env(settings) as client:
        client.save("Mara works at Orbit Labs.", key="job", wait="all")
        client.save("Mara moved to Porto.", key="home")
        client.save_many([{"text": "Ben knows Mara."}, {"text": "It rained.", "expires_at": "2020-01-01"}])
        assert {result.projection: result.failed + result.parked for result in client.sync()} == dict.fromkeys(PROJECTIONS, 0)
        assert client.search("Where does Mara work?", limit=1)[0].key == "job"
        assert "Orbit Labs" in {neighbour.name for neighbour in client.related("Mara").neighbours}
        assert client.forget(key="home", wait="all").forgotten == 1
        maintenance.maintain(client._platform)
        assert client.sync()
        for deep in (False, True):
            verdict = client.audit(deep=deep)
            assert (verdict.clean, verdict.pending, verdict.checked["memory"]) == (True, 0, 2)
        assert "Porto" not in {neighbour.name for neighbour in client.related("Mara").neighbours}
        assert client.audit(incremental=True).clean
        assert sum(client._platform.graph.drop()) > 0
        assert not client.audit().clean
        client.sync()
        assert client.audit(deep=True).clean
        found = client.status()
        assert (sum(found.owed.values()), found.counts["memories"], found.engines["postgres"]["address"]) == (0, 2, "whole")
        assert "process" in found.engines["postgres"]["warnings"][0]
    assert not (tmp_path / "unused").exists()


def test_what_differs_is_planned_and_repaired_and_explained_with_no_server() -> None:
    address = f"memory://{uuid7()}"
    own = engines.settings_for(Path("unused"), database_url=address, redis_url=address, graph_url=address)
    with MemoryClient.from_env(own) as client:
        id_ = client.save("Mara works at Orbit Labs.", key="job", wait="all").id
        tables = held(address)
        with tables.transaction():
            (vector,) = tables.embeddings.having("of", ("memory", id_))
            tables.embeddings.drop((vector.kind, vector.id, vector.passage, vector.generation))
        assert not client.audit(deep=True).clean
        plan = client.plan_repair()
        (row,) = [row for row in plan.rows if row.id == id_]
        assert (row.projection, row.action, plan.work) == ("embeddings", "owe", 1)
        assert client.explain(id_).finding is not None
        client.repair(plan)
        assert len(client.explain(id_).stores["embeddings"]) == 1
        assert client.audit(deep=True).clean
        assert client.plan_repair().work == 0
    forget(address)


def test_doctor_says_that_a_record_in_memory_does_not_last_and_what_needs_a_database_is_refused() -> None:
    checks = {check.name: check for check in wiring.diagnose(NOWHERE)}
    assert (checks["postgres.persistence"].state, "ends with it" in checks["postgres.persistence"].seen) == ("warning", True)
    assert {check.state for check in checks.values()} == {"ok", "warning"}
    with pytest.raises(ConfigurationError) as error:
        wiring.database_url(NOWHERE)
    assert error.value.code == "record_in_memory"
    with closing(wiring.open_platform(NOWHERE)) as platform:
        assert wiring.bring_schema(platform) is None


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
