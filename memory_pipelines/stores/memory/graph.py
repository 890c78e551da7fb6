"""The graph projection within one process: the marker, the same guards and the same answers as the Cypher statements give.

Its end is an emptied graph, and the marker of the next process says so: everything is owed again. Nodes and edges are kept as an
engine keeps them, duplicates and strays included, so that an audit has something to find. To follow a change of a statement in
`stores/graph/cypher`, change the method of the same name here; the same suite holds for both. Must stay out: speed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from memory_pipelines.ports import Applied, Marker
from memory_pipelines.stores.memory.nodes import Edge, Node, Nodes, live, named, placed

_LABELS = {"memory": "Memory", "entity": "Entity"}
_EDGES = {"mention": ("Memory", "MENTIONS"), "relation": ("Entity", "RELATES_TO")}
Row = Mapping[str, Any]

_all: dict[str, Nodes] = {}
_lock = threading.Lock()


def held(name: str) -> Nodes:
    """What the stores of `name` share in this process."""
    with _lock:
        return _all.setdefault(name, Nodes())


class MemoryGraph:
    """`ports.GraphStore` in this process.

    Args:
        name: stores with the same name share a graph.
    """

    def __init__(self, name: str) -> None:
        self._held = held(name)

    def prepare(self, *, again: bool = False) -> None:
        """Nothing to prepare."""

    def close(self) -> None:
        """Nothing to close: what is held is the process's."""

    def health(self) -> Mapping[str, Any]:
        """What it is; a warning that nothing of it outlives the process."""
        lost = "It lives in this process alone: its end drops the graph, and all of it is owed again."
        return {"server": "memory", "version": "1", "warnings": (lost,)}

    # -- writing -----------------------------------------------------------------------------------------------------

    def apply(self, kind: str, rows: Sequence[Row], *, claim: int, issued: int, settled: int) -> Applied:
        """See `CypherGraph.apply`."""
        write: dict[str, Callable[[Row], bool]] = {
            "memory": self._apply_memory, "entity": self._apply_entity, "relation": self._apply_relation,
            "buried_relation": self._bury_relation, "strays": self._remove_strays,
            "copies_memory": lambda row: self._remove_copies("Memory", row),
            "copies_entity": lambda row: self._remove_copies("Entity", row),
        }  # fmt: skip
        with self._held.lock:
            marker = self._held.marker
            offered = max(marker.claim, claim)
            accepted = marker.counter >= settled and marker.fence <= claim and offered <= issued
            self._held.marker = Marker(marker.counter + accepted, offered, marker.fence)
            if not accepted:
                return Applied(None)
            written = [(str(row["id"]), write[kind](row)) for row in rows]
            refused = tuple(id_ for id_, fresh in written if not fresh)
            return Applied(self._held.marker.counter, len(written) - len(refused), refused)

    def marker(self) -> Marker:
        """See `CypherGraph.marker`."""
        return self._held.marker

    def raise_marker(self, counter: int) -> None:
        """See `CypherGraph.raise_marker`."""
        with self._held.lock:
            now = self._held.marker
            self._held.marker = Marker(max(now.counter, counter), now.claim, now.fence)

    def raise_fence(self, claim: int) -> None:
        """See `CypherGraph.raise_fence`."""
        with self._held.lock:
            now = self._held.marker
            self._held.marker = Marker(now.counter, max(now.claim, claim), max(now.fence, claim))

    def shut(self, issued: int, never: int) -> bool:
        """See `CypherGraph.shut`."""
        with self._held.lock:
            now = self._held.marker
            if met := max(now.claim, now.fence) > issued:
                self._held.marker = Marker(now.counter, never, never)
            return met

    def drop(self) -> Iterator[int]:
        """Delete every node, the marker last; gives how many went."""
        with self._held.lock:
            nodes = [node for label in ("Memory", "Entity") for node in self._held.nodes(label)]
            for node in nodes:
                self._held.drop(node)
            self._held.marker = Marker()
        yield len(nodes)

    def tombstones(self, kind: str, *, limit: int) -> list[dict[str, str]]:
        """See `CypherGraph.tombstones`."""
        with self._held.lock:
            if kind == "relation":
                found = [
                    {"id": edge.props["id"], "source": edge.source.id, "target": edge.target.id}
                    for edge in self._held.edges("Entity", "RELATES_TO")
                    if edge.props.get("deleted") is True and edge.props.get("id") is not None and edge.target.label == "Entity"
                    and edge.source.id is not None and edge.target.id is not None
                ]  # fmt: skip
            else:
                graves = (node for node in self._held.nodes(_LABELS[kind]) if node.props.get("deleted") is True and node.id is not None)
                found = [{"id": node.id} for node in graves if kind == "memory" or not (node.out or node.into)]
            return found[:limit]

    def purge(self, kind: str, rows: Sequence[Mapping[str, str]]) -> None:
        """See `CypherGraph.purge`."""
        with self._held.lock:
            for row in rows:
                if kind == "relation":
                    for edge in self._between(row["source"], row["target"], row["id"]):
                        if edge.props.get("deleted") is True and edge.target.label == "Entity":
                            self._held.cut(edge)
                    continue
                node = self._held.find(_LABELS[kind], row["id"])
                if node and node.props.get("deleted") is True and (kind == "memory" or not (node.out or node.into)):
                    self._held.drop(node)

    def _apply_memory(self, row: Row) -> bool:
        node = self._held.merge("Memory", row["id"])
        if not _fresh([node.props], row):
            return False
        for edge in [edge for edge in node.out if edge.type == "MENTIONS"]:
            self._held.cut(edge)
        node.props = dict(row["props"])
        for mention in row["mentions"]:
            self._held.draw(node, "MENTIONS", self._held.merge("Entity", mention["entity"]), {"dh": mention["dh"], "dl": mention["dl"]})
        return True

    def _apply_entity(self, row: Row) -> bool:
        node = self._held.merge("Entity", row["id"])
        if fresh := _fresh([node.props], row):
            node.props = dict(row["props"])
        return fresh

    def _apply_relation(self, row: Row) -> bool:
        source, target = self._held.merge("Entity", row["source"]), self._held.merge("Entity", row["target"])
        return self._replace(
            row, source, target, [edge for edge in self._between(source.id, target.id, row["id"]) if edge.target is target]
        )

    def _bury_relation(self, row: Row) -> bool:
        source, target = (self._end(row[end]) for end in ("source", "target"))
        return self._replace(row, source, target, self._between(row["source"], row["target"], row["id"]))

    def _end(self, id_: str) -> Node:
        """An end that a tombstone of a relation can hang on; a tombstone older than any revision where there was none."""
        found = self._held.find("Entity", id_)
        return found or self._held.make("Entity", {"id": id_, "deleted": True, "revision": -1})

    def _replace(self, row: Row, source: Node, target: Node, olds: list[Edge]) -> bool:
        if not _fresh([edge.props for edge in olds], row):
            return False
        for edge in olds:
            self._held.cut(edge)
        self._held.draw(source, "RELATES_TO", target, dict(row["props"]))
        return True

    def _remove_strays(self, row: Row) -> bool:
        del row
        for label, kind in _EDGES.values():
            for edge in self._stray_edges(label, kind):
                self._held.cut(edge)
        for label in _LABELS.values():
            for node in [node for node in self._held.nodes(label) if not named(node.id)]:
                self._held.drop(node)
        return True

    def _remove_copies(self, label: str, row: Row) -> bool:
        for node in [node for node in self._held.nodes(label) if node.id == row["id"]][1:]:
            self._held.drop(node)
        return True

    def _stray_edges(self, label: str, kind: str) -> list[Edge]:
        """Edges that nobody can name, or that start where none of their kind may."""
        found = []
        for edge in self._held.edges(None, kind):
            nameless = kind == "RELATES_TO" and not named(edge.props.get("id"))
            if nameless or edge.source.label != label or not named(edge.source.id) or not named(edge.target.id):
                found.append(edge)
        return found

    def _between(self, source: str, target: str, id_: str) -> list[Edge]:
        """Relations with this id from an entity to whatever node has the target's id."""
        node = self._held.find("Entity", source)
        edges = node.out if node else []
        return [edge for edge in edges if edge.type == "RELATES_TO" and edge.props.get("id") == id_ and edge.target.id == target]

    # -- traversal ---------------------------------------------------------------------------------------------------

    def neighbours(self, entity_id: str, *, limit: int) -> list[dict[str, Any]]:
        """See `CypherGraph.neighbours`."""
        with self._held.lock:
            node = self._held.find("Entity", entity_id)
            if node is None:
                return []
            found: list[dict[str, Any]] = []
            for direction, edges in (("out", node.out), ("in", node.into)):
                related = []
                for edge in edges:
                    other = edge.target if direction == "out" else edge.source
                    if edge.type == "RELATES_TO" and live(edge.props) and _known(other):
                        related.append({**_shown(other), "direction": direction, "predicate": edge.props.get("predicate"), "shared": 0})
                found += sorted(related, key=lambda row: (row["name"], str(row["predicate"])))[:limit]
            met = {id(edge.source): edge.source for edge in node.into if edge.type == "MENTIONS" and edge.source.label == "Memory"}
            others = {id(edge.target): edge.target for memory in met.values() for edge in memory.out if edge.type == "MENTIONS"}
            shared = Counter(
                target for memory in met.values() for target in {id(edge.target) for edge in memory.out if edge.type == "MENTIONS"}
            )
            together = [
                {**_shown(others[key]), "direction": "together", "predicate": None, "shared": count}
                for key, count in shared.items()
                if others[key].id != entity_id and _known(others[key])
            ]
            found += sorted(together, key=lambda row: (-row["shared"], row["name"]))[:limit]
            return found[: limit * 2]

    def memories_of(self, entity_id: str, *, limit: int) -> list[str]:
        """See `CypherGraph.memories_of`."""
        with self._held.lock:
            node = self._held.find("Entity", entity_id)
            edges = [edge for edge in node.into if edge.type == "MENTIONS"] if node else []
            memories = [edge.source for edge in edges if edge.source.label == "Memory" and live(edge.source.props)]
            return [str(memory.id) for memory in sorted(memories, key=lambda memory: -memory.props.get("created_at", 0))][:limit]

    # -- audit -------------------------------------------------------------------------------------------------------

    def sums(self, kind: str, *, buckets: Sequence[int] | None = None, leaves: bool = True) -> list[list[int]]:
        """See `CypherGraph.sums`."""
        wanted = None if buckets is None else set(buckets)
        totals: dict[tuple[Any, ...], list[int]] = {}
        with self._held.lock:
            for place, props in self._live(kind):
                bucket, leaf = place.get("bucket"), place.get("leaf")
                key: tuple[Any, ...] = (bucket,) if wanted is None or not leaves else (bucket, leaf)
                if not all(type(part) is int for part in key) or not 0 <= key[0] < 4096:
                    continue  # nobody's
                if wanted is not None and bucket not in wanted:
                    continue
                total = totals.setdefault(key, [0, 0, 0])
                for n, value in enumerate((1, _whole(props.get("dh")), _whole(props.get("dl")))):
                    total[n] += value
        return [[*key, *total] for key, total in totals.items()]

    def rows(
        self, kind: str, *, ids: Sequence[Mapping[str, str]] | Sequence[str] | None = None,
        cells: Sequence[tuple[int, int]] | None = None, buckets: tuple[int, int] | None = None, nobodys: int | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """See `CypherGraph.rows`."""
        with self._held.lock:
            if ids is not None:
                return self._by_id(kind, ids)
            if cells is not None:
                wanted = set(cells)
                return self._where(kind, lambda place: (place.props.get("bucket"), place.props.get("leaf")) in wanted)
            if buckets is not None:
                first, end = buckets
                return self._where(kind, lambda place: type(place.props.get("bucket")) is int and first <= place.props["bucket"] < end)
            return self._where(kind, lambda place: not placed(place), nobodys=True)[: nobodys or 1000]

    def between(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """See `CypherGraph.between`."""
        wanted = set(pairs)
        with self._held.lock:
            return [
                {"source": edge.source.id, "target": edge.target.id, "props": dict(edge.props)}
                for edge in self._held.edges("Entity", "RELATES_TO")
                if live(edge.props) and edge.target.label == "Entity" and (edge.source.id, edge.target.id) in wanted
            ]

    def strays(self) -> int:
        """See `CypherGraph.strays`."""
        with self._held.lock:
            nodes = sum(1 for label in _LABELS.values() for node in self._held.nodes(label) if not named(node.id))
            return nodes + sum(len(self._stray_edges(label, kind)) for label, kind in _EDGES.values())

    def stray_pairs(self) -> list[tuple[str, str]]:
        """See `CypherGraph.stray_pairs`."""
        with self._held.lock:
            ours = [edge for edge in self._stray_edges("Entity", "RELATES_TO") if edge.source.label == edge.target.label == "Entity"]
            return sorted({(str(edge.source.id), str(edge.target.id)) for edge in ours if named(edge.source.id) and named(edge.target.id)})

    def counts(self) -> dict[str, int]:
        """See `CypherGraph.counts`."""
        with self._held.lock:
            nodes = {kind: sum(1 for node in self._held.nodes(label) if live(node.props)) for kind, label in _LABELS.items()}
            edges = {kind: self._held.edges(None, type_) for kind, (_, type_) in _EDGES.items()}
            return nodes | {"mention": len(edges["mention"]), "relation": sum(1 for edge in edges["relation"] if live(edge.props))}

    def _live(self, kind: str) -> list[tuple[Row, Row]]:
        """What is live of a kind: the properties that place it, and its own."""
        if kind in _LABELS:
            return [(node.props, node.props) for node in self._held.nodes(_LABELS[kind]) if live(node.props)]
        return [(edge.source.props, edge.props) for edge in self._held.edges(*_EDGES[kind]) if kind == "mention" or live(edge.props)]

    def _where(self, kind: str, condition: Callable[[Node], bool], *, nobodys: bool = False) -> list[dict[str, Any]]:
        if kind in _LABELS:
            nodes = [node for node in self._held.nodes(_LABELS[kind]) if live(node.props) and condition(node)]
            return [{"id": node.id, "props": dict(node.props)} for node in nodes]
        label, type_ = _EDGES[kind]
        edges = [edge for edge in self._held.edges(None if nobodys else label, type_) if kind == "mention" or live(edge.props)]
        return [_edge(kind, edge, label) for edge in edges if condition(edge.source) or (nobodys and edge.source.label != label)]

    def _by_id(self, kind: str, ids: Sequence[Any]) -> list[dict[str, Any]]:
        if kind in _LABELS:
            nodes = [self._held.find(_LABELS[kind], id_) for id_ in ids]
            return [{"id": node.id, "props": dict(node.props)} for node in nodes if node is not None]
        label, type_ = _EDGES[kind]
        found = []
        for wanted in ids:
            source = self._held.find(label, wanted["source"])
            for edge in source.out if source else ():
                if (
                    edge.type == type_
                    and edge.target.id == wanted["target"]
                    and (kind == "mention" or edge.props.get("id") == wanted["id"])
                ):
                    stands = _stands(edge.source, label) and _stands(edge.target, "Entity")
                    found.append({**_edge(kind, edge, label), "dangling": not stands})
        return found


def _fresh(held: Sequence[Row], row: Row) -> bool:
    """Whether nothing newer is held; a revision that is no number is older than any."""
    newest = max((_whole(props.get("revision"), -1) for props in held), default=-1)
    return bool(newest <= row["revision"] or newest == row["expect"])


def _stands(node: Node, label: str) -> bool:
    return node.label == label and live(node.props)


def _known(node: Node) -> bool:
    return node.label == "Entity" and live(node.props) and node.props.get("name") is not None


def _shown(node: Node) -> dict[str, Any]:
    return {"id": node.id, "name": node.props.get("name"), "type": node.props.get("type")}


def _edge(kind: str, edge: Edge, label: str) -> dict[str, Any]:
    source = edge.source.id if edge.source.label == label else None
    id_ = f"{source}:{edge.target.id}" if kind == "mention" else edge.props.get("id")
    return {"id": id_, "source": source, "target": edge.target.id, "props": dict(edge.props)}


def _whole(value: object, otherwise: int = 0) -> int:
    return value if type(value) is int else otherwise
