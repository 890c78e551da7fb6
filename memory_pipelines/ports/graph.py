"""What services ask of the graph's store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Marker:
    """The graph's marker node: `counter` rises with every accepted batch, `claim` is the highest claim that was ever
    offered, claims below `fence` write nothing."""

    counter: int = 0
    claim: int = 0
    fence: int = 0


@dataclass(frozen=True, slots=True)
class Applied:
    """Answer of a graph batch. `marker` is None when the marker refused it and nothing was written; `refused` holds the
    ids whose node was newer."""

    marker: int | None
    applied: int = 0
    refused: tuple[str, ...] = ()


class GraphStore(Protocol):
    """The graph projection. Writes are batches under the marker; reads never need the record. Described where it is implemented."""

    def prepare(self, *, again: bool = False) -> None: ...

    def apply(self, kind: str, rows: Sequence[Mapping[str, Any]], *, claim: int, issued: int, settled: int) -> Applied: ...

    def marker(self) -> Marker: ...

    def raise_marker(self, counter: int) -> None: ...

    def raise_fence(self, claim: int) -> None: ...

    def shut(self, issued: int, never: int) -> bool: ...

    def drop(self) -> Iterator[int]: ...

    def tombstones(self, kind: str, *, limit: int) -> list[dict[str, str]]: ...

    def purge(self, kind: str, rows: Sequence[Mapping[str, str]]) -> None: ...

    def neighbours(self, entity_id: str, *, limit: int) -> list[dict[str, Any]]: ...

    def memories_of(self, entity_id: str, *, limit: int) -> list[str]: ...

    def sums(self, kind: str, *, buckets: Sequence[int] | None = None, leaves: bool = True) -> list[list[int]]: ...

    def rows(
        self, kind: str, *, ids: Sequence[Mapping[str, str]] | Sequence[str] | None = None,
        cells: Sequence[tuple[int, int]] | None = None, buckets: tuple[int, int] | None = None, nobodys: int | None = None,
    ) -> list[dict[str, Any]]: ...  # fmt: skip

    def between(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]: ...

    def strays(self) -> int: ...

    def stray_pairs(self) -> list[tuple[str, str]]: ...

    def counts(self) -> Mapping[str, int]: ...

    def health(self) -> Mapping[str, Any]: ...

    def close(self) -> None: ...
