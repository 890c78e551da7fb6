"""A hosted Supabase project: where pgvector lives there, what its poolers and its REST server ask of us, and the CLI's layout."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.stores.postgres.migrate import Migrated, migrate, release
from memory_pipelines.stores.postgres.psycopg_transport import PsycopgTransport
from memory_pipelines.wiring import database_url
from tests import engines

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "supabase" / "migrations"
FUNCTIONS = """select p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proacl::text from pg_proc p
    where p.prokind = 'f' and (p.pronamespace = 'memory'::regnamespace
        or p.pronamespace = 'public'::regnamespace and p.proname ~ '^memory_.*_v1$') order by 1"""
COLUMNS = """select table_name, column_name, data_type, udt_schema, is_nullable, generation_expression, relrowsecurity, relacl::text
    from information_schema.columns join pg_class on oid = format('memory.%I', table_name)::regclass
    where table_schema = 'memory' order by 1, 2"""
INDEXES = "select indexdef from pg_indexes where schemaname = 'memory' order by 1"


@pytest.fixture
def hosted(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """A database without our schema, in which extensions have a schema of their own; afterwards as it was."""
    engines.empty(settings)
    with engines.connect(settings) as connection:
        had = connection.execute("select 1 from pg_extension where extname = 'vector'").fetchone()
        connection.execute("drop extension if exists vector cascade")
        connection.execute("create schema extensions")
        connection.execute("grant usage on schema extensions to public")
        yield connection
        connection.execute("drop schema if exists memory cascade")
        connection.execute("drop schema extensions cascade")
        if had:
            connection.execute("create extension vector schema public")


def test_everything_works_with_pgvector_in_a_schema_of_its_own(hosted: psycopg.Connection[Any], settings: Settings) -> None:
    url = database_url(settings)
    assert migrate(url).functions
    where = "select nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where extname = 'vector'"
    assert hosted.execute(where).fetchone() == ("extensions",)
    with MemoryClient.from_env(settings.model_copy(update={"exact_search_passages": 10})) as client:
        client.save_many(
            {"text": f"On day {n} the heron stood at the mill.", "key": f"k{n}"} for n in range(80)
        )  # vectors as binary, and the index
        client.sync()
        assert len(client.search("a bird by the water", limit=5)) == 5
        client.forget(key="k7")
        client.sync()
        assert client.audit(deep=True).findings == ()
        assert client.status().counts["embeddings"] >= 79


def test_a_migration_tells_the_rest_server(settings: Settings) -> None:
    engines.empty(settings)
    with engines.connect(settings) as listener:
        listener.execute("listen pgrst")
        migrate(database_url(settings))
        assert [note.payload for note in listener.notifies(timeout=5, stop_after=1)] == ["reload schema"]


def test_the_pool_leaves_nothing_in_a_session(client: MemoryClient, settings: Settings) -> None:
    """Behind a transaction pooler the next transaction may be on another server connection."""
    for n in range(12):  # psycopg would prepare a statement after five
        client.save(f"Note {n}.")
    client.sync("embeddings")
    transport = PsycopgTransport(database_url(settings), connections=1)
    for _ in range(12):
        transport.call("memory_namespaces_v1", {})
    with transport._pool.connection() as connection:
        assert connection.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)
        assert connection.execute("select count(*) from pg_settings where source = 'session' and name !~ 'timezone'").fetchone() == (0,)
    transport.close()
    with engines.connect(settings) as connection:
        assert connection.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone() == (0,)


def test_the_files_for_the_supabase_cli_are_in_step() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/supabase_migrations.py", "--check"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in MIGRATIONS.iterdir())
    assert [name.split("_")[0].isdigit() and len(name.split("_")[0]) == 14 for name in names] == [True] * len(names)


def test_the_files_make_the_schema_that_a_migration_makes(hosted: psycopg.Connection[Any], settings: Settings) -> None:
    def made() -> list[Any]:
        return [hosted.execute(query).fetchall() for query in (FUNCTIONS, COLUMNS, INDEXES)]

    for path in sorted(MIGRATIONS.iterdir()):
        hosted.execute(path.read_bytes())
    by_files = made()
    newest = int(release().migrations[-1][0].split("_")[0])
    assert migrate(database_url(settings)) == Migrated((), newest, functions=False)
    hosted.execute("drop schema memory cascade")
    hosted.execute("drop extension if exists vector cascade")
    migrate(database_url(settings))
    assert made() == by_files
