"""What the record's port promises, in plain Python and by other means than any store: no ids, no times, no tables.

Names stand for subjects: a memory is its key, an entity its name, a relation its three words. A debt is a count of how often its
subject was owed: it stays payable only under the count that was noted. Must stay out: calls of a store, and how one does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Origin = Literal["given", "extracted"]
Triple = tuple[str, str, str]
Subject = tuple[str, str, Any]  # projection, kind, name


@dataclass(frozen=True)
class Said:
    """Links of one memory: entities with their types, and relations, whose ends are entities of no type."""

    entities: Mapping[str, str] = field(default_factory=dict)
    relations: frozenset[Triple] = frozenset()

    def named(self) -> dict[str, str]:
        """Every entity with its type."""
        ends = {end: "thing" for source, _, target in self.relations for end in (source, target)}
        return {**ends, **self.entities}


@dataclass
class Memory:
    """A memory of the model; `live` is false for a tombstone."""

    version: int = 0
    revision: int = 0
    live: bool = False
    content: dict[str, Any] = field(default_factory=dict)
    operations: list[tuple[str, str | None]] = field(default_factory=list)
    links: dict[Origin, Said] = field(default_factory=lambda: {"given": Said(), "extracted": Said()})

    def names(self) -> set[str]:
        return {name for said in self.links.values() for name in said.named()}

    def triples(self) -> set[Triple]:
        return {triple for said in self.links.values() for triple in said.relations}


@dataclass
class Supported:
    """An entity or a relation: alive while a memory says it."""

    revision: int = 1
    live: bool = True
    type: str = "thing"


@dataclass
class Debt:
    """Owed under the `count`-th owing, or settled."""

    count: int = 0
    owed: bool = False
    parked: bool = False
    marker: int | None = None
    forced: int | None = None
    version: int | None = None  # settled


class Model:
    """The whole record."""

    def __init__(self) -> None:
        self.memories: dict[str, Memory] = {}
        self.entities: dict[str, Supported] = {}
        self.relations: dict[Triple, Supported] = {}
        self.debts: dict[Subject, Debt] = {}
        self.vectors: set[tuple[str, str]] = set()  # kind, name
        self.highest = 0  # marker ever settled
        self.issued = 0  # the newest claim
        self.void = 0  # claims up to it settle nothing in the graph
        self.batches: dict[int, int] = {}

    # -- writes ------------------------------------------------------------------------------------------------------

    def save(self, rows: Iterable[tuple[str, dict[str, Any]]], *, revive: bool) -> list[tuple[str, int]]:
        """Outcome and version of each row of a batch. Their links are set once all are saved, of each memory the last."""
        results, links = [], {}
        for key, content in rows:
            memory = self.memories.setdefault(key, Memory())
            outcome = self._outcome(memory, content, revive)
            if outcome in ("created", "updated", "revived"):
                if content["links"] != Said() or (memory.live and memory.content["links"] != Said()):
                    links[key] = content["links"]
                self._write(key, memory, outcome, content)
            results.append((outcome, memory.version))
        self._link(links, "given")
        return results

    def _outcome(self, memory: Memory, content: dict[str, Any], revive: bool) -> str:
        if memory.version == 0:
            return "created"
        if memory.live:
            return "unchanged" if memory.content == content else "updated"
        return "revived" if revive else "forgotten"

    def update(self, key: str, changes: dict[str, Any]) -> tuple[str, int]:
        """Outcome and version of an update of a live memory."""
        memory = self.memories[key]
        content = {**memory.content, **changes}
        if content == memory.content:
            return "unchanged", memory.version
        self._write(key, memory, "updated", content)
        if "links" in changes:
            self._link({key: changes["links"]}, "given")
        return "updated", memory.version

    def _write(self, key: str, memory: Memory, operation: str, content: dict[str, Any]) -> None:
        same_text = memory.live and memory.content["text"] == content["text"]
        memory.version, memory.revision, memory.live, memory.content = memory.version + 1, memory.revision + 1, True, content
        memory.operations.append((operation, content["text"]))
        for projection in ("entities", "embeddings"):
            debt = self.debt(projection, "memory", key)
            if same_text and not debt.owed:
                debt.version = memory.version  # what hangs on the text alone is as good as before
            else:
                self.owe(projection, "memory", key)
        self.owe("graph", "memory", key)

    def forget(self, key: str) -> bool:
        """Whether there was something to forget."""
        memory = self.memories[key]
        if not memory.live:
            return False
        memory.version, memory.revision, memory.live, memory.content = memory.version + 1, memory.revision + 1, False, {}
        memory.operations = [(operation, None) for operation, _ in memory.operations] + [("forgotten", None)]
        names, triples = memory.names(), memory.triples()
        memory.links = {"given": Said(), "extracted": Said()}
        self._bury(names, triples)
        self.vectors.discard(("memory", key))
        for projection in ("entities", "embeddings"):
            self._settle(self.debt(projection, "memory", key), memory.version)
        self.owe("graph", "memory", key)
        return True

    def _link(self, wanted: Mapping[str, Said], origin: Origin) -> set[str]:
        """Set what one origin says of some memories. Returns those whose mentions changed."""
        before = {key: (self.memories[key].names(), self.memories[key].triples()) for key in wanted}
        for key, said in wanted.items():
            self.memories[key].links[origin] = said
        types: dict[str, str] = {}
        for said in wanted.values():
            for name, type_ in said.named().items():
                types[name] = type_ if types.get(name, "thing") == "thing" else types[name]
        for name, type_ in types.items():
            entity = self.entities.get(name)
            if entity is None:
                self.entities[name] = Supported(type=type_)
            elif not entity.live:
                entity.live, entity.type, entity.revision = True, type_, entity.revision + 1
            elif entity.type == "thing" != type_:
                entity.type, entity.revision = type_, entity.revision + 1
            else:
                continue
            self.owe("graph", "entity", name)
            self.owe("embeddings", "entity", name)
        for triple in {triple for said in wanted.values() for triple in said.relations}:
            relation = self.relations.get(triple)
            if relation is None:
                self.relations[triple] = Supported()
            elif not relation.live:
                relation.live, relation.revision = True, relation.revision + 1
            else:
                continue
            self.owe("graph", "relation", triple)
        for names, triples in before.values():
            self._bury(names, triples)
        return {key for key, (names, _) in before.items() if names != self.memories[key].names()}

    def _bury(self, names: set[str], triples: set[Triple]) -> None:
        """Delete, of these, what no memory says any more."""
        said = {name for memory in self.memories.values() for name in memory.names()}
        stated = {triple for memory in self.memories.values() for triple in memory.triples()}
        for name in names - said:
            entity = self.entities[name]
            if entity.live:
                entity.live, entity.revision = False, entity.revision + 1
                self.vectors.discard(("entity", name))
                self.owe("graph", "entity", name)
                self._settle(self.debt("embeddings", "entity", name), entity.revision)
        for triple in triples - stated:
            relation = self.relations[triple]
            if relation.live:
                relation.live, relation.revision = False, relation.revision + 1
                self.owe("graph", "relation", triple)

    # -- the ledger --------------------------------------------------------------------------------------------------

    def debt(self, projection: str, kind: str, name: Any) -> Debt:
        return self.debts.setdefault((projection, kind, name), Debt())

    def owe(self, projection: str, kind: str, name: Any) -> None:
        """A new debt; a parked one is released."""
        debt = self.debt(projection, kind, name)
        debt.count, debt.owed, debt.parked = debt.count + 1, True, False

    def owed(self, projection: str) -> set[tuple[str, Any]]:
        """What a claim can be given."""
        return {(kind, name) for (of, kind, name), debt in self.debts.items() if of == projection and debt.owed and not debt.parked}

    def _settle(self, debt: Debt, version: int, marker: int | None = None) -> None:
        debt.owed, debt.parked, debt.version = False, False, version
        debt.marker = marker or debt.marker

    def settle_graph(self, claim: int, marker: int, rows: Mapping[Subject, tuple[int, int]]) -> dict[str, int]:
        """What settling a batch answers; `rows` are the counts that were noted, with the versions."""
        if claim <= self.void:
            return {"settled": 0, "lost": 0}
        if self.batches.setdefault(marker, claim) != claim:
            return {"settled": 0, "lost": self.lose(marker - 1)}
        paid = [(self.debts[subject], version) for subject, (count, version) in rows.items() if self._payable(subject, count)]
        for debt, version in paid:
            self._settle(debt, version, marker)
            debt.forced = None
        if paid:
            self.highest = max(self.highest, marker)
        return {"settled": len(paid), "lost": 0}

    def _payable(self, subject: Subject, count: int) -> bool:
        return self.debts[subject].owed and self.debts[subject].count == count

    def lose(self, marker: int) -> int:
        """What was settled above a marker is owed again, and every claim is void; what is owed already stays under its number."""
        self.void = self.issued
        lost = [debt for (of, _, _), debt in self.debts.items() if of == "graph" and debt.marker is not None and debt.marker > marker]
        for debt in lost:
            debt.count += not debt.owed
            debt.owed, debt.parked, debt.marker = True, False, None
        return len(lost)

    def store_links(self, rows: Mapping[str, tuple[int, int, Said]]) -> dict[str, int]:
        """What storing extracted links answers; per memory the count and the version that were noted, and the links."""
        fresh = {key: said for key, (_, version, said) in rows.items() if self._is(key, version)}
        for key in self._link(fresh, "extracted"):
            self.memories[key].revision += 1
            self.owe("graph", "memory", key)
        return self._store({("entities", "memory", key): row[:2] for key, row in rows.items()})

    def store_embeddings(self, rows: Mapping[Subject, tuple[int, int]]) -> dict[str, int]:
        """What storing vectors answers."""
        for (_, kind, name), (_, version) in rows.items():
            if self._is(name, version, kind):
                self.vectors.add((kind, name))
        return self._store(rows)

    def _store(self, rows: Mapping[Subject, tuple[int, int]]) -> dict[str, int]:
        paid = 0
        for subject, (count, version) in rows.items():
            _, kind, name = subject
            if self._payable(subject, count) and (self._is(name, version, kind) or not self._subject(kind, name).live):
                self._settle(self.debts[subject], version)
                paid += 1
        return {"stored": paid, "superseded": len(rows) - paid}

    def _subject(self, kind: str, name: str) -> Memory | Supported:
        return self.memories[name] if kind == "memory" else self.entities[name]

    def _is(self, name: str, version: int, kind: str = "memory") -> bool:
        subject = self._subject(kind, name)
        return subject.live and version == (subject.version if isinstance(subject, Memory) else subject.revision)

    def park(self, rows: Mapping[Subject, int]) -> int:
        """How many of some failures, which are final, are charged; by the counts that were noted."""
        charged = [subject for subject, count in rows.items() if self._payable(subject, count)]
        for subject in charged:
            self.debts[subject].parked = True
        return len(charged)
