"""The graph's store: batches under the marker, traversal, and what audits read. Knows every statement, no engine.

A new read is a statement in `cypher/`, a method here and a line in `ports.GraphStore`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memory_pipelines.domain.errors import Refused
from memory_pipelines.ports import Applied, GraphTransport, Marker
from memory_pipelines.stores.graph.statements import statements

_log = logging.getLogger(__name__)
_DROPPED_AT_ONCE = 5000  # nodes with their edges; one statement must end within seconds
KINDS = ("memory", "entity", "mention", "relation")


class CypherGraph:
    """`ports.GraphStore` over any transport that runs Cypher.

    Args:
        transport: see `ports.GraphTransport`; closed with the store.
    """

    def __init__(self, transport: GraphTransport) -> None:
        self._transport = transport
        self._prepared = False

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()

    def prepare(self, *, again: bool = False) -> None:
        """Create indexes and constraints, once a process, or `again` after the graph was emptied; repeating it is silent.

        Also logs a warning for each way in which the server could lose what it acknowledged, and for a constraint that copies of nodes
        forbid: that one is asked for again by each batch, so that it is made once a repair has removed them.
        """
        if self._prepared and not again:
            return
        forbidden = None
        for statement in statements(f"schema/{self._transport.dialect}").values():
            try:
                self._transport.schema(statement)
            except Refused as error:
                if error.code != "graph_copies":
                    raise
                forbidden = error.message
        if forbidden is not None:
            _log.warning("%s", forbidden)
        unique = getattr(self._transport, "unique", None)
        if unique is not None:
            for label in ("Memory", "Entity", "Marker"):
                unique(label, "id")
        for loss in self._transport.durability():
            _log.warning("The graph may lose writes that it acknowledged. %s What is lost is noticed, and applied again.", loss)
        self._prepared = forbidden is None

    # -- writing -----------------------------------------------------------------------------------------------------

    def apply(self, kind: str, rows: Sequence[Mapping[str, Any]], *, claim: int, issued: int, settled: int) -> Applied:
        """Apply a batch of one kind as one statement under the marker.

        Args:
            kind: `memory`, `entity`, `relation`, `buried_relation`, `strays`, `copies_memory` or `copies_entity`.
            rows: `{id, revision, expect, props, mentions? | source?, target?}`; `expect` is -2 or the revision a repair saw.
            claim, issued, settled: of the claim that the rows came with.

        Returns:
            `marker` None when the marker refused the batch and nothing was written.
        """
        name = f"remove_{kind}" if kind.startswith(("copies", "strays")) else f"apply_{kind}"
        name = "bury_relation" if kind == "buried_relation" else name
        parameters = {"rows": list(rows), "claim": claim, "issued": issued, "settled": settled}
        answer = self._transport.run(statements("batches")[name], parameters, write=True)
        if not answer:
            return Applied(None)
        marker, offered, refused = answer[0]
        return Applied(int(marker), int(offered) - len(refused), tuple(str(id_) for id_ in refused))

    def marker(self) -> Marker:
        """The marker as it stands; all zero in an empty graph."""
        rows = self._read("marker", "marker")
        return Marker(*(int(value) for value in rows[0])) if rows else Marker()

    def raise_marker(self, counter: int) -> None:
        """Raise the counter to where it was before a rollback; call it only once everything lost is owed again."""
        self._transport.run(statements("marker")["raise_marker"], {"counter": counter}, write=True)

    def raise_fence(self, claim: int) -> None:
        """From now on, batches with a lower claim write nothing."""
        self._transport.run(statements("marker")["raise_fence"], {"claim": claim}, write=True)

    def shut(self, issued: int, never: int) -> bool:
        """Where claims above `issued` have been met, let no claim below `never` write any more. Says whether that was so: a graph that was
        dropped meanwhile has met none."""
        return bool(self._transport.run(statements("marker")["shut"], {"issued": issued, "never": never}, write=True))

    def tombstones(self, kind: str, *, limit: int) -> list[dict[str, str]]:
        """Tombstones of one kind that nothing hangs on: `{id}`, of relations `{id, source, target}`."""
        rows = self._read("marker", f"tombs_{kind}", limit=limit)
        return [dict(zip(("id", "source", "target"), row, strict=False)) for row in rows]

    def purge(self, kind: str, rows: Sequence[Mapping[str, str]]) -> None:
        """Delete tombstones that were listed before the fence was raised; what lives again meanwhile stays."""
        self._transport.run(statements("marker")[f"purge_{kind}"], {"rows": list(rows)}, write=True)

    def drop(self) -> Iterator[int]:
        """Delete everything that is ours, the marker last; gives the number of nodes of each page. Close the graph with the fence first."""
        for name in ("drop_memories", "drop_entities", "drop_marker"):
            while gone := int(self._transport.run(statements("marker")[name], {"limit": _DROPPED_AT_ONCE}, write=True)[0][0]):
                yield gone
        self._prepared = False

    # -- traversal ---------------------------------------------------------------------------------------------------

    def neighbours(self, entity_id: str, *, limit: int) -> list[dict[str, Any]]:
        """The nearest entities of one, each once: those that a relation joins to it, then those only mentioned together with it.

        Returns:
            At most `limit` of `{id, name, type, out, in, memories, newest}`: predicates by direction, as they stand there; how many
            memories mention both; the newest time of these in ms, None without one. Most memories first, then the newest: a lower
            limit gives the head of what a higher one gives.
        """
        related: list[dict[str, Any]] = []
        together: list[dict[str, Any]] = []
        for id_, name, type_, joined, memories, newest in self._read("reading", "mentioned_with", id=entity_id, limit=limit):
            (related if joined else together).append(_neighbour(id_, name, type_, int(memories), newest))
        if len(related) < limit:  # else memories mention all that there is room for
            known = {row["id"] for row in related}
            named = self._read("reading", "related_to", id=entity_id, limit=limit)
            related += [_neighbour(*row) for row in named if row[0] not in known]
        found: dict[str, dict[str, Any]] = {}
        for row in (*related, *together):
            found.setdefault(row["id"], row)
        nearest = list(found.values())[:limit]
        for statement, direction in (("predicates_to", "out"), ("predicates_from", "in")):
            for id_, predicates in self._read("reading", statement, id=entity_id, others=[row["id"] for row in nearest]):
                found[id_][direction] = [str(predicate) for predicate in predicates]
        return nearest

    def memories_of(self, entity_id: str, *, limit: int) -> list[str]:
        """Ids of the memories that mention an entity, newest first."""
        return [str(row[0]) for row in self._read("reading", "memories_of", id=entity_id, limit=limit)]

    # -- audit -------------------------------------------------------------------------------------------------------

    def sums(self, kind: str, *, buckets: Sequence[int] | None = None, leaves: bool = True) -> list[list[int]]:
        """`[bucket, count, high, low]` of what is live, or `[bucket, leaf, count, high, low]` within `buckets`; without `leaves`
        those of `buckets` alone, per bucket."""
        if buckets is None:
            rows = self._read("audit", f"sums_{kind}")
        else:
            rows = self._read("audit", f"{'leaves' if leaves else 'buckets'}_{kind}", buckets=list(buckets))
        places = 1 if buckets is None or not leaves else 2
        placed = [row for row in rows if all(type(value) is int for value in row[:places])]  # the rest is nobody's
        return [[round(value) for value in row] for row in placed if 0 <= row[0] < 4096]

    def rows(
        self, kind: str, *, ids: Sequence[Mapping[str, str]] | Sequence[str] | None = None,
        cells: Sequence[tuple[int, int]] | None = None, buckets: tuple[int, int] | None = None, nobodys: int | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Live rows as the graph shows them: `{id, props}`, edges with `source` and `target`.

        Args:
            ids: ids of nodes, or `{id, source, target}` of edges; tombstones come too, and each edge says whether it is `dangling`.
            cells: (bucket, leaf) pairs.
            buckets: first bucket and the one after the last.
            nobodys: at most so many rows that have no bucket.
        """
        if ids is not None:
            answer = self._read("audit", f"ids_{kind}", ids=list(ids))
        elif cells is not None:
            answer = self._read("audit", f"cells_{kind}", cells=[{"bucket": bucket, "leaf": leaf} for bucket, leaf in cells])
        elif buckets is not None:
            answer = self._read("audit", f"range_{kind}", **{"from": buckets[0], "below": buckets[1]})
        else:
            answer = self._read("audit", f"nobodys_{kind}", limit=nobodys or 1000)
        if kind == "mention":
            return [
                {"id": f"{source}:{target}", "source": source, "target": target, "props": props, "dangling": rest == [1]}
                for source, target, props, *rest in answer
            ]
        if kind == "relation":
            return [
                {"id": id_, "source": source, "target": target, "props": props, "dangling": rest == [1]}
                for id_, source, target, props, *rest in answer
            ]
        return [{"id": id_, "props": props} for id_, props in answer]

    def between(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Live relations from one entity to another, with an id or without: `{source, target, props}`."""
        wanted = [{"source": source, "target": target} for source, target in pairs]
        rows = self._read("repair", "between", pairs=wanted) if wanted else []
        return [{"source": source, "target": target, "props": props} for source, target, props in rows]

    def strays(self) -> int:
        """How many nodes and edges nobody can name: what a batch of `strays` removes."""
        return sum(int(self._read("repair", f"stray_{what}")[0][0]) for what in ("nodes", "relations", "mentions"))

    def stray_pairs(self) -> list[tuple[str, str]]:
        """Entities between which a relation without an id lies."""
        return [(str(source), str(target)) for source, target in self._read("repair", "stray_between")]

    def counts(self) -> dict[str, int]:
        """Live rows of each kind."""
        return {kind: int(self._read("audit", f"count_{kind}")[0][0]) for kind in KINDS}

    def health(self) -> Mapping[str, Any]:
        """Whether the graph answers, and what it is."""
        return self._transport.health()

    def _read(self, subject: str, name: str, **parameters: Any) -> list[list[Any]]:
        return self._transport.run(statements(subject)[name], parameters)


def _neighbour(id_: str, name: str, type_: str, memories: int = 0, newest: int | None = None) -> dict[str, Any]:
    return {"id": id_, "name": name, "type": type_, "out": [], "in": [], "memories": memories, "newest": newest}
