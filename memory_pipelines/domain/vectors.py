"""Vectors as rows of numbers: unit length, and the text that pgvector reads.

Lives here: what has to hold for a vector whichever embedder made it. To add a form (halfvec, sparse), add a function
beside `format_vectors`. Must stay out: models, SQL. numpy is imported on first use, so importing this costs nothing.

The text of a vector is of fixed width: a component is `[sign][nine digits]e[sign][two digits]`, nine significant digits
being what every float32 needs to survive the way through text and back. Fixed width lets numpy write four million
components in a fraction of the time that `repr` takes, and is no longer than what `repr` of a float prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

_ROWS_AT_ONCE = 64  # 64 × 256 components: the temporaries of a step stay in the processor's cache
_SMALLEST, _LARGEST = -46, 39  # powers of ten around every float32, subnormal ones included


def as_rows(vectors: Sequence[Sequence[float]] | Rows) -> Rows:
    """`vectors` as one float32 array of shape (count, dimensions); an array that already is one is not copied.

    Raises:
        ValueError: the vectors differ in length, or one is not a vector of numbers.
    """
    import numpy as np

    rows = np.asarray(vectors, dtype=np.float32)
    if len(rows) == 0:
        return rows.reshape(0, 0)
    if rows.ndim != 2:
        raise ValueError("Vectors must be rows of numbers, all of one length.")
    return rows


def unit_rows(rows: Rows) -> Rows:
    """Scale each row to length 1, in place, and return the array.

    A row of zeros (the embedding of a text without content) becomes the first axis, `[1, 0, 0, …]`: pgvector's cosine
    distance to a zero vector is NaN, which would make the row sort unpredictably and vanish from an HNSW index.

    Raises:
        ValueError: a component is NaN or infinite.
    """
    import numpy as np

    if not len(rows):
        return rows
    # In float64, because a float32 square overflows from 1.8e19 on and vanishes below 1e-23.
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))[:, None]
    if not np.isfinite(lengths).all():
        raise ValueError("A vector holds NaN or infinity.")
    empty = lengths[:, 0] == 0.0
    if empty.any():
        rows[empty, 0] = 1.0
        lengths[empty] = 1.0
    np.divide(rows, lengths, out=rows, casting="same_kind")
    return rows


def format_vector(vector: Sequence[float]) -> str:
    """One vector as pgvector text; see `format_vectors`."""
    return format_vectors([vector])[0]


def format_vectors(vectors: Sequence[Sequence[float]] | Rows) -> list[str]:
    """Each vector as the text that pgvector's `vector` type reads, also a valid JSON array: `[ 472754300e-10,-125000000e-09]`.

    Args:
        vectors: count × dimensions numbers; a float32 array, or a list of its rows, is fastest.

    Returns:
        One string of 15 × dimensions + 1 characters per vector, in order. Read back as float32, each component is
        bit for bit the same (except that -0.0 becomes 0).

    Raises:
        ValueError: the vectors differ in length, or hold NaN or infinity, which pgvector refuses.
    """
    rows = as_rows(vectors)
    if not len(rows):
        return []
    texts: list[str] = []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        texts += _format(rows[start : start + _ROWS_AT_ONCE])
    return texts


def _format(rows: Rows) -> list[str]:
    import numpy as np

    if not np.isfinite(rows).all():
        raise ValueError("A vector holds NaN or infinity.")
    head, middle, tail, end, powers = _tables()
    values = rows.ravel()
    size = np.abs(values.astype(np.float64))
    zero = size == 0.0
    if has_zero := bool(zero.any()):
        size[zero] = 1.0
    exponent = np.floor(np.log10(size)).astype(np.int64) - 8  # of the last of nine digits
    # A value a hair below a power of ten may round up to ten digits; 999999999 names the same float32.
    digits = np.minimum(np.rint(size * powers.take(exponent - _SMALLEST + 8)), 999_999_999.0).astype(np.int64)
    high, low = np.divmod(digits, 1_000_000)
    mid, last = np.divmod(low, 100)
    high += 1000 * (values < 0)
    last += 100 * (exponent >= 0)

    words = np.empty((len(values), 4), dtype=np.uint32)
    words[:, 0] = head.take(high)
    words[:, 1] = middle.take(mid)
    words[:, 2] = tail.take(last)
    words[:, 3] = end.take(np.abs(exponent))
    letters = words.view(np.uint8)
    if has_zero:
        letters[zero] = np.frombuffer(b"             0, ", dtype=np.uint8)
    body = np.ascontiguousarray(letters[:, :15]).tobytes().decode("ascii")
    width = 15 * rows.shape[1]
    return [f"[{body[at : at + width - 1]}]" for at in range(0, len(body), width)]


@cache
def _tables() -> tuple[Any, ...]:
    """Four-letter words, looked up by number: sign and digits 1-3, digits 4-7, digits 8-9 and `e` with its sign, exponent."""
    import numpy as np

    def words(texts: list[str]) -> Any:
        return np.frombuffer("".join(texts).encode(), dtype=np.uint32)

    head = words([f"{sign}{number:03d}" for sign in " -" for number in range(1000)])
    middle = words([f"{number:04d}" for number in range(10_000)])
    tail = words([f"{number:02d}e{sign}" for sign in "-+" for number in range(100)])
    end = words([f"{number:02d}, " for number in range(100)])
    # powers[e - _SMALLEST] turns a number of exponent e into one of nine digits before the point.
    powers = np.array([float(f"1e{8 - exponent}") for exponent in range(_SMALLEST, _LARGEST + 1)])
    return head, middle, tail, end, powers
