"""The sensors tick against real engines, and against missing ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import dagster as dg
import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.assets import automation
from memory_pipelines.assets.runs import run_wanted
from memory_pipelines.definitions import defs
from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.resources.platform import PlatformResource
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.sync import drains
from tests import engines

QUEUES = {"entities_queue": "entities", "embeddings_queue": "embeddings", "graph_queue": "knowledge_graph"}
Resource = dict[str, PlatformResource]
Instance = dg.DagsterInstance
Patch = pytest.MonkeyPatch


@pytest.fixture
def threaded() -> Iterator[Instance]:
    """As our `dagster.yaml` has it: each sensor ticks in a thread of its own."""
    with Instance.ephemeral(settings={"sensors": {"use_threads": True}}) as fresh:
        yield fresh


def test_a_tick_that_would_hold_up_the_others_does_not_wait(resource: Resource, instance: Instance, monkeypatch: Patch) -> None:
    monkeypatch.setattr(automation, "PATIENCE_SECONDS", 30)
    began = time.monotonic()
    tick("graph_queue", resource, instance)
    assert time.monotonic() - began < 5


def tick(name: str, resource: Resource, instance: Instance, cursor: str | None = None) -> dg.SensorResult:
    """One tick, as the daemon would have it."""
    sensor = defs.resolve_sensor_def(name)
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resource) as context:
        answer = sensor(context)
    assert isinstance(answer, dg.SensorResult)
    return answer


@pytest.mark.parametrize("name", QUEUES)
def test_nothing_owed_is_skipped(name: str, resource: Resource, instance: Instance) -> None:
    answer = tick(name, resource, instance)
    assert not answer.run_requests
    assert "Nothing is owed" in str(answer.skip_reason)


@pytest.mark.parametrize("name", QUEUES)
def test_owed_requests_one_run_of_its_projection(name: str, client: MemoryClient, resource: Resource, instance: Instance) -> None:
    client.save("Ada met Charles.")
    answer = tick(name, resource, instance)
    (request,) = answer.run_requests or []
    assert request.run_key is None
    assert list(request.run_config["ops"]) == [QUEUES[name]]
    assert not tick(name, resource, instance, answer.cursor).run_requests, "the run that was requested is given time to start"


def test_a_drain_at_work_is_not_doubled(client: MemoryClient, platform: Platform, resource: Resource, instance: Instance) -> None:
    client.save("Ada met Charles.")
    assert platform.record.begin_drain("graph", "somebody", lease_seconds=30)
    assert not tick("graph_queue", resource, instance).run_requests
    assert tick("embeddings_queue", resource, instance).run_requests, "one projection's drain is not another's"
    platform.record.end_drain("graph", "somebody")
    assert tick("graph_queue", resource, instance).run_requests


def test_a_drain_that_was_killed_is_replaced(client: MemoryClient, platform: Platform, resource: Resource, instance: Instance) -> None:
    """Its run stays STARTED for ever; its heartbeat does not."""
    client.save("Ada met Charles.")
    assert platform.record.begin_drain("graph", "killed", lease_seconds=0.3)
    engines.until(lambda: tick("graph_queue", resource, instance).run_requests, "the heartbeat runs out")


def test_an_event_ends_the_wait(client: MemoryClient, resource: Resource, threaded: Instance, monkeypatch: Patch) -> None:
    monkeypatch.setattr(automation, "PATIENCE_SECONDS", 30)
    seconds: list[float] = []

    def watch() -> None:
        assert tick("graph_queue", resource, threaded).run_requests
        seconds.append(time.monotonic())

    watcher = threading.Thread(target=watch)
    watcher.start()
    watcher.join(1.5)
    assert watcher.is_alive(), "it waits while nothing is owed"
    client.save("Ada met Charles.")
    saved = time.monotonic()
    watcher.join(20)
    assert seconds[0] - saved < 2


def test_without_redis_the_tick_goes_by_the_ledger(
    client: MemoryClient, resource: Resource, instance: Instance, environment: Patch
) -> None:
    environment.setenv("MEMORY_REDIS_URL", "unix:///nowhere/redis.sock")
    assert not tick("graph_queue", resource, instance).run_requests
    client.save("Ada met Charles.")
    assert tick("graph_queue", resource, instance).run_requests


@pytest.mark.parametrize("name", [*QUEUES, "repair_after_failed_audit"])
def test_without_the_record_the_tick_is_an_error(name: str, resource: Resource, instance: Instance, environment: Patch) -> None:
    environment.setenv("MEMORY_DATABASE_URL", "postgresql://nobody@/nothing?host=/nowhere")
    with pytest.raises(Unavailable):
        tick(name, resource, instance)


def lose_memories(client: MemoryClient, settings: Settings) -> None:
    """Five memories are in step, then the graph has lost them, and an audit has said so."""
    client.save_many([{"text": f"Ada met Charles {number} times."} for number in range(5)])
    client.sync()
    graph = engines.graph_server(settings)
    graph.run("MATCH (m:Memory) DETACH DELETE m", write=True)
    graph.close()
    assert not client.audit().clean


def test_a_failed_audit_is_repaired(client: MemoryClient, settings: Settings, resource: Resource, instance: Instance) -> None:
    assert not tick("repair_after_failed_audit", resource, instance).run_requests
    lose_memories(client, settings)
    (request,) = tick("repair_after_failed_audit", resource, instance).run_requests or []
    plan = request.run_config["ops"]["apply_plan"]["config"]["plan"]
    assert len(plan["rows"]) == 5
    assert "Charles" not in str(plan)
    assert defs.resolve_job_def("repair").execute_in_process(instance=instance, run_config=request.run_config).success
    assert "is clean" in str(tick("repair_after_failed_audit", resource, instance).skip_reason)
    assert client.audit(deep=True).clean


def test_too_much_drift_is_left_to_a_person(
    client: MemoryClient, settings: Settings, resource: Resource, instance: Instance, environment: Patch
) -> None:
    environment.setenv("MEMORY_REPAIR_BOUND", "4")
    lose_memories(client, settings)
    answer = tick("repair_after_failed_audit", resource, instance)
    assert not answer.run_requests
    assert "MEMORY_REPAIR_BOUND" in str(answer.skip_reason)


def test_an_edit_that_cannot_be_adopted_is_left_to_a_person(
    client: MemoryClient, settings: Settings, resource: Resource, instance: Instance
) -> None:
    client.save("Ada met Ben.", entities=[{"name": "Ada"}, {"name": "Ben"}])
    client.sync()
    client.set_policy("default", "adopt")
    graph = engines.graph_server(settings)
    graph.run("MATCH (e:Entity {name: 'Ada'}) SET e.name = 'Ben'", write=True)
    graph.close()
    assert not client.audit(deep=True).clean
    answer = tick("repair_after_failed_audit", resource, instance)
    assert not answer.run_requests
    assert "Nothing of it can be repaired" in str(answer.skip_reason)


def test_a_failed_run_is_told(instance: Instance) -> None:
    @dg.op
    def breaks() -> None:
        raise ValueError("broken on purpose")

    @dg.job
    def breaking() -> None:
        breaks()

    result = breaking.execute_in_process(instance=instance, raise_on_error=False)
    context = dg.build_run_status_sensor_context(
        "run_failure", result.get_run_failure_event(), instance, result.dagster_run
    ).for_run_failure()
    assert defs.resolve_sensor_def("run_failure")(context) is None


def test_the_sensors_decisions_carried_out_here(client: MemoryClient, resource: Resource, instance: Instance) -> None:
    """A thousand saves make a few runs, and everything is in step after them."""
    assert resource
    for start in range(0, 1000, 100):
        client.save_many([{"text": f"On day {start + number} Ada walked from London to Oxford with Tomas."} for number in range(100)])
    told: list[str] = []
    runs = run_wanted(defs, instance=instance, on_run=lambda run: told.append(run.job))
    assert told == [run.job for run in runs]
    assert all(run.success for run in runs)
    assert 3 <= len(runs) <= 6
    assert sum(run.done for run in runs if run.job == "sync_graph") >= 1000
    assert client.status().owed == {"entities": 0, "embeddings": 0, "graph": 0}
    assert client.audit().clean
    assert instance.get_runs_count() == len(runs)
    assert run_wanted(defs, instance=instance) == []


def test_runs_of_the_demo_say_who_launched_them(client: MemoryClient, resource: Resource, instance: Instance) -> None:  # noqa: ARG001  # the environment
    client.save("Ada met Charles.")
    run_wanted(defs, instance=instance, launched_by="memory-pipelines demo")
    runs = instance.get_runs()
    assert {run.tags["user"] for run in runs} == {"memory-pipelines demo"}
    assert all("dagster/sensor_name" not in run.tags for run in runs), "no sensor did"


def test_a_projection_that_fails_stops_neither_the_others_nor_itself(
    client: MemoryClient, resource: Resource, instance: Instance, environment: Patch
) -> None:
    assert resource
    environment.setattr(drains, "_PATIENCE_SECONDS", 0.5)
    environment.setenv("MEMORY_EMBEDDER", "openai")
    environment.setenv("OPENAI_API_KEY", "none")
    environment.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    client.save("Ada met Charles.")
    runs = {run.job: run for run in run_wanted(defs, instance=instance)}
    assert not runs["sync_embeddings"].success
    failures = instance.get_records_for_run(runs["sync_embeddings"].run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    told = {record.event_log_entry.step_key: record.event_log_entry.get_dagster_event().step_failure_data for record in failures}
    assert told["embeddings"].user_failure_data.metadata["code"].value == "embedder_unavailable"
    assert runs["sync_graph"].success
    assert runs["sync_graph"].done >= 1


def test_while_a_breaker_is_open_the_tick_says_so_and_asks_for_no_run(
    client: MemoryClient, platform: Platform, resource: Resource, instance: Instance
) -> None:
    client.save("Ada met Charles.")
    platform.breakers.open("graph", seconds=60, reason="graph_unavailable")
    answer = tick("graph_queue", resource, instance)
    assert not answer.run_requests
    assert "1 owed" in str(answer.skip_reason)
    assert "breaker has been open" in str(answer.skip_reason)
    assert tick("embeddings_queue", resource, instance).run_requests, "one dependency is not another"
    platform.breakers.close_breaker("graph")
    assert tick("graph_queue", resource, instance, answer.cursor).run_requests


def test_the_job_retries_what_is_parked(client: MemoryClient, platform: Platform, resource: Resource, instance: Instance) -> None:
    ids = [client.save(f"Ada met Charles, {number}.").id for number in range(3)]
    for row in platform.record.claim("embeddings", refs=None, limit=9, owed_for_seconds=0).rows:
        charge = {"kind": row.kind, "id": row.id, "number": row.number, "error": "odd", "code": "odd", "final": True, "version": 1}
        platform.record.fail("embeddings", [charge], max_attempts=5)
    job = defs.resolve_job_def("dead_letters")
    named = {"ops": {"retry_dead_letters": {"config": {"names": [f"embeddings:memory:{ids[0]}"]}}}}
    assert job.execute_in_process(run_config=named, instance=instance, resources=resource).success
    assert len(client.dead_letters()) == 2
    assert job.execute_in_process(instance=instance, resources=resource).success
    assert len(client.dead_letters()) == 0
    assert client.status().owed["embeddings"] == 3


def told(answer: dg.SensorResult) -> list[bool]:
    """Whether the projection is on time, as far as a tick says it."""
    events = [event for event in answer.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
    assert {event.check_name for event in events} <= {"graph_on_time"}
    return [event.passed for event in events]


def test_a_tick_says_when_a_projection_is_late_and_when_it_is_on_time_again(
    client: MemoryClient, resource: Resource, instance: Instance, environment: Patch
) -> None:
    """However long nothing runs: what is owed for longer than the budget is seen without a run."""
    first = tick("graph_queue", resource, instance)
    assert told(first) == [True]
    again = tick("graph_queue", resource, instance, first.cursor)
    assert told(again) == [], "it is said once"
    client.save("Ada met Charles.")
    with environment.context() as impatient:
        impatient.setenv("MEMORY_SYNC_BUDGET_SECONDS", "0.000001")
        late = tick("graph_queue", resource, instance, again.cursor)
        assert told(late) == [False]
        assert told(tick("graph_queue", resource, instance, late.cursor)) == []
    client.sync()
    assert told(tick("graph_queue", resource, instance, late.cursor)) == [True]
