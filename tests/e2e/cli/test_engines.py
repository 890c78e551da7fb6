"""`status`, `sync`, `audit`, the engines, and the main job: `demo` and `dev`."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.command import COMMAND, Cli, Warm, environment, runner, space
from tests.engines import graph_server, settings_for, until
from tests.redis_servers import free_port


def test_status_sync_and_audit(cli: Cli, home: Path) -> None:
    name = space()
    memory_id = cli("save", "Clara plays the cello.", "-n", name, "--entity", "Clara:person", "--json").json["id"]
    owed = cli("status", "--json")
    assert owed.code == 0, owed.out
    facts = {"home", "owed", "oldest_owed_seconds", "parked", "dropped", "dead_events", "engines", "breakers", "projections"}
    assert set(owed.json) == facts
    assert set(owed.json["owed"]) == {"entities", "embeddings", "graph"}
    assert owed.json["owed"]["graph"] > 0
    assert owed.json["oldest_owed_seconds"] >= 0
    assert {engine: facts["ok"] for engine, facts in owed.json["engines"].items()} == {"postgres": True, "redis": True, "graph": True}

    done = cli("sync", "--json")
    assert done.code == 0, done.err
    assert [item["projection"] for item in done.json["projections"]] == ["entities", "embeddings", "graph"]
    assert set(cli("status", "--json").json["owed"].values()) == {0}
    assert cli("sync", "graph", "--json").json["projections"][0]["owed"] == 0

    clean = cli("audit", "--json")
    assert clean.code == 0, clean.out
    assert set(clean.json) == {
        "clean", "mode", "checked", "pending", "findings", "seconds", "counts", "more", "bytes", "paused_seconds", "resumed",
        "started_at", "at",
    }  # fmt: skip
    assert clean.json["bytes"] > 100
    assert (clean.json["clean"], clean.json["mode"], clean.json["findings"], clean.json["pending"]) == (True, "quick", [], 0)
    assert clean.json["checked"]["memory"] > 0
    assert cli("audit", "--deep", "--json").json["mode"] == "deep"

    graph_server(settings_for(home)).run("MATCH (m:Memory {id: $id}) DETACH DELETE m", {"id": memory_id}, write=True)
    differs = cli("audit", "--json")
    assert (differs.code, differs.json["clean"]) == (3, False)
    assert {(item["kind"], item["store"], item["subject"], item["id"]) for item in differs.json["findings"]} >= {
        ("settled_absent", "graph", "memory", memory_id)
    }
    told = cli("audit", "--deep")
    assert told.code == 3
    assert "in the record, settled by the ledger, but not here" in told.out
    listed = cli("audit", "--history", "--json").json["verdicts"]
    assert [(one["mode"], one["clean"]) for one in listed[:3]] == [("deep", False), ("quick", False), ("deep", True)]
    assert "settled_absent" in cli("audit", "--history").out
    explained = cli("explain", memory_id, "--json").json
    assert (explained["kind"], explained["stores"]["graph"]) == ("memory", [])
    assert explained["finding"]["findings"][0]["kind"] == "settled_absent"
    assert "named by an audit" in cli("explain", memory_id).out
    assert cli("audit", "--incremental", "--json").json["mode"] == "incremental"
    repaired = cli("audit", "--repair", "--json")
    assert (repaired.code, repaired.json["clean"]) == (0, True)
    assert "Clean" in cli("audit", "--deep").out


def test_engines_and_schema(fresh: Cli, fresh_home: Path) -> None:
    home = str(fresh_home)
    assert fresh("down", "--json").json == {"home": home, "stopped": []}
    started = fresh("up", "--json").json
    assert started["home"] == home
    assert set(started["engines"]) == {"postgres", "redis", "graph"}
    assert all(set(engine) == {"running", "pid", "address"} and engine["running"] for engine in started["engines"].values())
    assert fresh("up", "--json").json == started
    migrated = fresh("migrate", "--json").json
    assert set(migrated) == {"applied", "version", "functions", "end_user_reads"}
    assert migrated["version"] >= 1
    assert fresh("migrate", "--json").json == {**migrated, "applied": [], "functions": False}
    fresh("save", "It stays.", "-k", "k")
    assert set(fresh("down", "--json").json["stopped"]) == {"postgres", "redis", "graph"}
    assert fresh("get", "-k", "k", "--json").json["text"] == "It stays."


@pytest.mark.timeout(400)
def test_the_demo_and_the_demo_again(fresh: Cli, fresh_home: Path) -> None:
    first = fresh("demo", "--json")
    assert first.code == 0, first.out + first.err
    told = first.json
    assert told["clean"] is True
    assert told["import"]["imported"] > 100
    assert [run["job"] for run in told["runs"]][:3] == ["sync_entities", "sync_embeddings", "sync_graph"]
    assert all(run["success"] for run in told["runs"])
    assert [(found["mode"], found["clean"]) for found in told["audits"]] == [("quick", True), ("deep", True)]
    assert [question["place"] for question in told["questions"]] == [1, 1, 1]
    assert all(row["equal"] and row["record"] > 0 for row in told["stores"])
    assert fresh("down", "--json").json["stopped"] == []  # it left nothing running
    again = fresh("demo")
    assert again.code == 0, again.out + again.err
    assert "131 unchanged" in again.out
    assert "Traceback" not in again.err
    assert (fresh_home / "dagster" / "history").is_dir()


def test_doctor(fresh: Cli, tmp_path: Path) -> None:
    asleep = fresh("doctor", "--json")
    assert (asleep.code, asleep.json["ok"]) == (0, True)
    assert {check["state"] for check in asleep.json["checks"] if check["check"].endswith(".connection")} == {"warning"}
    assert not (tmp_path / "home").exists()
    wrong = fresh("doctor", "--json", MEMORY_GRAPH_URL="bolt://127.0.0.1:1", MEMORY_SUPABASE_KEY="sb_publishable_hunter2")
    assert (wrong.code, wrong.json["ok"]) == (1, False)
    found = {check["check"]: check for check in wrong.json["checks"] if check["state"] == "error"}
    assert set(found) == {"graph.connection", "supabase.key"}
    assert all(set(check) == {"check", "state", "seen", "fix"} and check["fix"] for check in found.values())
    told = fresh("doctor", MEMORY_GRAPH_URL="bolt://127.0.0.1:1")
    assert told.code == 1
    assert "did not answer" in told.out
    assert "1 errors" in told.out


@pytest.mark.timeout(400)
def test_dev_starts_and_stops_everything(fresh: Cli, fresh_home: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.listen()
        busy = fresh("dev", "--port", str(port), "--json")
        assert (busy.code, busy.error["code"]) == (1, "port_busy")
        assert "--port" in busy.error["message"]
    home = fresh_home
    command = [*COMMAND, "dev", "--port", str(port), "--json"]
    with subprocess.Popen(command, env=environment(home), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as dev:
        assert dev.stdout is not None
        document = "".join(iter(dev.stdout.readline, "}\n")) + "}"
        assert json.loads(document)["url"] == f"http://127.0.0.1:{port}"
        family = psutil.Process(dev.pid).children(recursive=True)
        assert any("dagster" in " ".join(process.cmdline()) for process in family)
        began = time.monotonic()
        dev.send_signal(signal.SIGTERM)
        _, err = dev.communicate(timeout=120)
        assert time.monotonic() - began < 10, err
    assert dev.returncode == 0, err
    assert [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []
    assert fresh("down", "--json").json["stopped"] == []


def test_a_repair_is_planned_then_applied(cli: Cli, home: Path, tmp_path: Path) -> None:
    name, file = space(), tmp_path / "plan.json"
    memory_id = cli("save", "Clara plays the oboe.", "-n", name, "--entity", "Clara:person", "--json").json["id"]
    cli("sync")
    graph_server(settings_for(home)).run("MATCH (m:Memory {id: $id}) DETACH DELETE m", {"id": memory_id}, write=True)
    planned = cli("repair", "--plan", file)
    assert planned.code == 0, planned.err
    assert "owe graph memory" in planned.out
    written = json.loads(file.read_text())
    assert memory_id in {row["id"] for row in written["rows"]}
    assert "oboe" not in file.read_text()
    assert cli("audit", "--json").code == 3, "a plan repairs nothing"
    last = cli("repair", "--plan", "--last", "--json")
    assert (last.code, last.json["format"]) == (0, "memory-pipelines/repair-plan")
    applied = cli("repair", "--apply", file, "--json")
    assert applied.code == 0, applied.err
    assert (applied.json["clean"], applied.json["findings"]) == (True, [])
    assert "Clean" in cli("repair", "--apply", "-", stdin=file.read_text()).out
    assert "Nothing to repair" in cli("repair", "--plan").out


def test_a_plan_that_is_none_and_a_repair_that_is_neither(cli: Cli, tmp_path: Path) -> None:
    assert cli("repair", "--json").code == 2
    assert cli("repair", "--plan", "--apply", "x", "--json").code == 2
    assert cli("repair", "--apply", tmp_path / "missing.json", "--json").error["code"] == "file_unreadable"
    (tmp_path / "bad.json").write_text('{"format": "memory-pipelines/repair-plan", "format_version": 9}')
    assert cli("repair", "--apply", tmp_path / "bad.json", "--json").error["code"] == "plan_version_unknown"
    (tmp_path / "bad.json").write_text("no json")
    assert cli("repair", "--apply", tmp_path / "bad.json", "--json").error["code"] == "plan_invalid"
    assert cli("repair", "--plan", tmp_path / "no" / "where.json", "--json").error["code"] == "file_unwritable"


def test_a_policy_is_set_and_listed(cli: Cli) -> None:
    name = space()
    cli("save", "A note.", "-n", name)
    assert {"namespace": name, "outside_edits": "record-wins"} in cli("policy", "list", "--json").json["policies"]
    assert cli("policy", "set", name, "adopt", "--json").json == {"namespace": name, "outside_edits": "adopt"}
    assert {"namespace": name, "outside_edits": "adopt"} in cli("policy", "list", "--json").json["policies"]
    assert cli("policy", "set", name, "graph-wins", "--json").code == 2
    assert cli("policy", "set", f"{name}-not", "adopt", "--json").error["code"] == "namespace_unknown"


def test_a_second_dev_and_down_say_who_runs(fresh: Cli, fresh_home: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [*COMMAND, "dev", "--port", str(port), "--json"]
    with subprocess.Popen(command, env=environment(fresh_home), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dev:
        try:
            until((fresh_home / "dagster" / "dev.json").exists, "the first says that it runs", 60)
            for second in (fresh("dev", "--port", str(free_port()), "--json"), fresh("down", "--json")):
                assert (second.code, second.error["code"], second.error["detail"]["pid"]) == (1, "dev_runs", dev.pid)
                assert f"http://127.0.0.1:{port}" in second.error["message"]
        finally:
            dev.send_signal(signal.SIGTERM)
            dev.communicate(timeout=120)
    assert fresh("down").code == 0


@pytest.mark.parametrize("command", ["up", "save", "status", "dev", "demo"])
@pytest.mark.parametrize("kind", ["a file", "below a file", "another's"])
def test_a_home_that_cannot_be_one_is_named(warm: Warm, tmp_path: Path, command: str, kind: str) -> None:
    file = tmp_path / "file"
    file.touch()
    home = {"a file": file, "below a file": file / "home", "another's": Path("/proc/nobody")}[kind]
    given = {"save": ["x"], "dev": ["--port", str(free_port())]}.get(command, [])
    ran = runner(warm, home, tmp_path)(command, *given, "--json")
    assert (ran.code, ran.error["code"]) == (1, "engine_folder")
    assert "MEMORY_HOME" in ran.error["message"]
