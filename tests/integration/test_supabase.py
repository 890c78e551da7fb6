"""The whole path with the record behind REST: what the client, the sync, the audit and the command line do there.

The record's port is held against both transports in `tests/contract`; here is what only REST has: keys, a server that
is none, and everything above the port working without an address of the database.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import as_file
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from pydantic import SecretStr

from memory_pipelines import MemoryClient, Settings, embedded, wiring
from memory_pipelines.domain.errors import ConfigurationError, Gone, Unavailable
from memory_pipelines.domain.models import PROJECTIONS
from memory_pipelines.samples import ASSISTANT
from memory_pipelines.services.platform import Platform
from memory_pipelines.stores.postgres.migrate import migrate
from memory_pipelines.stores.postgres.rpc_transport import RpcTransport
from tests import engines
from tests.supabase_server import Supabase


@pytest.fixture
def rest(platform: Platform, rest_settings: Settings, supabase: Supabase) -> Iterator[MemoryClient]:
    """A client that knows no address of the database, on emptied engines."""
    del platform  # it emptied them
    migrate(supabase.database_url)
    with MemoryClient.from_env(rest_settings) as client:
        yield client


def test_the_whole_path(rest: MemoryClient, tmp_path: Path) -> None:
    with as_file(ASSISTANT) as path:
        imported = rest.import_file(path)
        again = rest.import_file(path)
    assert (imported.imported > 100, imported.rejected, again.imported, again.rejected) == (True, 0, 0, 0)
    saved = rest.save("Ada Lovelace met Charles Babbage in London.", namespace="ada", key="met")
    drained = rest.sync()
    assert [result.owed for result in drained] == [0] * len(PROJECTIONS)
    for deep in (False, True):
        verdict = rest.audit(deep=deep)
        assert (verdict.findings, verdict.pending) == ((), 0)
    assert rest.search("who met Babbage?", namespace="ada")[0].id == saved.id
    assert {neighbour.name for neighbour in rest.related("Ada Lovelace", namespace="ada").neighbours} >= {"Charles Babbage"}
    assert rest.update(saved.id, text="Ada Lovelace wrote to Charles Babbage.", wait="all").version == 2
    assert rest.export_file(tmp_path / "all.jsonl", namespace="ada") == 1
    rest.forget(key="met", namespace="ada", wait="all")
    with pytest.raises(Gone):
        rest.get(saved.id)
    assert rest.search("who met Babbage?", namespace="ada") == ()
    assert rest.audit(deep=True).findings == ()
    status = rest.status()
    assert status.engines["postgres"]["ok"]
    assert status.engines["postgres"]["address"].startswith("127.0.0.1:")


def test_nothing_is_cut_at_a_thousand_rows(rest: MemoryClient) -> None:
    results = rest.save_many({"text": f"Note {n}.", "key": f"k{n}"} for n in range(2300))
    assert len({result.id for result in results}) == 2300
    listed, cursor = [], None
    while True:
        page = rest.list(limit=1000, cursor=cursor)
        listed += [memory.key for memory in page]
        if (cursor := page.cursor) is None:
            break
    assert sorted(listed) == sorted(f"k{n}" for n in range(2300))
    rest.sync("graph")
    assert rest.audit(deep=True, repair=False).checked["memory"] >= 2300
    assert rest.forget(namespace="default").forgotten == 2300


def test_vectors_that_no_call_could_carry_go_with_several(rest: MemoryClient) -> None:
    """1,500 vectors of 256 numbers: more than two calls' worth, of memories with one and with many passages."""
    rest.save_many({"text": " ".join(f"On day {n} of year {m} the heron stood at the mill." for n in range(40))} for m in range(200))
    rest.save("A short one.")
    done = rest.sync("embeddings")[0]
    assert (done.done, done.failed, done.owed) == (201, 0, 0)
    assert rest.status().counts["embeddings"] > 1000
    assert [found for found in rest.audit(deep=True).findings if found.store == "embeddings"] == []


def test_no_postgres_is_started_for_it(rest_settings: Settings, tmp_path: Path) -> None:
    elsewhere = rest_settings.model_copy(update={"home": tmp_path / "home"})
    assert wiring.embedded_engines(elsewhere) == ("redis", "graph")
    platform = wiring.open_platform(elsewhere)
    try:
        platform.record.health()
        assert not any(engine.running for engine in embedded.status(elsewhere.home_path).values())
        with pytest.raises(ConfigurationError) as error:
            wiring.database_url(elsewhere)
        assert error.value.code == "database_url_missing"
    finally:
        platform.close()


def test_a_drain_over_rest_and_a_direct_one_exclude_each_other(rest: MemoryClient, client: MemoryClient) -> None:
    rest.save("One.")
    direct, over_rest = client._platform.record, rest._platform.record
    assert direct.begin_drain("graph", "direct", lease_seconds=30)
    assert not over_rest.begin_drain("graph", "rest", lease_seconds=30)
    direct.end_drain("graph", "direct")
    assert rest.sync("graph")[0].done == 1
    assert client.audit().findings == ()


def test_the_command_line(rest: MemoryClient, rest_settings: Settings, supabase: Supabase, tmp_path: Path) -> None:
    """The demo runs, a second time in a record that holds it already; a migration says what it would need."""
    del rest
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEMORY_", "DAGSTER_", "OPENAI_"))}
    named = {"MEMORY_SUPABASE_URL": supabase.url, "MEMORY_SUPABASE_KEY": supabase.secret_key, "MEMORY_HOME": str(rest_settings.home_path)}

    def run(*arguments: str, **more: str) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-m", "memory_pipelines.entrypoints.cli", *arguments, "--json"]
        done = subprocess.run(
            command, cwd=tmp_path, env={**kept, **named, **more}, capture_output=True, text=True, timeout=120, check=False
        )
        assert supabase.secret_key not in done.stdout + done.stderr
        return done.returncode, json.loads(done.stdout)

    code, told = run("demo")
    assert (code, told["engines"], told["clean"]) == (0, ["redis", "graph"], True)
    code, refused = run("migrate")
    assert (code, refused["error"]["code"]) == (1, "database_url_missing")
    code, migrated = run("migrate", MEMORY_DATABASE_URL=supabase.database_url)
    assert (code, migrated["applied"]) == (0, [])


# -- keys ----------------------------------------------------------------------------------------------------------------


def token_of(role: str) -> str:
    """A key of the older form, as far as anybody can tell without the secret."""
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "HS256"}, {"role": role}, 1)
    )


@pytest.mark.parametrize("key", ["sb_publishable_hunter2", token_of("anon"), token_of("authenticated"), "hunter2\n", "schlüssel", ""])
def test_a_key_that_cannot_be_the_service_key_is_told_at_once(key: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        RpcTransport("http://127.0.0.1:1", key)
    assert error.value.code == "wrong_key"
    assert not key.strip() or key.strip() not in str(error.value.as_dict())


def test_the_publishable_key_is_refused_by_the_client(rest_settings: Settings, supabase: Supabase) -> None:
    visitor = rest_settings.model_copy(update={"supabase_key": SecretStr(supabase.publishable_key)})
    with MemoryClient.from_env(visitor) as client, pytest.raises(ConfigurationError) as error:
        client.list()
    assert error.value.code == "wrong_key"


def test_a_key_of_another_project_is_refused(supabase: Supabase) -> None:
    transport = RpcTransport(supabase.url, "sb_secret_of_somebody_else")
    with pytest.raises(ConfigurationError) as error:
        transport.call("memory_namespaces_v1", {})
    transport.close()
    assert error.value.code == "permission_denied"
    assert "somebody_else" not in str(error.value.as_dict())


def test_the_key_is_in_no_log_and_no_repr(supabase: Supabase, rest_settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    transport = RpcTransport(supabase.url, supabase.secret_key)
    transport.call("memory_health_v1", {})
    with pytest.raises(ConfigurationError) as missing:
        transport.call("memory_nothing_v9", {})
    transport.close()
    with pytest.raises(Unavailable) as closed:
        transport.call("memory_health_v1", {})
    shown = f"{caplog.text} {transport!r} {missing.value!r} {missing.value.__cause__!r} {closed.value!r} {rest_settings!r}"
    assert "rpc/memory_health_v1" in caplog.text  # something was logged
    assert supabase.secret_key not in shown


@pytest.mark.parametrize(
    "changes",
    [{"supabase_url": "http://127.0.0.1:1"}, {"supabase_key": SecretStr("sb_secret_x")}],
    ids=["address without key", "key without address"],
)
def test_address_and_key_go_together(settings: Settings, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError) as error:
        wiring.open_platform(settings.model_copy(update=changes))
    assert error.value.code == "config_invalid"


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(ConfigurationError) as error:
        RpcTransport("postgresql://127.0.0.1/x", "sb_secret_x")
    assert error.value.code == "config_invalid"


# -- what may stand in the way -------------------------------------------------------------------------------------------


@contextmanager
def something_else(status: int, body: str, kind: str = "text/html", hang: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A server that is no Supabase and always says the same. Gives its address and the paths that were asked."""
    asked: list[str] = []
    over = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            if hang:
                over.wait(20)
                return
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "tries"),
    [
        (200, "<h1>Sign in</h1>", "text/html", "record_unavailable", 5),
        (302, "", "text/html", "record_error", 1),
        (404, '{"message":"no Route matched"}', "application/json", "config_invalid", 1),
        (403, "<h1>Forbidden</h1>", "text/html", "permission_denied", 1),
        (401, '{"message":"JWT expired","code":"PGRST303"}', "application/json", "permission_denied", 1),
        (429, "", "text/plain", "record_unavailable", 5),
        (502, "<h1>Bad gateway</h1>", "text/html", "record_unavailable", 5),
        (503, '{"code":"PGRST002","message":"no schema cache"}', "application/json", "record_unavailable", 5),
        (500, '{"code":"40001","message":"could not serialize"}', "application/json", "record_unavailable", 5),
        (500, '{"code":"57014","message":"statement timeout"}', "application/json", "record_unavailable", 1),
        (404, '{"code":"PGRST202","message":"no function"}', "application/json", "schema_outdated", 1),
        (400, '{"code":"22007","message":"invalid timestamp"}', "application/json", "value_invalid", 1),
        (500, '{"code":"XX000","message":"bug"}', "application/json", "record_error", 1),
    ],
)
def test_whatever_answers_becomes_an_error_of_ours(status: int, body: str, kind: str, code: str, tries: int) -> None:
    """Statuses and codes as PostgREST documents them, and what gateways say on the way."""
    with something_else(status, body, kind) as (url, asked):
        transport = RpcTransport(url, "sb_secret_x")
        with pytest.raises(Exception, match=r".") as error:
            transport.call("memory_namespaces_v1", {})
        transport.close()
    assert (getattr(error.value, "code", None), len(asked)) == (code, tries)
    assert set(asked) == {"/rest/v1/rpc/memory_namespaces_v1"}


def test_an_answer_that_never_comes_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memory_pipelines.stores.postgres.rpc_transport._ANSWER_SECONDS", 0.3)
    with something_else(200, "", hang=True) as (url, asked):
        transport = RpcTransport(url, "sb_secret_x")
        started = time.monotonic()
        with pytest.raises(Unavailable):
            transport.call("memory_namespaces_v1", {})
        assert time.monotonic() - started < 2
        assert len(asked) == 1
        transport.close()


def test_a_server_that_restarts_is_found_again(platform: Platform, supabase: Supabase) -> None:
    """Its connections to Postgres are cut while many calls are under way: each ends well, or says that it may be made again."""
    platform.record.namespaces()
    transport = RpcTransport(supabase.url, supabase.secret_key)
    with engines.connect(platform.settings) as connection:

        def cut() -> list[str]:
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'postgres.js'")
            return []

        def call() -> object:
            try:
                return transport.call("memory_namespaces_v1", {})
            except Unavailable:  # the light server itself may die of it; then it is started again
                return None

        assert all(answer in ([], None) for answer in engines.at_once(*[call] * 10, cut))
        engines.until(lambda: call() == [], "the server is found again", 20)
    transport.close()


def test_doctor_looks_over_rest_and_knows_a_publishable_key(rest_settings: Settings, supabase: Supabase, platform: Platform) -> None:
    del platform  # it emptied them
    migrate(supabase.database_url)
    states = {check.name: check.state for check in wiring.diagnose(rest_settings)}
    assert (states["supabase.key"], states["postgres.server"]) == ("ok", "ok")
    public = rest_settings.model_copy(update={"supabase_key": SecretStr(supabase.publishable_key)})
    found = {check.name: check for check in wiring.diagnose(public)}
    assert (found["supabase.key"].state, found["postgres.connection"].state) == ("error", "error")
    assert all(check.fix and supabase.publishable_key not in check.seen for check in (found["supabase.key"], found["postgres.connection"]))
