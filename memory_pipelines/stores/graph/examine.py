"""What `doctor` looks at in the graph: version, indexes, constraints, durability, and its marker. Nothing is written.

What differs between engines is asked of the transport (`ports.GraphTransport.laid_out`); to add a check, add it here. Must stay out:
comparing the marker with the record (`services/doctor.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from memory_pipelines.domain.diagnosis import Check, Examination, error, ok, warning
from memory_pipelines.domain.errors import MemoryPipelinesError
from memory_pipelines.ports import GraphTransport
from memory_pipelines.stores.graph.statements import statements

OLDEST = {"Neo4j": (5, 26), "Memgraph": (3, 0), "FalkorDB": (4, 0)}
INDEXED = frozenset({("Memory", "id"), ("Entity", "id"), ("Marker", "id"), ("Memory", "bucket"), ("Entity", "bucket")})
UNIQUE = frozenset({("Memory", "id"), ("Entity", "id"), ("Marker", "id")})
_MIGRATE = "Run `memory-pipelines migrate`: it makes what is missing."


class GraphExaminer:
    """`ports.Examiner` of the graph.

    Args:
        transport: see `ports.GraphTransport`; closed at the end.
    """

    def __init__(self, transport: GraphTransport) -> None:
        self._transport = transport
        self._facts: dict[str, Any] = {}

    def examine(self) -> Examination:
        """Look at all of it; where the graph does not answer that is the only check."""
        try:
            try:
                health = self._transport.health()
            except MemoryPipelinesError as failure:
                fix = "Start it, or correct MEMORY_GRAPH_URL, MEMORY_GRAPH_USER and MEMORY_GRAPH_PASSWORD."
                return Examination((error("graph.connection", failure.message, fix),))
            checks = list(_version(health))
            for name, look in (("graph.indexes", self._layout), ("graph.marker", self._marker), ("graph.persistence", self._durability)):
                try:
                    checks += look()
                except MemoryPipelinesError as failure:
                    checks.append(error(name, f"could not look: {failure.message}", "See that the graph's user may read its schema."))
            return Examination(tuple(checks), self._facts)
        finally:
            self._transport.close()

    def _layout(self) -> Iterable[Check]:
        found = self._transport.laid_out()
        if found is None:
            yield warning("graph.indexes", "the graph does not exist yet", _MIGRATE)
            return
        if missing := sorted(INDEXED - found.indexes):
            yield error("graph.indexes", f"missing: {_pairs(missing)}; a batch slows down with every row", _MIGRATE)
        else:
            yield ok("graph.indexes", f"{len(INDEXED)} there")
        if missing := sorted(UNIQUE - found.unique):
            yield error("graph.constraints", f"missing: {_pairs(missing)}; two writers could make a row twice", _MIGRATE)
        else:
            yield ok("graph.constraints", f"{len(UNIQUE)} there")
        self._facts["exists"] = True

    def _marker(self) -> Iterable[Check]:
        if not self._facts.get("exists"):
            self._facts |= {"marker": 0, "claim": 0}
            return ()
        rows = self._transport.run(statements("marker")["marker"])
        counter, claim, fence = (int(value) for value in rows[0]) if rows else (0, 0, 0)
        self._facts |= {"marker": counter, "claim": max(claim, fence)}
        return ()

    def _durability(self) -> Iterable[Check]:
        losses = self._transport.durability()
        if not losses:
            yield ok("graph.persistence", "nothing is known that would lose acknowledged writes")
        for loss in losses:
            yield warning("graph.persistence", f"It may lose writes that it acknowledged. {loss}", "Start it with the flag named.")


def _version(health: Any) -> Iterable[Check]:
    server, version = str(health.get("server")), health.get("version")
    shown = f"{server} {version or 'of an unknown version'}"
    numbers = tuple(int(part) for part in re.findall(r"\d+", str(version or ""))[:2])
    oldest = OLDEST.get(server)
    if not numbers:
        yield warning("graph.server", shown, "Its version could not be read: see that it is one of those in docs/operating.md.")
    elif oldest is not None and numbers < oldest:
        yield error("graph.server", shown, f"Upgrade to {server} {'.'.join(map(str, oldest))} or later.")
    else:
        yield ok("graph.server", shown)


def _pairs(missing: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{label}.{name}" for label, name in missing)
