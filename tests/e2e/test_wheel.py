"""What is installed, as a user installs it: the wheel, beside a Dagster project that has packages `assets` and `resources` of its own.

The wheel is installed without its requirements: those are the ones of this environment, seen through a `.pth` file, which leaves out the
checkout. Must stay out: what the commands print (`cli/`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capabilities import need
from tests.e2e.command import ROOT, environment
from tests.redis_servers import free_port

THEIRS = '''
import dagster as dg
import assets, resources
from memory_pipelines import Settings
from memory_pipelines.dagster import definitions

@dg.asset(deps=["knowledge_graph"])
def report() -> str:
    """An asset of theirs that comes after one of ours."""
    return assets.NAME + resources.NAME

defs = dg.Definitions.merge(dg.Definitions(assets=[report], jobs=[dg.define_asset_job("reports", [report])]), definitions(Settings()))
'''
RUN = """
import json, dagster as dg
from memory_pipelines import MemoryClient
from theirs import defs
with MemoryClient.from_env() as memory:
    memory.save("Mara moved to Porto.", namespace="merged")
with dg.DagsterInstance.ephemeral() as instance:
    ran = [defs.resolve_job_def(name).execute_in_process(instance=instance) for name in ("sync_entities", "sync_graph", "reports")]
with MemoryClient.from_env() as memory:
    owed = memory.status().owed["graph"]
print(json.dumps({"success": [run.success for run in ran], "report": ran[-1].output_for_node("report"), "owed": owed}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, env=environment(folder))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the wheel, and what it requires, and no way to the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "uv", "pip", "install", "-q", "--offline", "--no-deps", "--python", python, wheel], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A Dagster project as people have them."""
    folder = tmp_path / "project"
    for name in ("assets", "resources"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"NAME = 'their {name} '\n")
    (folder / "theirs.py").write_text(THEIRS)
    return folder


@pytest.fixture
def env(fresh_home: Path, installed: Path, project: Path) -> Iterator[dict[str, str]]:
    """A user's environment, with a home of its own, whose engines are stopped at the end."""
    found = environment(fresh_home) | {"PATH": os.pathsep.join([str(installed.parent), os.environ["PATH"]])}
    del found["PYTHONPATH"]
    yield found
    subprocess.run([installed.parent / "memory-pipelines", "down"], env=found, cwd=project, check=True, capture_output=True)


def test_what_is_installed_is_found_under_one_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"memory_pipelines", next(n for n in names if n.endswith("/METADATA")).split("/")[0]}
    assert {"memory_pipelines/assets/audit.py", "memory_pipelines/resources/platform.py", "memory_pipelines/py.typed"} <= set(names)


def test_the_demo_and_dev_run_in_a_project_that_has_both_names(installed: Path, project: Path, env: dict[str, str]) -> None:
    need("embedded")
    command = installed.parent / "memory-pipelines"
    demo = subprocess.run([command, "demo", "--json"], cwd=project, env=env, capture_output=True, text=True, check=False)
    assert demo.returncode == 0, demo.stderr
    assert all(run["success"] for run in json.loads(demo.stdout)["runs"])
    port = free_port()
    started = [command, "dev", "--port", str(port), "--json"]
    with subprocess.Popen(started, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as dev:
        assert dev.stdout is not None
        lines: list[str] = []
        while lines[-1:] != ["}\n"] and (line := dev.stdout.readline()):  # until the document is whole, or dev has ended
            lines.append(line)
        dev.send_signal(signal.SIGTERM)
        _, err = dev.communicate(timeout=120)
    assert json.loads("".join(lines))["url"] == f"http://127.0.0.1:{port}", err
    assert dev.returncode == 0, err


def test_our_definitions_become_part_of_theirs(installed: Path, project: Path, env: dict[str, str]) -> None:
    need("embedded")
    ran = subprocess.run([installed, "-c", RUN], cwd=project, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == {"success": [True] * 3, "report": "their assets their resources ", "owed": 0}
    valid = [installed, "-m", "dagster", "definitions", "validate", "-m", "theirs"]
    done = subprocess.run(valid, cwd=project, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
