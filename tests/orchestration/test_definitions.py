"""What Dagster finds: it loads, it validates, and a newcomer can read it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from memory_pipelines import Settings
from memory_pipelines.assets import questions
from memory_pipelines.assets.drains import PROJECTIONS
from memory_pipelines.dagster import AUDIT, EVERYTHING, RECORD, definitions
from memory_pipelines.dagster import PROJECTIONS as SELECTED
from memory_pipelines.definitions import defs
from memory_pipelines.domain.models import Finding
from memory_pipelines.resources.configuration import AuditConfig, DeadLettersConfig, DrainConfig, HistoryConfig, RepairConfig

ROOT = Path(__file__).parents[2]
ASSETS = {"memories", "entities", "embeddings", "knowledge_graph", "consistency_audit"}
JOBS = {
    "sync_entities", "sync_embeddings", "sync_graph", "sync_everything", "audit_incremental", "audit_quick", "audit_deep", "audit_repair",
    "repair", "maintenance", "dead_letters", "rebuild_entities", "rebuild_embeddings", "rebuild_graph",
}  # fmt: skip


def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_what_there_is() -> None:
    assert set(specs()) == ASSETS
    assert {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")} == JOBS
    repository = defs.get_repository_def()
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "entities_queue", "embeddings_queue", "graph_queue", "repair_after_failed_audit", "run_failure",
    }  # fmt: skip
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "audit_hourly", "audit_daily", "audit_weekly", "maintenance_nightly",
    }  # fmt: skip


def test_everything_runs_by_itself_once_dagster_is_started() -> None:
    repository = defs.get_repository_def()
    assert {sensor.default_status for sensor in repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}
    assert {schedule.default_status for schedule in repository.schedule_defs} == {dg.DefaultScheduleStatus.RUNNING}


def test_the_lineage_leads_from_the_memories_to_the_proof() -> None:
    upstream = {name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in specs().items()}
    assert upstream == {
        "memories": set(),
        "entities": {"memories"},
        "embeddings": {"memories", "entities"},
        "knowledge_graph": {"memories", "entities"},
        "consistency_audit": {"entities", "embeddings", "knowledge_graph"},
    }


@pytest.mark.parametrize("name", sorted(ASSETS))
def test_an_asset_says_what_it_is(name: str) -> None:
    spec = specs()[name]
    assert spec.description
    assert len(spec.description) > 100
    assert spec.owners == ["team:memory"]
    assert spec.kinds
    assert len(spec.kinds) <= 3
    assert spec.group_name == "memory", "with one group, Dagster shows all of them open"
    documents = re.findall(r"docs/\w+\.md", spec.description)
    assert documents
    assert [document for document in documents if not (ROOT / document).exists()] == []


GRAPHS = {
    None: "falkordb", "falkor://host": "falkordb", "falkors://host": "falkordb", "unix:///run/graph.sock": "falkordb",
    "neo4j://host": "neo4j", "neo4j+s://host": "neo4j", "bolt://host": "bolt", "bolt+ssc://host": "bolt",
}  # fmt: skip


@pytest.mark.parametrize(("url", "kind"), GRAPHS.items())
def test_the_graph_is_of_the_engine_in_use(url: str | None, kind: str) -> None:
    (graph,) = [
        spec for spec in definitions(Settings(graph_url=url)).resolve_all_asset_specs() if spec.key == dg.AssetKey("knowledge_graph")
    ]
    assert graph.kinds == {kind}
    assert graph.deps, "the rest is as it was"


def test_supabase_is_named_where_it_is_used() -> None:
    def kinds(settings: Settings) -> set[str]:
        (memories,) = [spec for spec in definitions(settings).resolve_all_asset_specs() if spec.key == dg.AssetKey("memories")]
        return memories.kinds

    assert kinds(Settings(supabase_url="http://127.0.0.1:1", supabase_key="none")) == {"postgres", "supabase"}
    assert kinds(Settings()) == {"postgres"}


def test_selections_for_schedules_of_a_users_own() -> None:
    graph = defs.resolve_asset_graph()

    def keys(selection: dg.AssetSelection) -> set[str]:
        return {key.to_user_string() for key in selection.resolve(graph)}

    assert keys(EVERYTHING) == ASSETS
    assert keys(SELECTED) == set(PROJECTIONS.values())
    assert keys(RECORD) == {"memories"}
    assert keys(AUDIT) == {"consistency_audit"}


def test_what_must_not_run_twice_has_a_pool_and_a_drain_has_none() -> None:
    pools = {node.name: node.pools for job in defs.resolve_all_job_defs() for node in job.all_node_defs if node.name not in job.name}
    assert pools["apply_plan"] == {"memory_repair"}
    assert pools["consistency_audit"] == {"memory_audit"}
    assert pools["maintain"] == {"memory_maintenance"}
    for projection, asset in PROJECTIONS.items():
        assert pools[f"rebuild_{projection}_shard"] == {f"memory_rebuild_{projection}"}
        assert pools[asset] == set(), "a drain that was killed would keep its place until Dagster notices"


def test_a_run_can_be_found_by_what_it_does() -> None:
    for job in defs.resolve_all_job_defs():
        if not job.name.startswith("__"):
            assert job.tags["memory/what"] in {"sync", "audit", "repair", "rebuild", "maintenance", "dead_letters"}
    assert defs.resolve_job_def("rebuild_graph").tags["memory/projection"] == "graph"
    assert defs.resolve_job_def("sync_embeddings").tags["memory/projection"] == "embeddings"


def test_a_check_is_one_question() -> None:
    graph = defs.resolve_asset_graph()
    descriptions = {key.name: graph.get_check_spec(key).description or "" for key in graph.asset_check_keys}
    assert len(descriptions) == 21
    assert [name for name, description in descriptions.items() if not description.endswith("?")] == []
    assert len(set(descriptions.values())) == len(descriptions), "and each question is asked once"


@pytest.mark.parametrize("config", [DrainConfig, AuditConfig, RepairConfig, HistoryConfig, DeadLettersConfig])
def test_what_may_be_configured_is_described(config: type[dg.Config]) -> None:
    assert [name for name, field in config.model_fields.items() if not (field.description or "").endswith(".")] == []


def test_a_job_says_what_it_does() -> None:
    assert [job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__") and not job.description] == []


def test_each_kind_of_finding_turns_a_check_of_its_own() -> None:
    described = (Finding.__doc__ or "").partition("kind:")[2].partition("store:")[0]
    kinds = [kind for kinds, _ in questions.QUESTIONS.values() for kind in kinds]
    assert sorted(kinds) == sorted(set(re.findall(r"`(\w+)`", described)))


def test_what_runs_by_itself_says_when_and_why() -> None:
    repository = defs.get_repository_def()
    everything = [*repository.sensor_defs, *repository.schedule_defs]
    assert [each.name for each in everything if not (each.description or "").endswith(".")] == []


@pytest.mark.parametrize("path", sorted((ROOT / "assets").glob("*.py")), ids=lambda path: path.stem)
def test_no_logic_hides_in_an_asset(path: Path) -> None:
    """Under forty lines each, decorator and all."""
    too_long = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if node.end_lineno - first >= 40:
                too_long.append(node.name)
    assert too_long == []


@pytest.mark.parametrize("where", [("-w", "workspace.yaml"), ("-m", "memory_pipelines.definitions")], ids=["workspace", "module"])
def test_dagster_validates_them(where: tuple[str, str], tmp_path: Path) -> None:
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path), "MEMORY_HOME": str(tmp_path / "nothing"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dagster", "definitions", "validate", *where]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not (tmp_path / "nothing").exists(), "loading definitions must not start engines"


def test_loading_them_is_light() -> None:
    """A run worker pays for every import, and so does every save that wakes one."""
    heavy = ("pandas", "numpy", "wordllama", "openai", "fastapi", "psycopg", "redis", "falkordb")
    code = f"import sys, memory_pipelines.definitions; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert found.stdout.strip() == "[]"


def test_every_projection_has_its_asset_and_job() -> None:
    assert set(PROJECTIONS.values()) <= ASSETS
    assert {f"sync_{projection}" for projection in PROJECTIONS} <= JOBS
