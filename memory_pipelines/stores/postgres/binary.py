"""Vectors as Postgres reads them in binary: as text, four million numbers take longer to write and read than to compute.

Must stay out: connections and statements.
"""

from __future__ import annotations

import struct
from typing import Any

from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format

from memory_pipelines.ports import Vectors


class BinaryVectors:
    """A statement's parameter: the binary form of `vector[]`.

    Args:
        vectors: of one length.
        oid: of the type `vector`, which differs from database to database.
    """

    def __init__(self, vectors: Vectors, oid: int) -> None:
        self.data = encode(vectors, oid)


def encode(vectors: Vectors, oid: int) -> bytes:
    """Vectors as `array_recv` takes them: one dimension, no nulls, the element's type, count and lower bound; then each with its length.

    A pgvector value is its dimensions and a zero, two bytes each, then big-endian float32 components.
    Source: PostgreSQL, `array_recv` in `arrayfuncs.c`; pgvector, `vector_recv`.
    """
    import numpy as np

    rows = np.asarray(vectors, dtype=np.float32)
    count, size = rows.shape
    fields: list[Any] = [("length", ">i4"), ("size", ">i2"), ("zero", ">i2"), ("v", ">f4", (size,))]
    elements = np.zeros(count, dtype=fields)
    elements["length"], elements["size"], elements["v"] = 4 + 4 * size, size, rows
    return struct.pack("!iiIii", 1, 0, oid, count, 1) + elements.tobytes()


class _Dumper(Dumper):
    """Sends the bytes as they are, and leaves it to the function called to say what type they are of."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: BinaryVectors) -> Buffer:
        return obj.data


def register(adapters: AdaptersMap) -> None:
    """Let connections with these adapters take `BinaryVectors` as a parameter."""
    adapters.register_dumper(BinaryVectors, _Dumper)
