"""Dagster's folder: laid out once, followed while nobody edited it, left alone afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from memory_pipelines.dagster_home import NAME, prepare_home


def test_it_is_laid_out_beside_the_data(tmp_path: Path) -> None:
    folder = prepare_home(tmp_path)
    assert folder == tmp_path / "dagster"
    assert "module: dagster._core.run_coordinator" in (folder / NAME).read_text("utf-8")


def test_ours_follows_the_installed_version(tmp_path: Path) -> None:
    folder = prepare_home(tmp_path)
    shipped = (folder / NAME).read_text("utf-8")
    for path in folder.iterdir():  # as an older version would have left it
        path.write_text("telemetry:\n  enabled: false\n", "utf-8")
    prepare_home(tmp_path)
    assert (folder / NAME).read_text("utf-8") == shipped


def test_an_edited_one_is_left_alone(tmp_path: Path) -> None:
    folder = prepare_home(tmp_path)
    (folder / NAME).write_text("# mine\n", "utf-8")
    prepare_home(tmp_path)
    assert (folder / NAME).read_text("utf-8") == "# mine\n"


def test_nothing_but_the_settings_is_left_behind(tmp_path: Path) -> None:
    assert len(list(prepare_home(tmp_path).iterdir())) == 2


def test_it_does_not_load_dagster() -> None:
    code = "import sys, memory_pipelines.dagster_home; print('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
