"""`deploy/keys.py` and the entry point of the image, run as a person and as a container run them."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memory_pipelines.stores.postgres.rpc_transport import RpcTransport
from memory_pipelines.stores.postgres.service_key import check
from tests import compose, keys

SCRIPT = compose.ROOT / "deploy" / "keys.py"
ENTRYPOINT = compose.ROOT / "deploy" / "entrypoint"
NAMES = keys.module.NAMES


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script in a bare Python, as on a host that has installed nothing."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An .env as `make` writes it."""
    path = tmp_path / ".env"
    done = run("make", "--file", str(path))
    assert done.returncode == 0, done.stderr
    return path


def values(file: Path) -> dict[str, str]:
    """What the file says."""
    found: dict[str, str] = keys.module.values(file.read_text("utf-8"))
    return found


def claims(token: str) -> dict[str, object]:
    """What a token claims."""
    payload = token.split(".")[1]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def test_the_names_are_those_of_the_example() -> None:
    assert {name for name, value in keys.module.values(compose.EXAMPLE.read_text("utf-8")).items() if value == "REPLACE_ME"} == set(NAMES)


def test_what_is_made_is_accepted_readable_by_its_owner_and_shown_to_nobody(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    made = run("make", "--file", str(path))
    found = values(path)
    assert run("check", "--file", str(path)).returncode == 0
    assert run("check", **found).returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len({found[name] for name in NAMES}) == len(NAMES)
    assert [name for name in NAMES if found[name] in made.stdout + made.stderr] == []
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_making_again_changes_nothing_and_keeps_every_other_line(file: Path) -> None:
    file.write_text(file.read_text("utf-8") + "MEMORY_EMBEDDER=openai\n# mine\n", "utf-8")
    before = file.read_text("utf-8")
    assert "nothing to make" in run("make", "--file", str(file)).stdout
    assert file.read_text("utf-8") == before


def test_what_is_missing_is_added(file: Path) -> None:
    before = values(file)
    file.write_text("\n".join(line for line in file.read_text("utf-8").splitlines() if not line.startswith("DAGSTER_PASSWORD=")), "utf-8")
    run("make", "--file", str(file))
    after = values(file)
    assert after.pop("DAGSTER_PASSWORD") != before.pop("DAGSTER_PASSWORD")
    assert after == before


def test_a_new_signing_secret_brings_new_tokens(file: Path) -> None:
    before = values(file)
    assert run("make", "--file", str(file), "--renew", "JWT_SECRET").returncode == 0
    after = values(file)
    assert {name for name in after if after[name] != before[name]} == {"JWT_SECRET", "SERVICE_KEY", "ANON_KEY"}
    assert run("check", "--file", str(file)).returncode == 0


def test_the_tokens_are_what_a_client_and_doctor_take_for_a_service_key(file: Path) -> None:
    found = values(file)
    assert claims(found["SERVICE_KEY"])["role"] == "service_role"
    assert claims(found["ANON_KEY"])["role"] == "anon"
    for name in ("SERVICE_KEY", "ANON_KEY"):
        assert time.time() + 4 * 365 * 86_400 < float(str(claims(found[name])["exp"]))
    RpcTransport("http://127.0.0.1:8000", found["SERVICE_KEY"]).close()
    assert check(found["SERVICE_KEY"]).state == "ok"
    assert check(found["ANON_KEY"]).state == "error"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"REDIS_PASSWORD": "REPLACE_ME"}, "REDIS_PASSWORD still holds the placeholder"),
        ({"REDIS_PASSWORD": "replace_me-please-1234567"}, "REDIS_PASSWORD still holds the placeholder"),
        ({"MEMORY_GRAPH_PASSWORD": "REPLACE_ME"}, "MEMORY_GRAPH_PASSWORD still holds the placeholder"),
        ({"MEMORY_REDIS_URL": "redis://:REPLACE_ME@redis:6379/0"}, "MEMORY_REDIS_URL still holds the placeholder"),
        ({"GRAPH_PASSWORD": ""}, "GRAPH_PASSWORD is not set"),
        ({"POSTGRES_PASSWORD": "postgres"}, "POSTGRES_PASSWORD is shorter than 16"),
        ({"JWT_SECRET": "x" * 31}, "JWT_SECRET is shorter than 32"),
        ({"DAGSTER_PASSWORD": "abc/def@ghi:jklmnop"}, "DAGSTER_PASSWORD holds something other than"),
        ({"JWT_SECRET": "y" * 40}, "SERVICE_KEY was not signed with this JWT_SECRET"),
        ({"REDIS_PASSWORD": "z" * 24, "GRAPH_PASSWORD": "z" * 24}, "are the same"),
        ({"COMPOSE_PROFILES": "falkordb"}, "COMPOSE_PROFILES must name one graph"),
        ({"COMPOSE_PROFILES": "memgraph,neo4j"}, "COMPOSE_PROFILES must name one graph"),
        ({"SERVICE_KEY": "not-a-token-at-all"}, "SERVICE_KEY was not signed"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason_and_without_the_value(file: Path, change: dict[str, str], reason: str) -> None:
    done = run("check", **(values(file) | change))
    assert done.returncode == 1
    assert reason in done.stderr
    for value in change.values():
        assert len(value) < 20 or value not in done.stderr


def test_swapped_and_expired_tokens_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = values(file)
    swapped = run("check", **(found | {"SERVICE_KEY": found["ANON_KEY"], "ANON_KEY": found["SERVICE_KEY"]}))
    assert "SERVICE_KEY is not a token of the role service_role" in swapped.stderr
    monkeypatch.setattr(keys.module, "YEARS", -1)
    expired = keys.module.token("anon", found["JWT_SECRET"])
    assert "ANON_KEY has expired" in run("check", **(found | {"ANON_KEY": expired})).stderr


def test_a_file_needs_all_of_them_and_a_container_what_it_is_given(file: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.write_text(f"REDIS_PASSWORD={values(file)['REDIS_PASSWORD']}\nCOMPOSE_PROFILES=neo4j\n")
    assert run("check", "--file", str(few)).returncode == 1
    assert run("check", REDIS_PASSWORD=values(file)["REDIS_PASSWORD"]).returncode == 0
    absent = run("check", "--file", str(tmp_path / "absent"))
    assert absent.returncode == 1
    assert "keys.py make" in absent.stderr


def test_compose_refuses_what_is_missing(file: Path) -> None:
    """Docker's reader stops at `:?`; ours does the same, name by name."""
    services = compose.read()["services"]
    found = values(file)
    compose.filled(services, found)
    for name in (*NAMES, "COMPOSE_PROFILES"):
        with pytest.raises(KeyError, match=name):
            compose.filled(services, found | {name: ""})


def test_a_container_with_a_placeholder_does_not_start(file: Path, tmp_path: Path) -> None:
    here = tmp_path / "started"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def start(**changes: str) -> subprocess.CompletedProcess[str]:
        environment = {**values(file), "PATH": path, **changes}
        command = [str(ENTRYPOINT), "touch", str(here)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)

    refused = start(MEMORY_GRAPH_PASSWORD="REPLACE_ME")
    assert refused.returncode == 1
    assert "MEMORY_GRAPH_PASSWORD still holds the placeholder" in refused.stderr
    assert not here.exists()
    assert start().returncode == 0
    assert here.exists()


def test_the_entry_point_becomes_its_command() -> None:
    """So that a signal reaches the command, and not a shell in front of it."""
    command = [str(ENTRYPOINT), sys.executable, "-c", "import os; print(os.getpid())"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(command, env={"PATH": path}, stdout=subprocess.PIPE, text=True) as process:
        out, _ = process.communicate(timeout=30)
    assert int(out) == process.pid
