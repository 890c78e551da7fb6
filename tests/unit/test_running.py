"""One `dev` a home: who holds the lock runs, whatever a file beside it says."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from memory_pipelines.domain.errors import ConfigurationError, Conflict
from memory_pipelines.entrypoints.cli import running

URL = "http://127.0.0.1:3999"


def again(folder: Path) -> AbstractContextManager[None]:
    """What a second `dev` asks."""
    return running.only(folder, "http://127.0.0.1:4000")


def down(folder: Path) -> AbstractContextManager[None]:
    """What `down` asks."""
    running.refuse_beside(folder)
    return nullcontext()


@pytest.mark.parametrize("asked", [again, down])
def test_beside_one_that_runs_it_is_said_who_and_where(tmp_path: Path, asked: Callable[[Path], AbstractContextManager[None]]) -> None:
    with running.only(tmp_path, URL):
        with pytest.raises(Conflict) as error, asked(tmp_path):
            pytest.fail("it went on beside another")
        assert error.value.code == "dev_runs"
        assert (error.value.detail["pid"], error.value.detail["url"]) == (os.getpid(), URL)
        assert all(said in error.value.message for said in (str(os.getpid()), URL, error.value.detail["since"]))
        (tmp_path / "dev.json").unlink()
        with pytest.raises(Conflict, match="starting or ending"), asked(tmp_path):
            pytest.fail("it went on beside another")
    with asked(tmp_path):
        pass  # it has ended


@pytest.mark.parametrize("asked", [again, down])
def test_what_a_killed_one_left_behind_is_no_obstacle(tmp_path: Path, asked: Callable[[Path], AbstractContextManager[None]]) -> None:
    (tmp_path / "dev.lock").touch()
    (tmp_path / "dev.json").write_text('{"pid": 1, "url": "http://127.0.0.1:3000", "since": "long ago"}')
    with asked(tmp_path):
        pass


@pytest.mark.parametrize("asked", [again, down])
def test_a_lock_that_cannot_be_taken_is_a_matter_of_the_home(tmp_path: Path, asked: Callable[[Path], AbstractContextManager[None]]) -> None:
    (tmp_path / "dev.lock").mkdir()
    with pytest.raises(ConfigurationError, match="MEMORY_HOME") as error, asked(tmp_path):
        pytest.fail("it went on without a lock")
    assert error.value.code == "engine_folder"
