"""Vectors survive the way through text bit for bit, and have length 1."""

from __future__ import annotations

import json
import re
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_pipelines.domain.vectors import as_rows, format_vector, format_vectors, unit_rows

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def read(text: str) -> list[float]:
    """As pgvector reads it: white space around numbers is skipped, and a number becomes the nearest float32."""
    assert re.fullmatch(r"\[ *[-+0-9.e]+(, *[-+0-9.e]+)*\]", text)
    return [float(np.float32(number)) for number in text[1:-1].split(",")]


@given(st.lists(FLOATS, min_size=1, max_size=40))
def test_text_holds_every_bit(vector: list[float]) -> None:
    text = format_vector(vector)
    assert read(text) == vector
    assert [float(np.float32(number)) for number in json.loads(text)] == vector


@pytest.mark.parametrize("exponent", range(-45, 39))
def test_around_powers_of_ten(exponent: int) -> None:
    (bits,) = struct.unpack("<I", struct.pack("<f", float(f"1e{exponent}")))
    near = [struct.unpack("<f", struct.pack("<I", max(0, bits + step)))[0] for step in range(-3, 4)]
    assert read(format_vector(near)) == near
    assert read(format_vector([-number for number in near])) == [-number for number in near]


def test_many_random_bits() -> None:
    bits = np.random.default_rng(7).integers(0, 2**32, (300, 256), dtype=np.uint64).astype(np.uint32).view(np.float32)
    rows = np.where(np.isfinite(bits), bits, np.float32(0))
    assert [read(text) for text in format_vectors(rows)] == rows.tolist()


def test_lists_rows_and_arrays_give_one_text() -> None:
    array = np.random.default_rng(3).normal(size=(130, 5)).astype(np.float32)
    assert format_vectors(array) == format_vectors(list(array)) == format_vectors(array.tolist())
    assert format_vectors(array)[129] == format_vector(array[129])


def test_nothing_gives_nothing() -> None:
    assert format_vectors([]) == []
    assert as_rows([]).shape == (0, 0)


@pytest.mark.parametrize("vectors", [[[1.0], [1.0, 2.0]], [1.0, 2.0], [[float("nan")]], [[1.0], [float("inf")]], [["x"]]])
def test_what_is_no_vector_is_refused(vectors: list[list[float]]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # numpy words some of them
        format_vectors(vectors)


@given(st.lists(st.lists(FLOATS, min_size=3, max_size=3), min_size=1, max_size=5))
def test_unit_rows_have_length_one(vectors: list[list[float]]) -> None:
    rows = unit_rows(as_rows(vectors).copy())
    assert np.allclose(np.linalg.norm(rows.astype(np.float64), axis=1), 1.0, atol=1e-5)


def test_a_row_of_zeros_becomes_the_first_axis() -> None:
    assert unit_rows(as_rows([[0.0, 0.0], [3.0, 4.0]])).tolist() == [[1.0, 0.0], [pytest.approx(0.6), pytest.approx(0.8)]]


def test_unit_rows_refuse_what_is_not_finite() -> None:
    with pytest.raises(ValueError, match="NaN"):
        unit_rows(as_rows([[float("nan"), 1.0]]))
