"""Every transport of the record, for the suites that all of them pass.

To add one: a context manager that yields a `Place`, and its line in `TRANSPORTS`. Must stay out: assertions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass

import pytest

from memory_pipelines import Settings, wiring
from memory_pipelines.ports import RecordStore
from memory_pipelines.stores.postgres.migrate import migrate
from memory_pipelines.stores.postgres.psycopg_transport import PsycopgTransport
from memory_pipelines.stores.postgres.rpc_transport import RpcTransport
from memory_pipelines.stores.postgres.store import PostgresRecord
from tests import engines

KEPT = ("settings", "graph_state")  # tables that a wipe does not empty


@dataclass(frozen=True)
class Place:
    """An empty record behind one transport: `wipe` empties it again, `settings` are those of a whole platform on it."""

    record: RecordStore
    wipe: Callable[[], None]
    settings: Settings


@contextmanager
def psycopg(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The embedded Postgres over a pool, without prepared statements, as behind a pooler."""
    settings: Settings = request.getfixturevalue("settings")
    engines.empty(settings)
    migrate(url := wiring.database_url(settings))
    with closing(PostgresRecord(PsycopgTransport(url))) as record:
        yield Place(record, lambda: _wipe(settings), settings)


@contextmanager
def rest(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The same Postgres behind Supabase's light server."""
    settings: Settings = request.getfixturevalue("settings")
    engines.empty(settings)
    server = request.getfixturevalue("supabase")
    migrate(wiring.database_url(settings))  # over REST nobody does
    with closing(PostgresRecord(RpcTransport(server.url, server.secret_key))) as record:
        yield Place(record, lambda: _wipe(settings), request.getfixturevalue("rest_settings"))


TRANSPORTS: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[Place]]] = {
    "psycopg": psycopg,
    "rest": rest,
}


def _wipe(settings: Settings) -> None:
    """Empty every table in one statement each, which for a few rows is far faster than making the schema anew."""
    with engines.connect(settings) as connection:
        found = connection.execute("select tablename from pg_tables where schemaname = 'memory' and tablename <> all(%s)", [[*KEPT]])
        statements = [f"delete from memory.{name};" for (name,) in found]
        connection.execute(" ".join([*statements, "update memory.graph_state set settled_marker = 0, void_claim = 0;"]).encode())
