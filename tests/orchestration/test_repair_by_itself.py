"""From a failed audit to a clean one by the platform's own jobs and sensor, evaluated as the daemon evaluates them."""

from __future__ import annotations

from collections.abc import Mapping
from json import loads
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.assets import failures
from memory_pipelines.definitions import defs
from memory_pipelines.resources.configuration import RepairConfig
from memory_pipelines.services.audit import audit
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.sync import drains
from tests import engines
from tests.orchestration.conftest import QUIET, Jobs, checks_of, metadata_of

Resource = Mapping[str, Any]


def evaluate(resource: Resource, instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    """What the daemon is told by a tick of the repair sensor."""
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=dict(resource), definitions=defs) as context:
        return defs.resolve_sensor_def("repair_after_failed_audit").evaluate_tick(context)


def vandalise(settings: Settings) -> None:
    """Behind everybody's back: a memory lost, the links of another cut, a third invented."""
    graph = engines.graph_server(settings)
    graph.run("MATCH (m:Memory) WITH m ORDER BY m.id LIMIT 1 DETACH DELETE m", write=True)
    graph.run("MATCH (m:Memory) WITH m ORDER BY m.id LIMIT 1 MATCH (m)-[n:MENTIONS]->() DELETE n", write=True)
    graph.run("CREATE (:Memory {id: '00000000-0000-7000-8000-000000000001', namespace: 'default', revision: 1})", write=True)
    graph.close()


def park(client: MemoryClient, platform: Platform) -> None:
    """One memory whose embedding failed for a reason of its own."""
    client.save("It is poison.")
    client.sync("entities", "graph")
    (row,) = platform.record.claim("embeddings", refs=None, limit=9, owed_for_seconds=0).rows
    charge = {"kind": row.kind, "id": row.id, "number": row.number, "error": "odd", "code": "odd", "final": True, "version": 1}
    platform.record.fail("embeddings", [charge], max_attempts=5)


def run(request: Any, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """The run that a tick requested."""
    return defs.resolve_job_def("repair").execute_in_process(
        instance=instance, run_config={**request.run_config, **QUIET}, raise_on_error=False
    )


def test_a_failed_audit_leads_to_a_repair_and_a_clean_audit(
    client: MemoryClient, settings: Settings, resource: Resource, instance: dg.DagsterInstance, execute: Jobs
) -> None:
    client.save_many([{"text": f"Ada met Charles {number} times."} for number in range(5)])
    execute("sync_everything")
    assert not evaluate(resource, instance).run_requests
    vandalise(settings)
    failed = {name for name, passed in checks_of(execute("audit_deep")).items() if not passed}
    assert failed == {"nothing_absent", "nothing_extra"}
    tick = evaluate(resource, instance)
    (request,) = tick.run_requests
    assert not evaluate(resource, instance, tick.cursor).run_requests, "it is requested once"
    repaired = run(request, instance)
    assert repaired.success
    (told,) = repaired.get_asset_observation_events()
    assert told.asset_key == dg.AssetKey("consistency_audit"), "its page shows the repair beside the audits"
    assert checks_of(repaired) == {"nothing_absent": True, "nothing_extra": True}, "what it has proved it says, and no more"
    assert shown_by(instance, "nothing_extra") is True
    shown = told.asset_observation_data.asset_observation.metadata
    assert shown["clean"].value is True
    assert {line.data["projections"] for line in shown["plan"].records} == {"graph"}, "a list is words, not Python"
    assert "is clean" in evaluate(resource, instance, tick.cursor).skip_message
    after = execute("audit_deep")
    assert all(checks_of(after).values())
    assert metadata_of(after, "consistency_audit")["found_extra"] == 0, "its plot goes back to zero"


def shown_by(instance: dg.DagsterInstance, check: str) -> bool:
    """What Dagster shows of a check of the audit."""
    record = instance.get_latest_asset_check_evaluation_record(dg.AssetCheckKey(dg.AssetKey("consistency_audit"), check))
    assert record is not None
    return record.status == AssetCheckExecutionRecordStatus.SUCCEEDED


def test_a_red_check_names_its_rows_and_what_shows_them(client: MemoryClient, settings: Settings, execute: Jobs) -> None:
    ids = [row.id for row in client.save_many([{"text": f"Ada met Charles {number} times.", "namespace": "here"} for number in range(3)])]
    execute("sync_everything")
    graph = engines.graph_server(settings)
    graph.run("MATCH (m:Memory) DETACH DELETE m", write=True)
    graph.close()
    (red,) = [found for found in execute("audit_quick").get_asset_check_evaluations() if not found.passed]
    rows = [record.data for record in red.metadata["differing_rows"].records]  # type: ignore[attr-defined]
    memories = {row["id"]: row for row in rows if row["subject"] == "memory"}
    assert set(memories) == set(ids)
    assert memories[ids[0]] == {"store": "graph", "kind": "settled_absent", "subject": "memory", "id": ids[0], "namespace": "here"}
    command = str(red.metadata["look_at_one"].value)
    assert command.split()[:2] == ["memory-pipelines", "explain"]
    assert client.explain(command.split()[2]) is not None
    assert red.metadata["plan_a_repair"].value == "memory-pipelines repair --plan"


def test_a_check_with_a_row_that_was_not_repaired_stays_red(
    client: MemoryClient, settings: Settings, instance: dg.DagsterInstance, execute: Jobs
) -> None:
    client.save_many([{"text": f"Ada met Charles {number} times."} for number in range(5)])
    execute("sync_everything")
    vandalise(settings)
    execute("audit_deep")
    whole = client.plan_repair(deep=True)
    one = whole.model_copy(update={"rows": tuple(row for row in whole.rows if "extra" in row.why)})
    assert 0 < len(one.rows) < len(whole.rows)
    assert execute("repair", {"apply_plan": RepairConfig(plan=loads(one.as_text()))}).success
    assert shown_by(instance, "nothing_extra") is True
    assert shown_by(instance, "nothing_absent") is False


def test_a_check_of_which_not_all_rows_are_named_stays_red(
    client: MemoryClient, settings: Settings, instance: dg.DagsterInstance, execute: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "STORED", 1)
    client.save_many([{"text": f"Ada met Charles {number} times."} for number in range(5)])
    execute("sync_everything")
    vandalise(settings)
    execute("audit_deep")
    execute("repair")
    assert client.audit(deep=True).clean
    assert shown_by(instance, "nothing_absent") is False, "the next audit says so"


def test_what_is_parked_is_left_to_a_person_and_does_not_hold_up_a_repair(
    client: MemoryClient, platform: Platform, settings: Settings, resource: Resource, instance: dg.DagsterInstance, execute: Jobs
) -> None:
    """Tried again after every audit it would fail again, and cost again, and turn a run red each time."""
    client.save_many([{"text": f"Ada met Charles {number} times."} for number in range(5)])
    client.sync()
    park(client, platform)
    verdict = execute("audit_quick")
    assert {name for name, passed in checks_of(verdict).items() if not passed} == {"nothing_set_aside"}, "a warning, and no error"
    tick = evaluate(resource, instance)
    assert not tick.run_requests
    assert "dead letters" in tick.skip_message
    vandalise(settings)
    execute("audit_deep")
    (request,) = evaluate(resource, instance).run_requests
    planned = request.run_config["ops"]["apply_plan"]["config"]["plan"]["rows"]
    assert {row["projection"] for row in planned} == {"graph"}
    assert run(request, instance).success
    assert len(client.dead_letters()) == 1
    assert client.audit(deep=True).counts == {"parked": 1}


def test_a_failed_run_says_why_in_its_first_line(
    client: MemoryClient, instance: dg.DagsterInstance, execute: Jobs, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(drains, "_PATIENCE_SECONDS", 0.1)
    environment.setenv("MEMORY_EXTRACTOR", "openai")
    environment.setenv("OPENAI_API_KEY", "none")
    environment.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    client.save("Ada met Charles.")
    result = execute("sync_entities", fails=True)
    (failed,) = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE" and event.step_key == "entities"]
    told = failed.step_failure_data.user_failure_data
    assert told is not None
    assert told.description == "The extractor's server cannot be reached; check OPENAI_BASE_URL and the network."
    assert told.metadata["code"].value == "extractor_unavailable"
    assert failures.reason(failed) == told.description
    context = dg.build_run_status_sensor_context("run_failure", result.get_run_failure_event(), instance, result.dagster_run)
    assert defs.resolve_sensor_def("run_failure")(context.for_run_failure()) is None
