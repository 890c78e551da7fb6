"""Calls SQL functions over a direct connection. It only runs statements: what they mean is `store.py`'s business.

Every function may be called again after an unknown outcome (ids are made by the caller, settling is by number), so a
lost connection, a deadlock or a serialisation failure is tried again here, a bounded number of times.
No session state, no prepared statements: transaction pooling is fine.
"""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg_pool import ConnectionPool, PoolTimeout
from tenacity import Retrying, retry_if_exception_type, retry_if_not_exception_type, stop_after_attempt, wait_random_exponential

from memory_pipelines.domain.errors import MemoryPipelinesError, Unavailable
from memory_pipelines.ports import VectorRow
from memory_pipelines.stores.postgres import sqlstates

_COPY = "copy memory.staged_vectors (batch, kind, id, passage, v) from stdin (format binary)"
_TRANSIENT = (pg.OperationalError, pg.DeadlockDetected, pg.SerializationFailure, pg.InterfaceError)


class PsycopgTransport:
    """A pool of connections, opened when first used; safe to share between threads.

    Args:
        url: `postgresql://…`
        connections: most connections at once.
        timeout: seconds to wait for a connection.
    """

    def __init__(self, url: str, *, connections: int = 10, timeout: float = 5.0) -> None:
        self._pool = ConnectionPool(
            url, min_size=0, max_size=connections, timeout=timeout, open=True, reconnect_timeout=10.0, name="memory",
            kwargs={"autocommit": True, "prepare_threshold": None, "connect_timeout": 5, "application_name": "memory-pipelines"},
        )  # fmt: skip

    def call(self, function: str, payload: Mapping[str, Any]) -> Any:
        """See `ports.RecordTransport.call`."""
        statement = _statement(function)
        argument = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        try:
            try:
                return self._once(statement, argument)
            except PoolTimeout:  # nobody answers, and that has been waited for already
                raise
            except _TRANSIENT:
                return self._again(statement, argument)
        except PoolTimeout:
            raise Unavailable("record_unavailable", "Postgres did not give a connection in time. Is it running, and reachable?") from None
        except psycopg.Error as error:
            raise translate(error, function) from error

    def stage(self, batch: str, rows: Sequence[VectorRow]) -> bool:
        """See `ports.RecordTransport.stage`: one binary COPY. Staged twice after a lost connection, it is another batch's number."""
        try:
            with self._pool.connection() as connection, connection.cursor() as cursor, cursor.copy(_COPY) as copy:
                copy.write(binary_rows(batch, rows))
        except PoolTimeout:
            raise Unavailable("record_unavailable", "Postgres did not give a connection in time. Is it running, and reachable?") from None
        except pg.InsufficientPrivilege:  # the service's role may call functions and touch no table
            return False
        except psycopg.Error as error:
            raise translate(error, "memory.staged_vectors") from error
        return True

    def _once(self, statement: bytes, argument: str) -> Any:
        with self._pool.connection() as connection:
            row = connection.execute(statement, [argument]).fetchone()
            return row[0] if row else None

    def _again(self, statement: bytes, argument: str) -> Any:
        for attempt in Retrying(
            retry=retry_if_exception_type(_TRANSIENT) & retry_if_not_exception_type(PoolTimeout),
            stop=stop_after_attempt(4), wait=wait_random_exponential(0.02, 0.5), reraise=True,
        ):  # fmt: skip
            with attempt:
                return self._once(statement, argument)
        raise AssertionError("unreachable: the loop above returns or raises")

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


@lru_cache
def _statement(function: str) -> bytes:
    """The call of a function; composing it anew for each call would cost as much as validating a memory."""
    return sql.SQL("select {}(%s)").format(sql.Identifier("public", function)).as_bytes()


def binary_rows(batch: str, rows: Sequence[VectorRow]) -> bytes:
    """Rows of `memory.staged_vectors` in the format of COPY BINARY: per row the number of fields, then length and bytes of each.

    A pgvector value is its dimensions and a zero, two bytes each, then big-endian float32 components.
    Source: PostgreSQL documentation, COPY, Binary Format; pgvector, `vector_recv`.
    """
    import numpy as np

    parts = [b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)]
    batch_bytes = uuid.UUID(batch).bytes
    matrix = np.asarray([vector for _, _, _, vector in rows], dtype=np.float32).astype(">f4")
    size = matrix.shape[1]
    for (kind, id_, passage, _), vector in zip(rows, matrix, strict=True):
        name = kind.encode()
        head = struct.pack(f"!hi16si{len(name)}s", 5, 16, batch_bytes, len(name), name)
        parts += [head, struct.pack("!i16sihihh", 16, uuid.UUID(id_).bytes, 2, passage, 4 + 4 * size, size, 0), vector.tobytes()]
    parts.append(struct.pack("!h", -1))
    return b"".join(parts)


def translate(error: psycopg.Error, function: str) -> MemoryPipelinesError:
    """The platform's error for a driver's. Messages of Postgres are kept; statements and their values never are."""
    text = error.diag.message_primary or str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if error.sqlstate is None and isinstance(error, _TRANSIENT):  # the connection broke: no server said why
        return Unavailable("record_unavailable", f"Postgres did not answer: {text}. The call may be made again.")
    return sqlstates.translate(error.sqlstate or "", text, error.diag.message_detail, function)
