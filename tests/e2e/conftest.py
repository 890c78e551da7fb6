"""Fixtures of the end-to-end tests: commands on embedded engines, in a folder of their own, stopped at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capabilities import need
from tests.e2e.command import Cli, Warm, runner


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """What runs the commands of this session."""
    process = Warm()
    yield process
    process.close()


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """The MEMORY_HOME of this session; it does not exist yet."""
    need("embedded")
    from tests import engines

    with engines.temporary_home() as folder:
        yield folder / "home"


@pytest.fixture(scope="session")
def cli(warm: Warm, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Runs commands against one set of embedded engines, which is stopped at the end."""
    need("embedded")
    run = runner(warm, home, tmp_path_factory.mktemp("cwd"))
    started = run("up", "--json")
    assert started.code == 0, started.err
    yield run
    run("down")


@pytest.fixture
def fresh_home() -> Iterator[Path]:
    """A MEMORY_HOME in which nothing has happened yet; it does not exist."""
    need("embedded")
    from tests import engines

    with engines.temporary_home() as folder:
        yield folder / "home"


@pytest.fixture
def fresh(warm: Warm, fresh_home: Path, tmp_path: Path) -> Iterator[Cli]:
    """Runs commands in `fresh_home`."""
    run = runner(warm, fresh_home, tmp_path)
    yield run
    run("down")
