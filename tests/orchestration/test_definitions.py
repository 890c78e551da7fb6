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

from memory_pipelines.assets import audit
from memory_pipelines.assets.drains import PROJECTIONS
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
    assert spec.group_name != "default"


def test_a_check_is_one_question() -> None:
    graph = defs.resolve_asset_graph()
    descriptions = {key.name: graph.get_check_spec(key).description or "" for key in graph.asset_check_keys}
    assert len(descriptions) == 24
    assert [name for name, description in descriptions.items() if not description.endswith("?")] == []


@pytest.mark.parametrize("config", [DrainConfig, AuditConfig, RepairConfig, HistoryConfig, DeadLettersConfig])
def test_what_may_be_configured_is_described(config: type[dg.Config]) -> None:
    assert [name for name, field in config.model_fields.items() if not (field.description or "").endswith(".")] == []


def test_a_job_says_what_it_does() -> None:
    assert [job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__") and not job.description] == []


def test_each_kind_of_finding_turns_a_check_of_its_own() -> None:
    described = (Finding.__doc__ or "").partition("kind:")[2].partition("store:")[0]
    kinds = [kind for kinds, _ in audit.KINDS.values() for kind in kinds]
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
