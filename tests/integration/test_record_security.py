"""Who may touch the record: the service's functions and nobody else's hands. And how a database comes to its schema."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import ConfigurationError, Unavailable
from memory_pipelines.services.platform import Platform
from memory_pipelines.stores.postgres import migrate as migration
from memory_pipelines.stores.postgres.migrate import Migrated, migrate
from memory_pipelines.wiring import database_url
from tests import engines

ROLES = ("anon", "authenticated", "service_role")
CALLABLE = "from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'public' and p.proname ~ '^memory_'"


@pytest.fixture
def database(platform: Platform, settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """A project as a hosted Supabase has it: its three roles, and default privileges that open every new function to them."""
    with engines.connect(settings) as connection:
        connection.execute("drop schema if exists memory cascade")
        for role in ROLES:
            if not names(connection, f"select rolname from pg_roles where rolname = '{role}'"):
                connection.execute(sql.SQL("create role {} nologin noinherit").format(sql.Identifier(role)))
        connection.execute("alter role service_role bypassrls")
        connection.execute("grant usage on schema public to anon, authenticated, service_role")
        connection.execute("alter default privileges in schema public grant execute on functions to anon, authenticated, service_role")
        for name in [name for (name,) in connection.execute(f"select p.oid::regprocedure::text {CALLABLE}")]:
            connection.execute(f"drop function {name}")
        MemoryClient(platform).save("The word is heron.", key="k", entities=[{"name": "Heron"}])
        try:
            yield connection
        finally:
            connection.execute("reset role")
            connection.execute("drop owned by anon, authenticated, service_role")
            for role in ROLES:  # they stay, as every migration wants them, but nobody logs in as them any more
                connection.execute(sql.SQL("alter role {} nologin").format(sql.Identifier(role)))


def names(connection: psycopg.Connection[Any], query: str) -> list[str]:
    return [name for (name,) in connection.execute(query).fetchall()]


def test_every_callable_function_has_the_shape_that_keeps_it_safe(database: psycopg.Connection[Any]) -> None:
    shapes = database.execute(
        "select p.proname, pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid), p.prosecdef, p.proretset, p.proconfig "
        + CALLABLE
    ).fetchall()
    assert len(shapes) > 30
    for name, arguments, result, definer, many, options in shapes:
        assert name.endswith("_v1"), name
        expected = "input text, vectors vector[]" if name == "memory_store_vectors_v1" else "input text"  # binary, on a direct connection
        assert (arguments, result, many) == (expected, "jsonb", False), name
        assert definer, name
        assert "search_path=memory, extensions, public, pg_temp" in options, name


def test_nothing_in_the_schema_is_open_to_everybody(database: psycopg.Connection[Any]) -> None:
    open_functions = names(
        database,
        "select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where (n.nspname = 'memory' or p.proname ~ '^memory_.*_v1$') and n.nspname in ('memory', 'public')"
        " and (p.proacl is null or p.proacl::text ~ '[{,]=')",
    )
    assert open_functions == []
    open_tables = names(
        database,
        "select relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'memory' and relkind in ('r', 'S')"
        " and relacl::text ~ '[{,](|anon|authenticated)='",
    )
    assert open_tables == []
    assert not names(database, "select 'usage' where has_schema_privilege('anon', 'memory', 'usage')")


def test_every_table_has_row_level_security(database: psycopg.Connection[Any]) -> None:
    open_tables = "select relname from pg_class where relnamespace = 'memory'::regnamespace and relkind = 'r'"
    assert names(database, f"{open_tables} and relrowsecurity")
    assert names(database, f"{open_tables} and not relrowsecurity") == []


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_a_visitor_can_neither_call_a_function_nor_read_a_table(database: psycopg.Connection[Any], role: str) -> None:
    functions = database.execute(f"select p.proname, p.pronargs {CALLABLE}").fetchall()
    tables = names(database, "select tablename from pg_tables where schemaname = 'memory'")
    helpers = names(database, "select p.oid::regproc::text from pg_proc p where p.pronamespace = 'memory'::regnamespace")
    database.execute(f"set role {role}")
    for name, arguments in functions:
        call = sql.SQL("select {}({})").format(sql.Identifier("public", name), sql.SQL(", ").join(["{}", "{}"][:arguments]))
        with pytest.raises(errors.InsufficientPrivilege):
            database.execute(call)
    for name in tables:
        for statement in ("select * from {}", "delete from {}"):
            with pytest.raises(errors.InsufficientPrivilege):
                database.execute(sql.SQL(statement).format(sql.Identifier("memory", name)))
    assert helpers
    for name in helpers:
        with pytest.raises(errors.InsufficientPrivilege):
            database.execute(f"select {name}()")


def test_the_service_may_call_every_function_and_read_no_table(database: psycopg.Connection[Any]) -> None:
    assert names(database, f"select p.proname {CALLABLE} and not has_function_privilege('service_role', p.oid, 'execute')") == []
    database.execute("set role service_role")
    row = database.execute("select public.memory_get_v1(%s)", ['{"namespace": "default", "key": "k"}']).fetchone()
    assert row
    assert row[0]["text"] == "The word is heron."
    with pytest.raises(errors.InsufficientPrivilege):
        database.execute("select * from memory.memories")


def test_a_function_does_not_fall_for_what_a_caller_puts_in_its_way(database: psycopg.Connection[Any]) -> None:
    """A table of the caller's own with the name of ours, in its temporary schema, must not be read instead."""
    database.execute("set role service_role")
    database.execute("create temporary table memories (id uuid, text text)")
    database.execute("set search_path = pg_temp, public")
    row = database.execute("select public.memory_get_v1(%s)", ['{"namespace": "default", "key": "k"}']).fetchone()
    assert row
    assert row[0]["text"] == "The word is heron."


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_a_client_with_too_few_rights_is_told_so(database: psycopg.Connection[Any], settings: Settings, role: str) -> None:
    database.execute(f"alter role {role} login")
    url = database_url(settings).replace("postgres@", f"{role}@")
    with (
        MemoryClient.from_env(engines.settings_for(settings.home_path, database_url=url)) as visitor,
        pytest.raises(ConfigurationError) as error,
    ):
        visitor.list()
    assert error.value.code == "permission_denied"


def test_the_services_role_is_all_that_a_client_needs(database: psycopg.Connection[Any], settings: Settings) -> None:
    database.execute("alter role service_role login")
    url = database_url(settings).replace("postgres@", "service_role@")
    with MemoryClient.from_env(engines.settings_for(settings.home_path, database_url=url)) as service:
        service.save_many({"text": f"Ada Lovelace wrote note {n} in London."} for n in range(120))
        service.sync()
        service.forget(key="k")
        service.sync()
        assert service.audit(deep=True).findings == ()
        assert len(service.search("notes of a mathematician", limit=100)) == 100
        assert len(service.related("Ada Lovelace").memories) == 20
        assert service.status().parked == 0


def test_the_roles_are_made_where_they_are_missing(database: psycopg.Connection[Any], settings: Settings) -> None:
    database.execute("drop owned by anon, authenticated, service_role")
    for role in ROLES:
        database.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))
    database.execute("drop schema memory cascade")
    migrate(database_url(settings))
    assert names(database, f"select rolname::text from pg_roles where rolname in {ROLES} and not rolcanlogin order by 1") == list(ROLES)
    assert names(database, f"select p.proname {CALLABLE} and not has_function_privilege('service_role', p.oid, 'execute')") == []
    assert names(database, f"select p.proname {CALLABLE} and has_function_privilege('authenticated', p.oid, 'execute')") == []


# -- migrations ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def url(settings: Settings) -> str:
    """A database without our schema."""
    engines.empty(settings)
    return database_url(settings)


def test_migrating_again_changes_nothing(url: str) -> None:
    first, second = migrate(url), migrate(url)
    known = sorted(entry.name.removesuffix(".sql") for entry in (files("memory_pipelines.stores.postgres") / "sql/migrations").iterdir())
    assert (first.applied, first.functions) == (tuple(known), True)
    assert second == Migrated((), first.version, functions=False)


def test_migrations_are_numbered_without_a_gap() -> None:
    known = sorted(entry.name for entry in (files("memory_pipelines.stores.postgres") / "sql/migrations").iterdir())
    assert [int(name.split("_")[0]) for name in known] == list(range(1, len(known) + 1))


def test_four_processes_that_migrate_at_once_make_one_schema(url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        results = pool.map(migrate, [url] * 4)
    assert sorted(result.functions for result in results) == [False, False, False, True]
    assert len({result.version for result in results}) == 1


def test_functions_are_applied_again_when_any_of_them_has_changed(url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    version = migrate(url).version
    real = migration.sources
    extra = """create or replace function public.memory_namespaces_v1(input text) returns jsonb
               language sql as $$ select '["edited"]'::jsonb $$"""

    def edited(folder: str) -> list[tuple[str, str]]:
        return [*real(folder), ("zzz", extra)] if folder == "functions" else real(folder)

    with engines.connect(settings) as connection:
        monkeypatch.setattr(migration, "sources", edited)
        assert migrate(url) == Migrated((), version, functions=True)
        assert migrate(url) == Migrated((), version, functions=False)
        assert names(connection, "select public.memory_namespaces_v1('{}')::text") == ['["edited"]']
        monkeypatch.setattr(migration, "sources", real)
        assert migrate(url).functions
        assert names(connection, "select public.memory_namespaces_v1('{}')::text") == ["[]"]


def test_a_schema_of_a_later_release_is_refused_and_left_alone(url: str, settings: Settings) -> None:
    migrate(url)
    with engines.connect(settings) as connection:
        connection.execute("insert into memory.migrations (version, name) values (9999, '9999_tomorrow')")
        connection.execute("update memory.settings set value = 'tomorrow' where name = 'functions'")
        with pytest.raises(ConfigurationError) as error:
            migrate(url)
        assert error.value.code == "schema_newer"
        assert names(connection, "select value from memory.settings where name = 'functions'") == ["tomorrow"]


def test_a_database_without_the_schema_is_said_to_lack_it(url: str, settings: Settings) -> None:
    with (
        MemoryClient.from_env(engines.settings_for(settings.home_path, database_url=url)) as client,
        pytest.raises(ConfigurationError) as error,
    ):
        client.save("Too early.")
    assert error.value.code == "schema_outdated"


def test_a_database_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable) as error:
        migrate("postgresql://postgres:hunter2@127.0.0.1:1/memory")
    assert error.value.code == "record_unavailable"
    assert "hunter2" not in error.value.message
