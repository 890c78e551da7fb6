"""Each asset on the real engines: what it does, what it reports, and which of its checks notices what."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.assets import columns
from memory_pipelines.assets.drains import PROJECTIONS
from memory_pipelines.assets.questions import QUESTIONS
from memory_pipelines.domain.models import Ref
from memory_pipelines.resources.configuration import AuditConfig, DrainConfig, HistoryConfig, RepairConfig
from memory_pipelines.services.platform import Platform
from tests import engines
from tests.orchestration.conftest import checks_of, metadata_of

Execute = Callable[..., dg.ExecuteInProcessResult]
DRAINED = {
    "rows_done", "rows_per_second", "still_owed", "oldest_owed_seconds", "parked", "failed", "superseded", "batches", "seconds",
}  # fmt: skip
BRIEF = DrainConfig(quiet_seconds=0.0, wait_seconds=0.0)


def save(client: MemoryClient, count: int = 6) -> list[str]:
    items = [{"text": f"Ada met Charles Babbage in London, {number} times.", "namespace": f"n{number % 2}"} for number in range(count)]
    return [result.id for result in client.save_many(items)]


def test_the_whole_chain(client: MemoryClient, execute: Execute) -> None:
    save(client)
    first = execute("sync_everything")
    for asset in ("entities", "embeddings", "knowledge_graph"):
        found = metadata_of(first, asset)
        assert found.keys() >= DRAINED
        assert found["rows_done"] >= 6
        assert found["still_owed"] == 0
        assert isinstance(found["rows"], dg.TableMetadataValue)
    assert set(checks_of(first).values()) == {True}
    assert metadata_of(first, "consistency_audit")["clean"] is True
    assert client.status().owed == {"entities": 0, "embeddings": 0, "graph": 0}

    save(client, 3)
    second = execute("sync_everything")
    assert metadata_of(second, "memories")["memories"] == 9
    assert "data:image/svg+xml" in str(metadata_of(second, "memories")["growth"])
    assert "data:image/svg+xml" in str(metadata_of(second, "knowledge_graph")["recent_runs"])
    assert len(metadata_of(second, "memories")["largest_namespaces"].records) == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(("projection", "asset"), PROJECTIONS.items())
def test_rows_are_counted(projection: str, asset: str, client: MemoryClient, execute: Execute) -> None:
    save(client, 4)
    execute("sync_everything")
    found = metadata_of(execute(f"sync_{projection}", {asset: BRIEF}), asset)
    counts = client.status().counts
    assert found.get("dagster/row_count") == counts.get(asset)
    assert metadata_of(execute("audit_quick"), "memories")["dagster/row_count"] == 4


@pytest.mark.parametrize("asset", columns.TABLES)
def test_a_tables_columns_are_those_of_the_database(asset: str, settings: Settings, platform: Platform) -> None:
    platform.record.health()  # the schema is there
    with engines.connect(settings) as connection:
        rows = connection.execute(
            "select attname, format_type(atttypid, null) from pg_attribute"
            " where attrelid = %s::regclass and attnum > 0 and not attisdropped",
            (f"memory.{asset}",),
        ).fetchall()
    shown = {name: kind for name, (kind, _) in columns.TABLES[asset].items()}
    assert shown == {name: kind for name, kind in rows if name not in columns.INTERNAL}
    assert all(words.endswith(".") for _, words in columns.TABLES[asset].values())


def test_nothing_that_is_no_debt_is_called_waiting(client: MemoryClient, execute: Execute) -> None:
    save(client, 2)
    found = metadata_of(execute("sync_everything"), "memories") | metadata_of(execute("audit_quick"), "memories")
    assert found["embeddings_scanned_exactly"] == client.status().counts["embeddings_waiting"] > 0
    assert [name for name in found if "waiting" in name] == []
    assert {name: owed for name, owed in found.items() if name.startswith("owed_") and owed} == {}


def test_waiting_is_not_in_the_rate(client: MemoryClient, execute: Execute) -> None:
    save(client, 3)
    found = metadata_of(execute("sync_graph", {"knowledge_graph": DrainConfig(quiet_seconds=2.0)}), "knowledge_graph")
    assert found["seconds"] >= 2
    assert found["rows_per_second"] >= found["rows_done"] / (found["seconds"] - 1.9), "the two seconds of waiting do not count"  # type: ignore[operator]


def test_no_word_that_a_person_wrote_is_in_the_history(
    client: MemoryClient, settings: Settings, execute: Execute, instance: dg.DagsterInstance
) -> None:
    client.save("Zerlina met Xanthippe in Quetzaltenango.", namespace="n", metadata={"mood": "Jollity"})
    execute("sync_everything")
    graph = engines.graph_server(settings)
    graph.run("MATCH (e:Entity) SET e.name = 'Rumpelstiltskin'", write=True)
    graph.run("MATCH (m:Memory) DETACH DELETE m", write=True)
    graph.close()
    execute("audit_deep")
    execute("repair")
    kept = [dg.serialize_value(entry) for run in instance.get_runs() for entry in instance.all_logs(run.run_id)]
    assert len(kept) > 50
    words = ("Zerlina", "Xanthippe", "Quetzaltenango", "Jollity", "Rumpelstiltskin")
    assert {word for word in words for text in kept if word.lower() in text.lower()} == set()


@pytest.mark.parametrize(("projection", "asset"), PROJECTIONS.items())
def test_each_projection_alone(projection: str, asset: str, client: MemoryClient, execute: Execute) -> None:
    save(client, 2)
    assert metadata_of(execute(f"sync_{projection}", {asset: BRIEF}), asset)["rows_done"] == 2


def test_measuring_an_empty_record(execute: Execute) -> None:
    found = metadata_of(execute("audit_quick"), "memories")
    assert found["memories"] == 0
    assert "largest_namespaces" not in found


def test_a_drain_that_another_one_holds_is_left_to_it(client: MemoryClient, platform: Platform, execute: Execute) -> None:
    save(client, 1)
    assert platform.record.begin_drain("graph", "somebody-else", lease_seconds=60)
    result = execute("sync_graph", {"knowledge_graph": BRIEF})
    assert result.success
    assert result.get_asset_materialization_events() == []
    platform.record.end_drain("graph", "somebody-else")
    assert metadata_of(execute("sync_graph", {"knowledge_graph": BRIEF}), "knowledge_graph")["rows_done"] == 1


def test_a_drift_fails_the_check_of_its_kind(client: MemoryClient, settings: Settings, execute: Execute) -> None:
    save(client)
    execute("sync_everything")
    graph = engines.graph_server(settings)
    graph.run("MATCH (m:Memory) WITH m LIMIT 2 DETACH DELETE m", write=True)
    graph.close()
    found = execute("audit_quick")
    assert found.success
    assert {name for name, passed in checks_of(found).items() if not passed} == {"nothing_absent"}
    assert len(checks_of(found)) == len(QUESTIONS)
    assert metadata_of(found, "consistency_audit")["findings"] > 1
    (worst, *_) = metadata_of(found, "consistency_audit")["differences"].records  # type: ignore[attr-defined]
    assert worst.data["kind"] == "settled_absent"
    assert all(worst.data[time] for time in ("since", "written", "settled"))
    assert metadata_of(found, "consistency_audit")["found_settled_absent"] == metadata_of(found, "consistency_audit")["findings"]
    assert checks_of(execute("audit_incremental"))["nothing_absent"] is False  # what the last one found is looked at again
    assert checks_of(execute("sync_graph", {"knowledge_graph": BRIEF}))["graph_complete"] is False

    repaired = execute("audit_repair")
    assert set(checks_of(repaired).values()) == {True}
    assert metadata_of(repaired, "consistency_audit")["repaired"] > 1


def test_a_lost_vector_is_noticed(client: MemoryClient, settings: Settings, execute: Execute) -> None:
    save(client)
    execute("sync_everything")
    with engines.connect(settings) as connection:
        connection.execute("delete from memory.embeddings where kind = 'memory' and id = (select min(id::text)::uuid from memory.memories)")
    assert checks_of(execute("sync_embeddings", {"embeddings": BRIEF}))["embeddings_complete"] is False
    assert checks_of(execute("audit_quick"))["nothing_absent"] is False


def test_what_is_late_is_noticed(client: MemoryClient, execute: Execute, environment: pytest.MonkeyPatch) -> None:
    save(client)
    environment.setenv("MEMORY_SYNC_BUDGET_SECONDS", "0.000001")
    found = checks_of(execute("audit_quick"))
    assert found["nothing_late"] is False


def test_a_parked_row_is_a_warning_and_no_failure(client: MemoryClient, platform: Platform, execute: Execute) -> None:
    refs = [Ref("memory", id_) for id_ in save(client, 1)]
    (row,) = platform.record.claim("entities", refs=refs, limit=1).rows
    charge = {"kind": row.kind, "id": row.id, "number": row.number, "error": "cannot be read", "final": True}
    platform.record.fail("entities", [charge], max_attempts=1)
    result = execute("sync_entities", {"entities": BRIEF})
    assert result.success
    (check,) = [found for found in result.get_asset_check_evaluations() if found.check_name == "entities_nothing_parked"]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    (letter,) = check.metadata["dead_letters"].records
    assert letter.data["name"] == f"entities:memory:{row.id}"
    assert letter.data["reason"] == "cannot be read"


def test_an_emptied_graph_is_noticed_and_filled_again(client: MemoryClient, settings: Settings, execute: Execute) -> None:
    save(client)
    execute("sync_everything")
    graph = engines.graph_server(settings)
    graph.run("MATCH (n) DETACH DELETE n", write=True)
    graph.close()
    found = execute("sync_graph", {"knowledge_graph": BRIEF})
    assert metadata_of(found, "knowledge_graph")["owed_again_after_rollback"] >= 6
    assert set(checks_of(found).values()) == {True}
    assert client.audit(deep=True).clean


def test_a_check_that_cannot_look_raises(execute: Execute, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MEMORY_GRAPH_URL", "unix:///nowhere/graph.sock")
    result = execute("audit_quick", fails=True)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_key == "consistency_audit"
    assert failed.step_failure_data.user_failure_data.metadata["code"].value == "graph_unavailable"
    assert checks_of(result) == {}, "what could not be asked has no answer"


@pytest.mark.parametrize(("projection", "asset"), PROJECTIONS.items())
def test_a_rebuild_covers_everything_shard_by_shard(projection: str, asset: str, client: MemoryClient, execute: Execute) -> None:
    save(client, 40)
    client.sync()
    done = 0
    for shard in range(16):
        found = metadata_of(execute(f"rebuild_{projection}", {f"rebuild_{projection}_shard": BRIEF}, partition=f"{shard:02d}"), asset)
        assert found["rebuilt_shard"] == f"{shard:02d}"
        done += int(str(found["rows_done"]))
    assert done >= 40
    assert client.audit(deep=True).clean


def outputs_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The metadata of every op's output."""
    outputs = [event.step_output_data for event in result.all_node_events if event.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for output in outputs for name, value in output.metadata.items()}


def test_maintenance(client: MemoryClient, execute: Execute) -> None:
    save(client)
    execute("sync_everything")
    assert outputs_of(execute("maintenance")).keys() >= {"expired", "folded", "purged", "deleted_runs"}


def test_old_runs_leave_the_history_and_failed_ones_stay(
    client: MemoryClient, execute: Execute, instance: dg.DagsterInstance, environment: pytest.MonkeyPatch
) -> None:
    save(client, 1)
    with environment.context() as broken:
        broken.setenv("MEMORY_GRAPH_URL", "unix:///nowhere/graph.sock")
        failed = execute("audit_quick", fails=True).run_id
    for _ in range(4):
        execute("sync_entities", {"entities": BRIEF})
    newest = [run.run_id for run in instance.get_runs(limit=2)]
    assert outputs_of(execute("maintenance"))["deleted_runs"] == 0
    assert outputs_of(execute("maintenance", {"trim_runs": HistoryConfig(keep_runs=3)}))["deleted_runs"] == 2
    kept = [run.run_id for run in instance.get_runs()]
    assert failed in kept
    assert set(newest) <= set(kept)
    assert len(kept) == 5
    assert outputs_of(execute("maintenance", {"trim_runs": HistoryConfig(keep_days=0)}))["deleted_runs"] == 3
    assert instance.get_latest_materialization_event(dg.AssetKey("entities")) is not None


def test_an_audit_can_be_configured(client: MemoryClient, execute: Execute) -> None:
    save(client)
    found = metadata_of(execute("sync_everything", {"consistency_audit": AuditConfig(deep=True)}), "consistency_audit")
    assert found["mode"] == "deep"


@pytest.mark.parametrize("how", ["inline", "file", "none"])
def test_a_repair_applies_its_plan_and_shows_what_became_of_it(
    client: MemoryClient, settings: Settings, execute: Execute, tmp_path: Path, how: str
) -> None:
    save(client)
    execute("sync_everything")
    graph = engines.graph_server(settings)
    graph.run("MATCH (m:Memory) WITH m LIMIT 2 DETACH DELETE m", write=True)
    graph.close()
    text = client.plan_repair().as_text()
    (tmp_path / "plan.json").write_text(text)
    config = {"inline": {"plan": json.loads(text)}, "file": {"path": str(tmp_path / "plan.json")}, "none": {}}[how]
    result = execute("repair", {"apply_plan": RepairConfig(**config)})
    (event,) = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    shown = {name: value.value for name, value in event.step_output_data.metadata.items()}
    assert (shown["clean"], shown["rows_owed"], shown["findings"]) == (True, 2, 0)
    assert shown["plan"].records[0].data["rows"] == 2
    assert client.audit(deep=True).clean
