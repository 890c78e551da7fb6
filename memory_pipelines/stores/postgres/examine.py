"""What `doctor` looks at in the record's database. Everything is read in read-only transactions: nothing is created, nothing migrated.

To add a check: a method that returns `Check`s, named in `_LOOKS`. What a check cannot find out is an error of its own, never passed over.
Must stay out: comparing with other engines (`services/doctor.py`) and changing anything (`migrate.py`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any

import psycopg

from memory_pipelines.domain.diagnosis import Check, Examination, error, ok
from memory_pipelines.stores.postgres import conninfo, migrate

OLDEST_SERVER = 150000
OLDEST_PGVECTOR = (0, 8)  # iterative scans, which a filtered search over an index needs to find all
_MIGRATE = "Run `memory-pipelines migrate` with a role that owns the schema."
_CREATE_INDEX = re.compile(r"^create (?:unique )?index (?:if not exists )?(\w+) on memory\.", re.MULTILINE)
_DROP_INDEX = re.compile(r"^drop index (?:if exists )?memory\.(\w+)", re.MULTILINE)
_FUNCTION = re.compile(r"^create or replace function public\.(memory_\w+_v\d+)\(", re.MULTILINE)
_SAFE = {"fsync": "on", "full_page_writes": "on"}
_FACTS = """
select (select last_value from memory.claims), (select settled_marker from memory.graph_state),
  (select jsonb_build_object('model', model, 'dimensions', dimensions, 'id', id) from memory.generations where state = 'active')
"""


def expected_indexes() -> frozenset[str]:
    """Names of the indexes that the migrations leave behind."""
    text = "\n".join(body for _, body in migrate.sources("migrations"))
    return frozenset(_CREATE_INDEX.findall(text)) - frozenset(_DROP_INDEX.findall(text))


def expected_functions() -> frozenset[str]:
    """Names of the functions that transports call."""
    return frozenset(name for _, body in migrate.sources("functions") for name in _FUNCTION.findall(body))


class PostgresExaminer:
    """`ports.Examiner` of the record.

    Args:
        url: `postgresql://…`, of the role that the platform uses.

    Raises:
        ConfigurationError: `config_invalid`: libpq cannot read the address.
    """

    def __init__(self, url: str) -> None:
        conninfo.read(url)
        self._url = url
        self._facts: dict[str, Any] = {}

    def examine(self) -> Examination:
        """Look at the server, its extension, the schema, what the role may do, and what a crash could lose."""
        try:
            connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5, prepare_threshold=None)
        except psycopg.Error as failure:
            fix = "Start it, or correct MEMORY_DATABASE_URL; user and password stand in it."
            return Examination((error("postgres.connection", f"{migrate.where(self._url)} did not let us in: {_said(failure)}", fix),))
        with connection:
            connection.read_only = True
            checks: list[Check] = []
            for name, look in _LOOKS.items():
                try:
                    with connection.transaction():
                        checks += look(self, connection)
                except psycopg.Error as failure:
                    checks.append(error(f"postgres.{name}", f"could not look: {_said(failure)}", "See that the role may read the schema."))
        return Examination(tuple(checks), self._facts)

    def _server(self, connection: psycopg.Connection) -> Iterable[Check]:
        number, version = _row(connection, "select current_setting('server_version_num')::int, current_setting('server_version')")
        if number < OLDEST_SERVER:
            yield error("postgres.server", f"Postgres {version}", "Upgrade to Postgres 15 or later.")
        else:
            yield ok("postgres.server", f"Postgres {version} at {migrate.where(self._url)}")
        (replica,) = _row(connection, "select pg_is_in_recovery()")
        if replica:
            yield error("postgres.writable", "a replica, which takes no writes", "Set MEMORY_DATABASE_URL to the primary.")

    def _extension(self, connection: psycopg.Connection) -> Iterable[Check]:
        version, available = _row(
            connection,
            "select (select extversion from pg_extension where extname = 'vector'),"
            " (select default_version from pg_available_extensions where name = 'vector')",
        )
        if version is None and available is None:
            yield error("postgres.extension", "pgvector is not installed on the server", "Install pgvector 0.8 or later beside Postgres.")
        elif version is None:
            yield error(
                "postgres.extension",
                f"the database lacks the extension `vector` (the server has {available})",
                f"`create extension vector`. {_MIGRATE}",
            )
        elif _numbers(version) < OLDEST_PGVECTOR:
            yield error("postgres.extension", f"pgvector {version}", "Install pgvector 0.8 or later, then `alter extension vector update`.")
        else:
            yield ok("postgres.extension", f"pgvector {version}")

    def _schema(self, connection: psycopg.Connection) -> Iterable[Check]:
        found = migrate.state(connection)
        goal = migrate.release().goal(found, None)
        version, digest, newest, present = found.version, found.functions, goal.version, goal.functions
        if version == 0:
            yield error("postgres.schema", "there is none", _MIGRATE)
        elif version > newest:
            yield error("postgres.schema", f"schema {version}; this release knows {newest}", "Install the release that migrated it.")
        elif version < newest:
            yield error("postgres.schema", f"schema {version}; this release needs {newest}", _MIGRATE)
        elif digest != present:
            yield error("postgres.schema", f"schema {version}, but its functions are of another release", _MIGRATE)
        else:
            yield ok("postgres.schema", f"schema {version}, functions {present[:12]}")
        if version:
            self._facts["issued_claim"], self._facts["settled_marker"], self._facts["generation"] = _row(connection, _FACTS)

    def _functions(self, connection: psycopg.Connection) -> Iterable[Check]:
        found: dict[str, bool] = dict(
            connection.execute(
                "select proname, has_function_privilege(oid, 'execute') from pg_proc"
                " where pronamespace = 'public'::regnamespace and proname ~ '^memory_.*_v[0-9]+$'"
            )
        )
        missing, closed = sorted(expected_functions() - found.keys()), sorted(name for name, may in found.items() if not may)
        if missing:
            yield error("postgres.functions", f"missing: {_some(missing)}", _MIGRATE)
        elif closed:
            yield error("postgres.permissions", f"the role may not call {_some(closed)}", "Use the service role, or the one that migrated.")
        else:
            yield ok("postgres.functions", f"{len(found)} there, and the role may call them")

    def _indexes(self, connection: psycopg.Connection) -> Iterable[Check]:
        rows = connection.execute(
            "select c.relname, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid"
            " join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'memory'"
        )
        found: dict[str, bool] = dict(rows)
        expected = set(expected_indexes())
        if generation := self._facts.get("generation"):
            expected.add(f"embeddings_hnsw_{generation['id']}")
        missing, broken = sorted(expected - found.keys()), sorted(name for name, valid in found.items() if not valid)
        if not found and not self._facts:
            return  # there is no schema, which has been said
        if missing:
            fix = "Create them again as sql/migrations has them (embeddings_hnsw_…: as `memory_generation_v1` does)."
            yield error("postgres.indexes", f"missing: {_some(missing)}", fix)
        if broken:
            yield error("postgres.indexes", f"invalid: {_some(broken)}", "`reindex index concurrently memory.<name>`.")
        if not missing and not broken:
            yield ok("postgres.indexes", f"{len(found)} there, all valid")

    def _closed(self, connection: psycopg.Connection) -> Iterable[Check]:
        open_tables = [
            name
            for (name,) in connection.execute("select tablename from pg_tables where schemaname = 'memory' and not rowsecurity order by 1")
        ]
        open_functions = [
            f"{role}: {name}"
            for role, name in connection.execute(
                "select r.rolname, p.proname from pg_proc p, pg_roles r where p.pronamespace = 'public'::regnamespace"
                " and p.proname = any(%s) and r.rolname in ('anon', 'authenticated') and has_function_privilege(r.oid, p.oid, 'execute')"
                " order by 1, 2",
                [sorted(expected_functions())],
            )
        ]
        if open_tables or open_functions:
            yield error("postgres.access", f"open to more than the service: {_some(open_tables + open_functions)}", _MIGRATE)
        else:
            yield ok("postgres.access", "closed to anon and authenticated")

    def _persistence(self, connection: psycopg.Connection) -> Iterable[Check]:
        settings: dict[str, str] = dict(
            connection.execute("select name, setting from pg_settings where name = any(%s)", [[*_SAFE, "synchronous_commit"]])
        )
        unsafe = [f"{name} {settings.get(name)}" for name, value in _SAFE.items() if settings.get(name) != value]
        if unsafe:
            yield error(
                "postgres.persistence", ", ".join(unsafe), "Switch both on: a crash can destroy the record, which nothing else holds."
            )
        elif settings.get("synchronous_commit") == "off":
            yield error("postgres.persistence", "synchronous_commit off", "Switch it on: a crash would lose saves that were acknowledged.")
        else:
            yield ok("postgres.persistence", f"fsync on, synchronous_commit {settings.get('synchronous_commit')}")

    def _clock(self, connection: psycopg.Connection) -> Iterable[Check]:
        before = time.time()
        (theirs,) = _row(connection, "select extract(epoch from clock_timestamp())::float8")
        after = time.time()
        self._facts["skew_seconds"] = theirs - (before + after) / 2
        self._facts["skew_within"] = (after - before) / 2
        return ()


_LOOKS = {
    "server": PostgresExaminer._server, "extension": PostgresExaminer._extension, "schema": PostgresExaminer._schema,
    "functions": PostgresExaminer._functions, "indexes": PostgresExaminer._indexes, "access": PostgresExaminer._closed,
    "persistence": PostgresExaminer._persistence, "clock": PostgresExaminer._clock,
}  # fmt: skip


def _row(connection: psycopg.Connection, statement: str) -> tuple[Any, ...]:
    row = connection.execute(statement.encode()).fetchone()
    if row is None:
        raise psycopg.DataError("Postgres answered without a row")
    return row


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _some(names: list[str], shown: int = 6) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def _said(failure: psycopg.Error) -> str:
    text = str(failure).strip()
    return text.splitlines()[0] if text else type(failure).__name__
