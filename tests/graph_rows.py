"""Rows of a graph as batches hold them, and how to write and read one, for the suites of the graph's port. Must stay out: assertions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memory_pipelines.ports import Applied, GraphStore


def entity(id_: str, revision: int = 1, **props: Any) -> dict[str, Any]:
    name = {"name": id_.upper(), "type": "person", "namespace": "default", "dh": 1, "dl": 2, "bucket": 7, "leaf": 3}
    return {"id": id_, "revision": revision, "expect": -2, "props": {"id": id_, "revision": revision, **name, **props}}


def memory(id_: str, *mentions: str, revision: int = 1, **props: Any) -> dict[str, Any]:
    facts = {"namespace": "default", "created_at": 1_700_000_000_000, "dh": 1, "dl": 2, "bucket": 7, "leaf": 3}
    edges = [{"entity": name, "dh": 5, "dl": 6} for name in mentions]
    return {"id": id_, "revision": revision, "expect": -2, "props": {"id": id_, "revision": revision, **facts, **props}, "mentions": edges}


def relation(id_: str, source: str, target: str, revision: int = 1, predicate: str = "knows") -> dict[str, Any]:
    props = {"id": id_, "revision": revision, "predicate": predicate, "namespace": "default", "dh": 1, "dl": 2}
    return {"id": id_, "revision": revision, "expect": -2, "source": source, "target": target, "props": props}


def buried(row: dict[str, Any], revision: int) -> dict[str, Any]:
    """The tombstone of what a row wrote."""
    gone = {**row, "revision": revision, "props": {"id": row["id"], "revision": revision, "deleted": True}}
    return gone | {"mentions": []} if "mentions" in row else gone


def write(graph: GraphStore, kind: str, *rows: dict[str, Any], claim: int = 1, issued: int = 1_000_000, settled: int = 0) -> Applied:
    return graph.apply(kind, rows, claim=claim, issued=issued, settled=settled)


def one(graph: GraphStore, kind: str, *ids: str) -> list[dict[str, Any]]:
    wanted: Sequence[Any] = ids if kind in ("memory", "entity") else [dict(zip(("id", "source", "target"), ids, strict=True))]
    return [row["props"] for row in graph.rows(kind, ids=wanted)]


# One row of each kind, and where it is found.
SUBJECTS = {"entity": entity("ada", 5), "memory": memory("m1", "ada", revision=5), "relation": relation("r1", "ada", "ben", 5)}
AT = {"entity": ("ada",), "memory": ("m1",), "relation": ("r1", "ada", "ben")}
