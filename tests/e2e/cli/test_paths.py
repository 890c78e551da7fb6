"""A home, a working folder and files whose paths hold what URLs, shells and lists of folders give a meaning to."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capabilities import need
from tests.e2e.cli.test_cli import COMMANDS
from tests.e2e.command import COMMAND, Cli, Warm, environment, runner
from tests.engines import temporary_home, until
from tests.redis_servers import free_port

ODD = "é #?:'%41 [/b] "  # the last is two folders, and markup of what prints


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder of that kind."""
    need("embedded")
    with temporary_home() as top:
        made = top / ODD
        made.mkdir(parents=True)
        yield made


@pytest.fixture(scope="module")
def odd(warm: Warm, folder: Path) -> Iterator[Cli]:
    """Runs commands there, on a home in it."""
    run = runner(warm, folder / "home", folder)
    yield run
    run("down")


def test_every_command_works(odd: Cli, folder: Path) -> None:
    (folder / "in é.jsonl").write_text('{"text": "Ada met Bea.", "key": "a", "entities": [{"name": "Ada"}, {"name": "Bea"}]}\n')
    steps: list[tuple[str, ...]] = [
        ("up",), ("migrate",), ("demo",), ("up",), ("import", "in é.jsonl", "-n", "odd"), ("sync",), ("get", "--key", "a", "-n", "odd"),
        ("list", "-n", "odd"), ("search", "whom?", "-n", "odd"), ("related", "Ada", "-n", "odd"), ("export", "out é.parquet", "-n", "odd"),
        ("entities merge", "Bea", "Ada", "-n", "odd"), ("entities show", "Ada", "-n", "odd"), ("entities aliases", "-n", "odd"),
        ("entities unmerge", "Bea", "-n", "odd"), ("save", "Cleo sings.", "-n", "odd", "--key", "c"), ("status",), ("sync",),
        ("namespaces",), ("entities list", "-n", "odd"), ("maintain",),
        ("policy list",), ("policy set", "odd", "record-wins"), ("dead list",), ("rebuild", "graph"), ("audit", "--deep"),
        ("repair", "--plan", "plan é.json"), ("repair", "--apply", "plan é.json"), ("doctor",), ("forget", "--key", "c", "-n", "odd"),
    ]  # fmt: skip
    for name, *arguments in steps:
        ran = odd(*name.split(), *arguments)
        assert ran.code == 0, f"{name}: {ran.out}{ran.err}"
        if name == "status":
            assert str(folder / "home") in ran.out
    memory_id = odd("get", "--key", "a", "-n", "odd", "--json").json["id"]
    for name in ("history", "explain"):
        assert odd(name, memory_id).code == 0
    assert odd("update", memory_id, "--text", "Ada met Bea and Cleo.").code == 0
    for name in ("dead show", "dead retry", "dead drop"):  # the id reaches the stores and is found to be no dead letter
        assert odd(*name.split(), f"graph:memory:{memory_id}", "--json").code in {0, 1}
    tried = {name for name, *_ in steps} | {"history", "explain", "update", "dead show", "dead retry", "dead drop", "down", "dev"}
    assert set(COMMANDS) - tried == set(), "a new command has its step here, too"


def test_dev_drains_what_is_saved(odd: Cli, folder: Path) -> None:
    command = [*COMMAND, "dev", "--port", str(free_port()), "--json"]
    with subprocess.Popen(
        command, env=environment(folder / "home"), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as dev:
        try:
            assert dev.stdout is not None
            lines: list[str] = []
            while lines[-1:] != ["}\n"] and (line := dev.stdout.readline()):
                lines.append(line)
            assert json.loads("".join(lines))["home"] == str(folder / "home"), dev.stderr
            odd("save", "Dora dances.", "-n", "odd")
            until(lambda: set(odd("status", "--json").json["owed"].values()) == {0}, "what is saved is drained by dev's sensors", 120)
        finally:
            dev.send_signal(signal.SIGTERM)
            _, err = dev.communicate(timeout=120)
    assert dev.returncode == 0, err


def test_a_command_in_a_subfolder_says_which_home_it_means(warm: Warm, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "src" / "deep").mkdir(parents=True)
    home, unset = tmp_path / ".memory", {"MEMORY_HOME": ""}
    run = runner(warm, home, tmp_path / "src" / "deep")
    assert {check["check"]: check["seen"] for check in run("doctor", "--json", **unset).json["checks"]}["settings.home"] == str(home)
    assert run("down", "--json", **unset).json["home"] == str(home)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dev = run("dev", "--port", str(taken.getsockname()[1]), **unset)
    assert (dev.code, dev.err.splitlines()[0]) == (1, f"Home: {home}")
    assert not (tmp_path / "src" / "deep" / ".memory").exists()


def test_a_misspelt_variable_is_named_on_standard_error_and_by_doctor(warm: Warm, tmp_path: Path) -> None:
    run = runner(warm, tmp_path / "home", tmp_path)
    ran = run("down", "--json", MEMORY_DATABSE_URL="postgresql://u:hunter2@h/x")
    assert (ran.code, ran.json["stopped"]) == (0, [])
    assert "MEMORY_DATABSE_URL is no setting: is MEMORY_DATABASE_URL meant?" in ran.err
    checks = [check for check in run("doctor", "--json", MEMORY_DATABSE_URL="x").json["checks"] if check["check"] == "settings.variables"]
    assert [(check["state"], "MEMORY_DATABASE_URL" in check["fix"]) for check in checks] == [("warning", True)]
    assert "hunter2" not in ran.out + ran.err
