"""Brings a database to this release's schema: forward-only migrations, then the functions as they now read.

`sql/migrations/NNNN_subject.sql` changes tables and is never edited once released. `sql/functions/**/*.sql` is the readable
present: every function is `create or replace`, carries its version in its name (`…_v1`), and is applied again whenever
any of the files has changed. To change a function's meaning, add `_v2` and leave `_v1` to older code.
`sql/end_user_reads` is only applied where it was asked for, and from then on whenever the functions are, which close everything.
Locks are the transaction's own, and nothing is kept in the session: a pooled address will do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

import psycopg

from memory_pipelines.domain.errors import ConfigurationError, Unavailable
from memory_pipelines.stores.postgres import conninfo

MIGRATIONS_TABLE = (
    "create table if not exists memory.migrations (version integer primary key, name text not null,"
    " applied_at timestamptz not null default now())"
)
_LOCK = 0x6D656D6F72  # any number, the same for all of us: only one process migrates at a time


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did: versions applied now, the version the schema has, whether functions were replaced, and whether
    end users may read."""

    applied: tuple[str, ...]
    version: int
    functions: bool
    end_user_reads: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What a database has: the newest migration (0 for none), and digests of what was applied (empty for nothing)."""

    version: int = 0
    functions: str = ""
    end_user_reads: str = ""


def migrate(url: str, *, end_user_reads: bool | None = None) -> Migrated:
    """Apply what is missing, in one transaction; a schema that is up to date costs one query.

    Args:
        url: of a role that may create schemas, extensions and functions.
        end_user_reads: open the read functions to end users' own tokens, or close them again; None leaves it as it is.

    Raises:
        Unavailable: `record_unavailable`
        ConfigurationError: `schema_newer` for a schema that a later release made, `migration_failed` when Postgres refused.
    """
    newest = release()
    conninfo.read(url)
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10, prepare_threshold=None) as connection:
            present = state(connection)
            if present == newest.goal(present, end_user_reads):
                return Migrated((), present.version, functions=False, end_user_reads=bool(present.end_user_reads))
            with connection.transaction():
                connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
                return _apply(connection, newest, end_user_reads)
    except psycopg.OperationalError as error:
        raise Unavailable("record_unavailable", f"Postgres at {where(url)} did not answer: {_reason(error)}. Is it running?") from None
    except psycopg.Error as error:
        raise ConfigurationError(
            "migration_failed", f"Postgres refused the schema: {_reason(error)}. Nothing was changed. The role must own the schema."
        ) from error


@dataclass(frozen=True, slots=True)
class Release:
    """The SQL of this release: name and text of each file."""

    migrations: list[tuple[str, str]]
    functions: list[tuple[str, str]]
    grant: str
    withdraw: str

    def goal(self, present: State, end_user_reads: bool | None) -> State:
        """What a database shall have that has `present` now."""
        opened = bool(present.end_user_reads) if end_user_reads is None else end_user_reads
        newest = int(self.migrations[-1][0].split("_")[0])
        return State(newest, self.functions_digest, _digest(self.grant) if opened else "")

    @property
    def functions_digest(self) -> str:
        """What a database remembers of the functions that it has."""
        return _digest(*(text for _, text in self.functions))


def release() -> Release:
    """What this release brings."""
    (_, grant), (_, withdraw) = sources("end_user_reads")
    return Release(sources("migrations"), sources("functions"), grant, withdraw)


def _apply(connection: psycopg.Connection, newest: Release, end_user_reads: bool | None) -> Migrated:
    """Bring what is there, read again under the lock, to the release's goal."""
    present = state(connection)
    goal = newest.goal(present, end_user_reads)
    if present.version > goal.version:
        raise ConfigurationError(
            "schema_newer",
            f"The database has schema {present.version}, this release knows {goal.version}: install the release that made it.",
        )
    connection.execute("set local search_path = public, extensions")  # hosted projects have pgvector in the latter
    connection.execute("set local check_function_bodies = off")  # a function may call one whose file comes later
    applied = []
    for name, text in newest.migrations:
        if int(name.split("_")[0]) > present.version:
            connection.execute(text.encode())
            applied.append(name)
    connection.execute(MIGRATIONS_TABLE)
    for name in applied:
        connection.execute("insert into memory.migrations (version, name) values (%s, %s)", [int(name.split("_")[0]), name])
    replaced = present.functions != goal.functions
    if replaced:
        for _, text in newest.functions:
            connection.execute(text.encode())
        _remember(connection, "functions", goal.functions)
    if goal.end_user_reads and (replaced or present.end_user_reads != goal.end_user_reads):
        connection.execute(newest.grant.encode())
        _remember(connection, "end_user_reads", goal.end_user_reads)
    elif present.end_user_reads and not goal.end_user_reads:
        connection.execute(newest.withdraw.encode())
        _remember(connection, "end_user_reads", "")
    connection.execute("notify pgrst, 'reload schema'")
    return Migrated(tuple(applied), goal.version, functions=replaced, end_user_reads=bool(goal.end_user_reads))


def _remember(connection: psycopg.Connection, name: str, value: str) -> None:
    connection.execute("insert into memory.settings values (%s, %s) on conflict (name) do update set value = excluded.value", [name, value])


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def sources(folder: str) -> list[tuple[str, str]]:
    """The SQL files of one folder and of the folders in it, in order: name, such as `audit/rounds`, and text."""
    return sorted(_sources(files("memory_pipelines.stores.postgres") / "sql" / folder, ""))


def _sources(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(".sql"):
            yield path + entry.name.removesuffix(".sql"), entry.read_text("utf-8")


def state(connection: psycopg.Connection) -> State:
    """What the database has now."""
    # Not `to_regclass`: it answers from the session's name cache, and a session that asked before it waited for the lock
    # may still hold "no such schema" from then. Reading the catalogue's own rows does not.
    present = connection.execute(
        "select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'memory' and c.relname = 'migrations'"
    )
    if present.fetchone() is None:
        return State()
    row = connection.execute(
        "select coalesce((select max(version) from memory.migrations), 0),"
        " coalesce((select value from memory.settings where name = 'functions'), ''),"
        " coalesce((select value from memory.settings where name = 'end_user_reads'), '')"
    ).fetchone()
    return State(*row) if row else State()


def where(url: str) -> str:
    """The host of an address, for people; never its credentials."""
    parts = conninfo.read(url)
    return str(parts.get("host") or parts.get("hostaddr") or "its default address")


def _reason(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
