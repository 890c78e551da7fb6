"""Calls SQL functions over a direct connection. It only runs statements: what they mean is `store.py`'s business.

Every function may be called again after an unknown outcome (ids are made by the caller, settling is by number), so a
lost connection, a deadlock or a serialisation failure is tried again here, a bounded number of times.
No session state and, unless asked for, no prepared statements: transaction pooling is fine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg_pool import ConnectionPool, PoolTimeout
from tenacity import Retrying, retry_if_exception_type, retry_if_not_exception_type, stop_after_attempt, wait_random_exponential

from memory_pipelines.domain.errors import ConfigurationError, MemoryPipelinesError, Unavailable
from memory_pipelines.ports import Vectors
from memory_pipelines.stores.postgres import conninfo, sqlstates
from memory_pipelines.stores.postgres.binary import BinaryVectors, register

_VECTOR_OID = b"""
select t.typelem::bigint from pg_proc f join pg_type t on t.oid = f.proargtypes[1]
where f.proname = %s and f.pronamespace = 'public'::regnamespace
"""
_TRANSIENT = (pg.OperationalError, pg.DeadlockDetected, pg.SerializationFailure, pg.InterfaceError)


class PsycopgTransport:
    """A pool of connections, opened when first used; safe to share between threads.

    Args:
        url: `postgresql://…`
        connections: most connections at once.
        timeout: seconds to wait for a connection.
        prepare: let sessions keep their plans, which takes a tenth off a save; only where no pooler can stand in between.

    Raises:
        ConfigurationError: `config_invalid`: libpq cannot read the address.
    """

    def __init__(self, url: str, *, connections: int = 10, timeout: float = 5.0, prepare: bool = False) -> None:
        conninfo.read(url)
        session = {"autocommit": True, "prepare_threshold": 5 if prepare else None, "connect_timeout": 5}
        self._pool = ConnectionPool(
            url, min_size=0, max_size=connections, timeout=timeout, open=True, reconnect_timeout=10.0, name="memory",
            configure=lambda connection: register(connection.adapters),
            kwargs=session | {"application_name": "memory-pipelines"},
        )  # fmt: skip

    binary = True

    def call(self, function: str, payload: Mapping[str, Any]) -> Any:
        """See `ports.RecordTransport.call`."""
        return self._call(function, _statement(function), [_json(payload)])

    def call_with_vectors(self, function: str, payload: Mapping[str, Any], vectors: Vectors) -> Any:
        """See `ports.RecordTransport.call_with_vectors`. The vectors travel as the binary form of `vector[]`."""
        oid = self._call(function, _VECTOR_OID, [function])  # asked each time: a restored database has another one
        if oid is None:
            raise ConfigurationError("schema_outdated", f"The database lacks {function}: run `memory-pipelines migrate`.")
        return self._call(function, _statement(function, 2), [_json(payload), BinaryVectors(vectors, oid)])

    def _call(self, function: str, statement: bytes, arguments: Sequence[Any]) -> Any:
        try:
            try:
                return self._once(statement, arguments)
            except PoolTimeout:  # nobody answers, and that has been waited for already
                raise
            except _TRANSIENT:
                return self._again(statement, arguments)
        except PoolTimeout:
            raise Unavailable("record_unavailable", "Postgres did not give a connection in time. Is it running, and reachable?") from None
        except psycopg.Error as error:
            raise translate(error, function) from error

    def _once(self, statement: bytes, arguments: Sequence[Any]) -> Any:
        with self._pool.connection() as connection:
            row = connection.execute(statement, arguments).fetchone()
            return row[0] if row else None

    def _again(self, statement: bytes, arguments: Sequence[Any]) -> Any:
        for attempt in Retrying(
            retry=retry_if_exception_type(_TRANSIENT) & retry_if_not_exception_type(PoolTimeout),
            stop=stop_after_attempt(4), wait=wait_random_exponential(0.02, 0.5), reraise=True,
        ):  # fmt: skip
            with attempt:
                return self._once(statement, arguments)
        raise AssertionError("unreachable: the loop above returns or raises")

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


@lru_cache
def _statement(function: str, arguments: int = 1) -> bytes:
    """The call of a function; composing it anew for each call would cost as much as validating a memory."""
    places = sql.SQL(", ").join([sql.Placeholder()] * arguments)
    return sql.SQL("select {}({})").format(sql.Identifier("public", function), places).as_bytes()


def _json(payload: Mapping[str, Any]) -> str:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def translate(error: psycopg.Error, function: str) -> MemoryPipelinesError:
    """The platform's error for a driver's. Messages of Postgres are kept; statements and their values never are."""
    text = error.diag.message_primary or str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if error.sqlstate is None and isinstance(error, _TRANSIENT):  # the connection broke: no server said why
        return Unavailable("record_unavailable", f"Postgres did not answer: {text}. The call may be made again.")
    return sqlstates.translate(error.sqlstate or "", text, error.diag.message_detail, function)
