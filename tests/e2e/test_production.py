"""What docker-compose.yml starts, started: its commands and environments, on real engines. See `tests/production.py`."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import capabilities, engines, keys
from tests.production import Machine

pytestmark = pytest.mark.timeout(600)
PATIENCE = 120.0  # seconds
TICK_SECONDS = 25.0  # a sensor watches so long at most
TIMES = itertools.count(1)
RUNS = """{ runsOrError { ... on Runs { results { runId jobName status eventConnection { events { __typename } } } } }
  instance { runQueuingSupported runLauncher { name } daemonHealth { allDaemonStatuses { daemonType healthy required } } } }"""
ASK = """import json, sys, urllib.request
body = json.dumps({"query": sys.argv[1]}).encode()
asked = urllib.request.Request("http://127.0.0.1:3000/graphql", body, {"Content-Type": "application/json"})
print(urllib.request.urlopen(asked, timeout=20).read().decode())"""
CONNECT = """import psycopg, sys
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    print(*(row[0] for row in connection.execute(sys.argv[2])))"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """The whole of the file with Neo4j as the graph, but for PostgREST and its gateway; started once, in the file's order."""
    for capability in ("embedded", "neo4j", "namespaces"):
        capabilities.need(capability)
    folder = Path(tempfile.mkdtemp(prefix="memory-"))
    folder.chmod(0o755)
    keys.module.make(folder / "env", frozenset())
    # Run monitoring looks every 2 s here: a test does not wait for half a minute.
    shorter = {"poll_interval_seconds: 30": "poll_interval_seconds: 2"}
    machine = Machine(folder, keys.module.values((folder / "env").read_text()), shorter)
    try:
        machine.start_neo4j()
        machine.start_postgres()
        machine.start_redis()
        machine.healthy("redis")
        machine.once("postgres-setup")
        engines.until(lambda: "MEMORY_GRAPH_URL" in machine.log("neo4j").read_text(), "Neo4j is ready", 180)
        machine.once("migrate")
        machine.once("dagster-migrate")
        machine.start("code")
        machine.healthy("code")
        machine.start("dagster-daemon")
        machine.start("dagster-webserver")
        machine.healthy("dagster-webserver")
        yield machine
    finally:
        machine.close()
        shutil.rmtree(folder, ignore_errors=True)


def ask(machine: Machine) -> dict[str, Any]:
    """What the webserver knows of runs and daemons."""
    answer = machine.run(["python", "-c", ASK, RUNS], machine.environment("dagster-webserver")).stdout
    data: dict[str, Any] = json.loads(answer)["data"]
    return data


def runs(machine: Machine) -> list[dict[str, Any]]:
    """Every run, the newest first."""
    found: list[dict[str, Any]] = ask(machine)["runsOrError"]["results"]
    return found


def command(machine: Machine, *words: str) -> Any:
    """What `memory-pipelines … --json` says where the runs are executed."""
    return json.loads(machine.run(["memory-pipelines", *words, "--json"], machine.environment("code")).stdout)


def select(machine: Machine, role: str, statement: str, database: str = "postgres") -> str:
    """The first column of a statement's rows, as a role with the password that .env has for it."""
    password = machine.values[{"memory_service": "MEMORY_SERVICE_PASSWORD"}.get(role, f"{role.upper()}_PASSWORD")]
    url = f"postgresql://{role}:{password}@postgres:5432/{database}"
    return machine.run(["python", "-c", CONNECT, url, statement], machine.environment("code")).stdout.strip()


def under_way(machine: Machine) -> str:
    """Save until a drain of the graph is under way, which a single save's may have ended before anybody looks; the run's id."""
    held = "select count(*) from memory.heartbeats where projection = 'graph' and holder is not null"

    def found() -> str | None:
        command(machine, "save", f"Mara met Ben in Lisbon, for the {next(TIMES)}th time.", "--namespace", "mara")
        if select(machine, "postgres", held) != "1":
            return None
        return next((run["runId"] for run in runs(machine) if run["jobName"] == "sync_graph" and run["status"] == "STARTED"), None)

    return str(engines.until(found, "a drain of the graph is under way", 180))


def test_a_save_goes_through_the_queue_into_every_store(machine: Machine) -> None:
    command(machine, "save", "Mara moved to Porto in June.", "--namespace", "mara")
    engines.until(lambda: not any(command(machine, "status")["owed"].values()), "nothing is owed", 180)
    assert command(machine, "audit", "--deep")["clean"]
    assert command(machine, "related", "Mara", "--namespace", "mara")["neighbours"]

    known = ask(machine)
    assert known["instance"]["runQueuingSupported"]
    assert known["instance"]["runLauncher"]["name"] == "CodeServerRunLauncher"
    done = [run for run in known["runsOrError"]["results"] if run["status"] == "SUCCESS"]
    assert {run["jobName"] for run in done} >= {"sync_entities", "sync_embeddings"}
    for run in done:
        events = [event["__typename"] for event in run["eventConnection"]["events"]]
        assert events.index("RunEnqueuedEvent") < events.index("RunStartingEvent") < events.index("RunStartEvent")
    machine.healthy("dagster-daemon")
    assert [
        daemon for daemon in ask(machine)["instance"]["daemonHealth"]["allDaemonStatuses"] if daemon["required"] and not daemon["healthy"]
    ] == []
    assert (machine.folder / "data" / "logs").is_dir()  # what runs print is where the webserver looks for it


def test_each_role_may_do_what_it_is_for_and_nothing_else(machine: Machine) -> None:
    assert select(machine, "memory_service", "select (public.memory_health_v1('{}') ->> 'version') is not null") == "True"
    for role in ("memory_service", "dagster"):
        with pytest.raises(AssertionError, match="permission denied"):
            select(machine, role, "select count(*) from memory.memories")
        with pytest.raises(AssertionError, match="permission denied"):
            select(machine, role, "create table public.mine (id int)")
    with pytest.raises(AssertionError, match="permission denied"):
        select(machine, "dagster", "select public.memory_health_v1('{}')")
    with pytest.raises(AssertionError, match="permission denied"):
        select(machine, "memory_service", "select 1", database="dagster")
    with pytest.raises(AssertionError, match="permission denied"):
        select(machine, "authenticator", "select public.memory_health_v1('{}')")
    assert select(machine, "authenticator", "select pg_has_role('service_role', 'set')") == "True"


def test_what_is_stopped_releases_its_batch_and_what_was_killed_is_missed(machine: Machine) -> None:
    stopped = under_way(machine)
    machine.stop("code", seconds=PATIENCE)
    held = "select count(*) from memory.heartbeats where holder is not null"
    assert select(machine, "postgres", held) == "0"  # nobody waits for a lease to run out
    machine.start("code")
    machine.healthy("code")
    ended = lambda: [run for run in runs(machine) if run["runId"] == stopped and run["status"] not in {"STARTED", "CANCELING"}]  # noqa: E731
    engines.until(ended, "the run that was interrupted has ended", 120)

    killed = under_way(machine)
    assert killed != stopped
    machine.stop("code", signal.SIGKILL)
    machine.start("code")
    machine.healthy("code")
    failed = lambda: [run for run in runs(machine) if run["runId"] == killed and run["status"] == "FAILURE"]  # noqa: E731
    engines.until(failed, "run monitoring misses the run that went down with the code server", 120)
    engines.until(lambda: not any(command(machine, "status")["owed"].values()), "nothing is owed", 180)
    assert command(machine, "audit", "--deep")["clean"]


def test_the_passwords_of_the_file_are_those_that_count_after_each_start(machine: Machine) -> None:
    setting = machine.services["postgres-setup"]["environment"]
    before = machine.values["MEMORY_SERVICE_PASSWORD"], setting["MEMORY_SERVICE_PASSWORD"]
    machine.values["MEMORY_SERVICE_PASSWORD"] = "x" * 32
    with pytest.raises(AssertionError, match="password authentication failed"):
        select(machine, "memory_service", "select 1")
    setting["MEMORY_SERVICE_PASSWORD"] = "x" * 32
    machine.once("postgres-setup")
    assert select(machine, "memory_service", "select 1") == "1"
    machine.values["MEMORY_SERVICE_PASSWORD"], setting["MEMORY_SERVICE_PASSWORD"] = before  # which the services that run know
    machine.once("postgres-setup")
    assert select(machine, "memory_service", "select 1") == "1"


@pytest.mark.parametrize("service", ["dagster-webserver", "code", "dagster-daemon"])
def test_a_service_ends_in_the_time_that_the_file_gives_it(machine: Machine, service: str) -> None:
    """On one signal. The daemon may be killed before: it waits for its sensors, and holds no work. But it ends with their tick."""
    if service not in machine.processes:
        machine.start(service)
        machine.healthy(service)
    seconds = TICK_SECONDS + 15.0 if service == "dagster-daemon" else machine.grace(service)
    try:
        machine.stop(service, seconds=seconds)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{service} did not end: {machine.log(service).read_text()[-2000:]}")
