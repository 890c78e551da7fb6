"""What an end user's own token may read: nothing, until the owner opts in; then one namespace, and never write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.services.platform import Platform
from memory_pipelines.stores.postgres.migrate import migrate
from memory_pipelines.wiring import database_url
from tests import engines, supabase_server
from tests.supabase_server import Supabase

READS = ["memory_read_get_v1", "memory_read_history_v1", "memory_read_list_v1", "memory_read_search_v1"]
CALLABLE = "select proname::text from pg_proc where pronamespace = 'public'::regnamespace and proname ~ '^memory_' order by 1"
TABLES = "select tablename::text from pg_tables where schemaname = 'memory' order by 1"
READABLE = ["embeddings", "generations", "history", "memories", "namespaces", "passages"]


@pytest.fixture
def url(client: MemoryClient, settings: Settings) -> Iterator[str]:
    """A record with something of two users, and of nobody."""
    for name in ("ada", "ben"):
        client.save(f"The word of {name} is heron.", namespace=name, key="word", entities=[{"name": "Heron"}])
        client.update(client.get(key="word", namespace=name).id, text=f"The word of {name} is kestrel.")
        client.save("A short-lived one.", namespace=name, key="gone")
        client.forget(key="gone", namespace=name)
    client.sync()
    address = database_url(settings)
    yield address
    migrate(address, end_user_reads=False)


@pytest.fixture
def server(url: str, supabase: Supabase) -> Iterator[Callable[[], Supabase]]:
    """Starts another light server, which then knows the functions that there are."""
    del supabase  # it can be had here
    running = []

    def start() -> Supabase:
        running.append(supabase_server.running(url))
        return running[-1].__enter__()

    yield start
    for one in running:
        one.__exit__(None, None, None)


def names(connection: psycopg.Connection[Any], query: str) -> list[str]:
    return [name for (name,) in connection.execute(query)]


def read(connection: psycopg.Connection[Any], function: str, request: dict[str, Any], claims: dict[str, Any] | None) -> Any:
    """One call in SQL, as PostgREST makes it: the role and the claims set for its transaction."""
    with connection.transaction():
        connection.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps(claims) if claims is not None else ""])
        connection.execute("set local role authenticated")
        row = connection.execute(f"select public.{function}(%s)", [json.dumps(request)]).fetchone()
    return row[0] if row else None


def refused(connection: psycopg.Connection[Any], function: str, request: dict[str, Any], claims: dict[str, Any] | None) -> str:
    """SQLSTATE of a call that must fail."""
    with pytest.raises(psycopg.Error) as error:
        read(connection, function, request, claims)
    return str(error.value.sqlstate)


def test_without_opting_in_nothing_can_be_read(url: str, settings: Settings, supabase: Supabase) -> None:
    assert not migrate(url).end_user_reads
    token = supabase.token(namespace="ada")
    with engines.connect(settings) as connection:
        assert [name for name in names(connection, CALLABLE) if "read" in name] == []
        functions = names(connection, CALLABLE)
        assert len(functions) > 30
        for name in names(connection, TABLES):
            for role in ("anon", "authenticated"):
                connection.execute(f"set role {role}")
                with pytest.raises(errors.InsufficientPrivilege):
                    connection.execute(f"select from memory.{name}")
                connection.execute("reset role")
    request = {"input": json.dumps({"namespace": "ada", "key": "word", "query": "word", "limit": 10, "exact": 100})}
    for name in functions:
        arguments = request | ({"vectors": "{}"} if name == "memory_store_vectors_v1" else {})
        for whose in (None, token):
            status, body = supabase.post(f"rpc/{name}", arguments, key=supabase.publishable_key, token=whose)
            assert (status in {401, 403}, body["code"]) == (True, "42501"), name
    for name in READS:
        assert supabase.post(f"rpc/{name}", request, key=supabase.publishable_key, token=token)[0] >= 400
    for name in ("memories", "settings"):
        assert supabase.post(name, {}, key=supabase.publishable_key, token=token)[0] >= 400
    assert supabase.post("rpc/memory_get_v1", request, key=supabase.secret_key)[0] == 200


def test_a_token_reads_its_own_namespace_over_rest_and_no_other(url: str, server: Callable[[], Supabase], client: MemoryClient) -> None:
    assert migrate(url, end_user_reads=True).end_user_reads
    supabase = server()
    bens = client.get(key="word", namespace="ben")

    def call(name: str, request: dict[str, Any], **claims: Any) -> tuple[int, Any]:
        token = supabase.token(**claims)
        return supabase.post(f"rpc/memory_read_{name}_v1", {"input": json.dumps(request)}, key=supabase.publishable_key, token=token)

    for ada in ({"namespace": "ada"}, {"app_metadata": {"namespace": "ada"}}):
        status, listed = call("list", {}, **ada)
        assert (status, [row["text"] for row in listed]) == (200, ["The word of ada is kestrel."])
        assert call("get", {"key": "word"}, **ada)[1]["text"] == "The word of ada is kestrel."
        assert [row["text"] for row in call("history", {"id": listed[0]["id"]}, **ada)[1]] == [
            "The word of ada is heron.", "The word of ada is kestrel.",
        ]  # fmt: skip
        assert [row["namespace"] for row in call("search", {"query": "kestrel word"}, **ada)[1]] == ["ada"]
        for name in ("get", "history"):
            status, body = call(name, {"id": bens.id}, **ada)
            assert (status, json.loads(body["details"])["code"]) == (404, "memory_unknown")
        for name in ("get", "list", "search", "history"):
            status, body = call(name, {"namespace": "ben", "key": "word", "query": "kestrel", "id": bens.id}, **ada)
            assert (status, json.loads(body["details"])["code"]) == (404, "namespace_unknown")
    for nobody in ({}, {"user_metadata": {"namespace": "ada"}}, {"namespace": None}):
        status, body = call("list", {}, **nobody)
        assert (status, json.loads(body["details"])["code"]) == (403, "claim_missing")
    assert call("list", {}, namespace="nobody's")[1] == []
    request = {"input": "{}"}
    assert supabase.post("rpc/memory_read_list_v1", request, key=supabase.publishable_key)[0] == 401  # a visitor without a token
    for closed in ("memory_list_v1", "memory_save_v1", "memory_forget_v1"):
        assert supabase.post(f"rpc/{closed}", request, key=supabase.publishable_key, token=supabase.token(namespace="ada"))[0] == 403


def test_row_level_security_shows_a_token_its_own_rows_and_lets_it_write_none(url: str, settings: Settings) -> None:
    migrate(url, end_user_reads=True)
    with engines.connect(settings) as connection:
        shown: dict[str, int] = {}
        for name in names(connection, TABLES):
            with connection.transaction():
                connection.execute("""select set_config('request.jwt.claims', '{"namespace": "ada"}', true)""")
                connection.execute("set local role authenticated")
                if connection.execute("select has_table_privilege(%s, 'select')", [f"memory.{name}"]).fetchone() == (True,):
                    shown[name] = len(connection.execute(f"select * from memory.{name}").fetchall())
                for statement in ("delete from memory.{}", "insert into memory.{} default values"):
                    with pytest.raises(errors.InsufficientPrivilege), connection.transaction():
                        connection.execute(statement.format(name))
        assert sorted(shown) == READABLE
        assert shown == {"embeddings": 1, "generations": 1, "history": 2, "memories": 2, "namespaces": 1, "passages": 1}
        with connection.transaction():  # without a claim, no row of anybody
            connection.execute("set local role authenticated")
            for name in ("memories", "passages", "embeddings", "history", "namespaces"):
                assert connection.execute(f"select count(*) from memory.{name}").fetchone() == (0,)
        assert {row["namespace"] for row in read(connection, "memory_read_search_v1", {"query": "kestrel"}, {"namespace": "ben"})} == {
            "ben"
        }
        vector = "[" + ",".join(["0.0625"] * 256) + "]"
        hits = read(connection, "memory_read_search_v1", {"query": "kestrel", "vector": vector, "exact": 0}, {"namespace": "ben"})
        assert {row["namespace"] for row in hits} == {"ben"}
        assert refused(connection, "memory_read_list_v1", {}, None) == "PT403"


def test_opting_in_lasts_through_migrations_until_it_is_taken_back(url: str, settings: Settings, platform: Platform) -> None:
    del platform
    assert migrate(url, end_user_reads=True).end_user_reads
    with engines.connect(settings) as connection:
        connection.execute("update memory.settings set value = 'of an older release' where name = 'functions'")
        again = migrate(url)
        assert (again.functions, again.end_user_reads) == (True, True)
        assert read(connection, "memory_read_get_v1", {"key": "word"}, {"namespace": "ada"})["key"] == "word"
        assert refused(connection, "memory_get_v1", {"key": "word", "namespace": "ada"}, {"namespace": "ada"}) == "42501"
        assert migrate(url) == migrate(url)
        assert not migrate(url, end_user_reads=False).end_user_reads
        assert not migrate(url).end_user_reads
        assert [name for name in names(connection, CALLABLE) if "read" in name] == []
        assert names(connection, "select policyname::text from pg_policies where schemaname = 'memory'") == []
        assert names(connection, "select 'usage' where has_schema_privilege('authenticated', 'memory', 'usage')") == []


def test_an_end_users_key_is_no_service_key(url: str, server: Callable[[], Supabase], settings: Settings) -> None:
    """Opting in opens functions of their own: the client still needs the service key."""
    migrate(url, end_user_reads=True)
    supabase = server()
    user = settings.model_copy(update={"supabase_url": supabase.url, "supabase_key": supabase.token(namespace="ada")})
    with (
        MemoryClient.from_env(Settings(**{**user.model_dump(), "_env_file": None})) as client,
        pytest.raises(ConfigurationError) as error,
    ):
        client.list(namespace="ada")
    assert error.value.code == "wrong_key"
