"""Brings a database to this release's schema: forward-only migrations, then the functions as they now read.

`sql/migrations/NNNN_subject.sql` changes tables and is never edited once released. `sql/functions/*.sql` is the readable
present: every function is `create or replace`, carries its version in its name (`…_v1`), and is applied again whenever
any of the files has changed. To change a function's meaning, add `_v2` and leave `_v1` to older code.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

import psycopg
from psycopg.conninfo import conninfo_to_dict

from memory_pipelines.domain.errors import ConfigurationError, Unavailable

_LOCK = 0x6D656D6F72  # any number, the same for all of us: only one process migrates at a time


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did: versions applied now, the version the schema has, whether functions were replaced."""

    applied: tuple[str, ...]
    version: int
    functions: bool


def migrate(url: str) -> Migrated:
    """Apply what is missing, in one transaction; a schema that is up to date costs one query.

    Args:
        url: of a role that may create schemas, extensions and functions.

    Raises:
        Unavailable: `record_unavailable`
        ConfigurationError: `schema_newer` for a schema that a later release made, `migration_failed` when Postgres refused.
    """
    migrations, functions = sources("migrations"), sources("functions")
    present, last = digest(), newest()
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10, prepare_threshold=None) as connection:
            if state(connection) == (last, present):
                return Migrated((), last, functions=False)
            with connection.transaction():
                connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
                version, applied_digest = state(connection)
                if version > last:
                    raise ConfigurationError(
                        "schema_newer",
                        f"The database has schema {version}, this release knows {last}: install the release that made it.",
                    )
                applied = []
                for name, text in migrations:
                    if int(name.split("_")[0]) > version:
                        connection.execute(text.encode())
                        applied.append(name)
                connection.execute(
                    "create table if not exists memory.migrations (version integer primary key, name text not null,"
                    " applied_at timestamptz not null default now())"
                )
                for name in applied:
                    connection.execute("insert into memory.migrations (version, name) values (%s, %s)", [int(name.split("_")[0]), name])
                replaced = applied_digest != present
                if replaced:
                    for _, text in functions:
                        connection.execute(text.encode())
                    connection.execute(
                        "insert into memory.settings values ('functions', %s) on conflict (name) do update set value = excluded.value",
                        [present],
                    )
                connection.execute("notify pgrst, 'reload schema'")
                return Migrated(tuple(applied), last, functions=replaced)
    except psycopg.OperationalError as error:
        raise Unavailable("record_unavailable", f"Postgres at {where(url)} did not answer: {_reason(error)}. Is it running?") from None
    except psycopg.Error as error:
        raise ConfigurationError(
            "migration_failed", f"Postgres refused the schema: {_reason(error)}. Nothing was changed. The role must own the schema."
        ) from error


def newest() -> int:
    """Number of this release's newest migration."""
    return int(sources("migrations")[-1][0].split("_")[0])


def digest() -> str:
    """Digest of this release's functions, as a migrated database stores it."""
    return hashlib.sha256("\0".join(text for _, text in sources("functions")).encode()).hexdigest()


def sources(folder: str) -> list[tuple[str, str]]:
    """The SQL files of `migrations` or `functions`, in order: name and text."""
    root: Traversable = files("memory_pipelines.stores.postgres") / "sql" / folder
    found = [(entry.name.removesuffix(".sql"), entry.read_text("utf-8")) for entry in root.iterdir() if entry.name.endswith(".sql")]
    return sorted(found)


def state(connection: psycopg.Connection) -> tuple[int, str]:
    """Number of the newest applied migration (0 for none) and the digest of the functions."""
    # Not `to_regclass`: it answers from the session's name cache, and a session that asked before it waited for the lock
    # may still hold "no such schema" from then. Reading the catalogue's own rows does not.
    present = connection.execute(
        "select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'memory' and c.relname = 'migrations'"
    )
    if present.fetchone() is None:
        return 0, ""
    row = connection.execute(
        "select coalesce((select max(version) from memory.migrations), 0),"
        " coalesce((select value from memory.settings where name = 'functions'), '')"
    ).fetchone()
    return (row[0], row[1]) if row else (0, "")


def where(url: str) -> str:
    """The host of an address, for people; never its credentials."""
    parts = conninfo_to_dict(url)
    return str(parts.get("host") or parts.get("hostaddr") or "its default address")


def _reason(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
