"""Dagster on the embedded engines: the environment names them, as it would for a run worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from memory_pipelines import Settings
from memory_pipelines.definitions import defs
from memory_pipelines.resources.platform import PlatformResource
from memory_pipelines.services.platform import Platform

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Only `MEMORY_HOME` is set, and no `.env` lies about; tests may set more."""
    for name in os.environ:
        if name.startswith(("MEMORY_", "OPENAI_")) and not name.startswith("MEMORY_TESTS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MEMORY_HOME", str(settings.home_path))
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A history of the test's own."""
    with dg.DagsterInstance.ephemeral() as fresh:
        yield fresh


@pytest.fixture
def resource(platform: Platform, environment: pytest.MonkeyPatch) -> dict[str, PlatformResource]:  # noqa: ARG001  # emptied, and named
    """What a sensor is given."""
    return {"platform": PlatformResource()}


class Jobs:
    """Executes jobs of the platform in this process."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def __call__(
        self, job: str, config: dict[str, dg.Config] | None = None, *, partition: str | None = None, fails: bool = False
    ) -> dg.ExecuteInProcessResult:
        """Execute a job; `config` maps an op to its configuration."""
        run_config = {**dg.RunConfig(ops=config or {}).to_config_dict(), **QUIET}
        return defs.resolve_job_def(job).execute_in_process(
            instance=self._instance, run_config=run_config, partition_key=partition, raise_on_error=not fails
        )


@pytest.fixture
def execute(instance: dg.DagsterInstance, resource: dict[str, PlatformResource]) -> Jobs:  # noqa: ARG001  # the environment
    """`execute("sync_graph")` on emptied engines."""
    return Jobs(instance)


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    """The metadata of the one materialisation of `asset` in a run, as plain values."""
    (event,) = [found for found in result.get_asset_materialization_events() if found.asset_key == dg.AssetKey(asset)]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Every check of a run, and whether it passed."""
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}
