"""Nodes and edges in memory, as an engine without constraints keeps them: several of a name, and some without one.

Must stay out: what they mean (`graph.py`).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from memory_pipelines.ports import Marker


@dataclass(eq=False)
class Node:
    """A node with one label; `out` and `into` are its edges."""

    label: str
    props: dict[str, Any]
    out: list[Edge] = field(default_factory=list)
    into: list[Edge] = field(default_factory=list)

    @property
    def id(self) -> Any:
        """Its `id`, None where it has none."""
        return self.props.get("id")


@dataclass(eq=False)
class Edge:
    """An edge of one type."""

    source: Node
    type: str
    target: Node
    props: dict[str, Any]


class Nodes:
    """All of a graph, and its marker. Whoever reads or writes holds `lock`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.empty()

    def empty(self) -> None:
        """Drop everything, the marker too."""
        with self.lock:
            self.marker = Marker()
            self._nodes: dict[int, Node] = {}
            self._by_id: dict[tuple[str, str], Node] = {}

    def find(self, label: str, id_: str) -> Node | None:
        """The node of this label and id."""
        return self._by_id.get((label, id_))

    def merge(self, label: str, id_: str) -> Node:
        """The node of this label and id, made if need be."""
        return self.find(label, id_) or self.make(label, {"id": id_})

    def make(self, label: str, props: dict[str, Any]) -> Node:
        """A new node."""
        node = Node(label, props)
        self._nodes[id(node)] = node
        if isinstance(node.id, str):
            self._by_id.setdefault((label, node.id), node)
        return node

    def draw(self, source: Node, type_: str, target: Node, props: dict[str, Any]) -> Edge:
        """A new edge."""
        edge = Edge(source, type_, target, props)
        source.out.append(edge)
        target.into.append(edge)
        return edge

    def cut(self, edge: Edge) -> None:
        """Remove an edge."""
        edge.source.out.remove(edge)
        edge.target.into.remove(edge)

    def drop(self, node: Node) -> None:
        """Remove a node with its edges."""
        for edge in {*node.out, *node.into}:
            self.cut(edge)
        del self._nodes[id(node)]
        for key in [key for key, one in self._by_id.items() if one is node]:
            del self._by_id[key]

    def nodes(self, label: str) -> list[Node]:
        """All nodes of a label."""
        return [node for node in self._nodes.values() if node.label == label]

    def edges(self, label: str | None, type_: str) -> list[Edge]:
        """All edges of a type that start at a node of a label, or anywhere."""
        return [edge for node in self._nodes.values() if label in (None, node.label) for edge in node.out if edge.type == type_]


def live(props: dict[str, Any]) -> bool:
    """Whether these are no tombstone's."""
    return props.get("deleted") is None


def named(id_: object) -> bool:
    """Whether an id is one that can be asked for."""
    return isinstance(id_, str) and id_ != ""


def placed(node: Node) -> bool:
    """Whether a node has a bucket and a leaf."""
    bucket, leaf = node.props.get("bucket"), node.props.get("leaf")
    return type(bucket) is int and type(leaf) is int and 0 <= bucket < 4096 and 0 <= leaf < 256
