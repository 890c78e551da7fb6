"""The checker: what must be there according to the writers' own logs (`logs.py`), against what is there (`raw.py`).

It shares no code with the product, least of all with its audit: it imports nothing of `memory_pipelines` (a test holds that). Every
acknowledged deed counts; one whose answer is missing may have happened or not, but then wholly, in the record and everywhere else.

    lost        an acknowledged write that a store does not show, or shows differently
    duplicated  a node, an edge, a row or a version that is there twice for one cause
    ghost       what was deleted, or never was, and still shows on some path
    owed        a debt in the ledger, open or parked: the stores may agree, but somebody thinks they do not
    answer      a call was answered with what no order of the deeds allows

To add a check: a method of `_Comparison`. Must stay out: how a history was made to happen.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.faults import history
from benchmarks.faults.history import Content, State
from benchmarks.faults.logs import Expected, Problem
from benchmarks.faults.raw import Found

KINDS = ("lost", "duplicated", "ghost", "owed", "answer")


def compare(wanted: Expected, found: Found, embed: Callable[[list[str]], Any] | None = None) -> list[Problem]:
    """Everything in which the stores differ from what was acknowledged.

    Args:
        embed: gives a unit vector for each text, to hold the stored ones against; without it only their presence is checked.
    """
    comparison = _Comparison(wanted, found)
    comparison.record()
    comparison.texts()
    comparison.links()
    comparison.merges()
    comparison.vectors(embed)
    comparison.graph()
    comparison.ledger()
    return comparison.problems


class _Comparison:
    def __init__(self, wanted: Expected, found: Found) -> None:
        self.wanted, self.found = wanted, found
        self.problems = list(wanted.problems)
        self.live = {id_ for id_, row in found.memories.items() if not row["deleted"]}
        self.live_entities = {id_: row for id_, row in found.entities.items() if not row["deleted"]}
        self.live_relations = {id_: row for id_, row in found.relations.items() if not row["deleted"]}

        self.names = {id_: row["name"] for id_, row in found.entities.items()}
        self.names |= {id_: row["name"] for id_, row in found.aliases.items()}

    def root(self, entity: str) -> str:
        """What an entity is shown as: the end of its chain of merges."""
        for _ in self.found.aliases:
            if entity in self.found.aliases:
                entity = self.found.aliases[entity]["parent"]
        return entity

    def say(self, kind: str, what: str) -> None:
        self.problems.append((kind, what))

    def record(self) -> None:
        """Each memory is in a state that its deeds allow."""
        for id_ in self.found.memories.keys() - self.wanted.states.keys():
            self.say("ghost", f"memory {id_} in the record, which nobody saved")
        for id_, states in self.wanted.states.items():
            row = self.found.memories.get(id_)
            actual = None if row is None else State(row["version"], _content(row))
            if actual in states:
                if row is not None and row["namespace"] != self.wanted.namespaces.get(id_, row["namespace"]):
                    self.say("lost", f"memory {id_} stands in namespace {row['namespace']}")
                continue
            alive = [state for state in states if state is not None and state.content is not None]
            shown = "nothing" if actual is None else f"v{actual.version} {'a tombstone' if actual.content is None else actual.content}"
            detail = f"memory {id_} in the record: {shown}; allowed: {sorted(map(str, states))}"
            if actual is not None and any(s is not None and s.content == actual.content and s.version < actual.version for s in states):
                self.say("duplicated", detail)
            elif actual is not None and actual.content is not None and not alive:
                self.say("ghost", detail)
            else:
                self.say("lost", detail)

    def texts(self) -> None:
        """Tombstones hold no words, versions follow each other without gaps, passages make up their text."""
        for id_, row in self.found.memories.items():
            if row["deleted"]:
                words = [name for name in ("text", "key", "source", "thread", "given") if row[name] is not None]
                if words or row["metadata"] or not row["hashless"]:
                    self.say("ghost", f"tombstone {id_} holds {words or 'metadata or a hash'}")
        versions: dict[str, list[int]] = defaultdict(list)
        for id_, version, _, _, text, metadata, source in self.found.history:
            versions[id_].append(version)
            if id_ not in self.live and (text is not None or metadata is not None or source is not None):
                self.say("ghost", f"history of {id_} v{version} holds words of a deleted memory")
        for id_, row in self.found.memories.items():
            present = sorted([*versions.get(id_, []), row["version"]])
            if present != list(range(1, row["version"] + 1)):
                kind = "duplicated" if len(set(present)) < len(present) else "lost"
                self.say(kind, f"history of {id_}: versions {present}")
        for id_ in versions.keys() - self.found.memories.keys():
            self.say("ghost", f"history of {id_}, which is not there")
        for id_, pieces in self.found.passages.items():
            if id_ not in self.live:
                self.say("ghost", f"passages of {id_}, which is not there")
            elif [ordinal for ordinal, _, _ in pieces] != list(range(len(pieces))):
                self.say("lost", f"passages of {id_} have gaps")
        for id_ in self.live:
            row, pieces = self.found.memories[id_], self.found.passages.get(id_, [])
            if _bare("".join(text for _, _, text in pieces)) != _bare(row["text"]):
                self.say("lost", f"passages of {id_} are not its text")
            if any(version != row["version"] for _, version, _ in pieces):
                self.say("lost", f"passages of {id_} are of another version")

    def links(self) -> None:
        """Each memory mentions what its caller named and what its text names, and nothing else; so it is with relations."""
        names = self.names
        mentioned: dict[str, list[str | None]] = defaultdict(list)
        for memory, entity, shown in self.found.mentions:
            mentioned[memory].append(names.get(entity))
            if shown not in self.live_entities:
                self.say("lost", f"{memory} mentions {shown}, which is not alive")
            if shown != self.root(entity):
                self.say("lost", f"{memory} shows {entity} as {shown}, which is {self.root(entity)} by the aliases")
        stated: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for memory, relation, shown in self.found.statements:
            named, row = self.found.relations.get(relation), self.live_relations.get(shown)
            if named is None or row is None:
                self.say("lost", f"{memory} states relation {shown}, which is not alive")
                continue
            stated[memory].append((names.get(named["source"]), row["predicate"], names.get(named["target"])))
            if (row["source"], row["target"]) != (self.root(named["source"]), self.root(named["target"])):
                self.say("lost", f"{memory} shows relation {relation} as {shown}, which the aliases do not say")
        for memory in (mentioned.keys() | stated.keys()) - self.live:
            self.say("ghost", f"links of {memory}, which is not there")
        for id_ in self.live:
            row = self.found.memories[id_]
            found_names, found_relations = history.found_in(row["text"])
            kept = _content(row)
            wanted_names = found_names | {name for name, _ in (kept.entities if kept else ())}
            self._same(f"entities of {id_}", wanted_names, mentioned.get(id_, []))
            self._same(f"relations of {id_}", found_relations | set(kept.relations if kept else ()), stated.get(id_, []))
        supported = {entity for _, _, entity in self.found.mentions}
        for id_ in self.live_entities.keys() - supported:
            self.say("ghost", f"entity {id_} ({names[id_]}) lives, and nobody mentions it")
        for id_ in self.live_relations.keys() - {relation for _, _, relation in self.found.statements}:
            self.say("ghost", f"relation {id_} lives, and nobody states it")
        for id_, row in self.found.entities.items():
            if row["deleted"] and (row["name"] is not None or row["key"] is not None or row["type"] is not None):
                self.say("ghost", f"tombstone of entity {id_} holds its name")
        called = Counter((row["namespace"], row["name"]) for row in self.live_entities.values())
        for who in (who for who, times in called.items() if times > 1):
            self.say("duplicated", f"entity {who} lives {called[who]} times")

    def merges(self) -> None:
        """What was merged is merged, what was taken apart is apart."""
        everybody = [*self.found.entities.items(), *self.found.aliases.items()]
        ids = {(row["namespace"], row["name"]): id_ for id_, row in everybody if row["name"] is not None}
        for (namespace, name), allowed in self.wanted.merged.items():
            id_ = ids.get((namespace, name))
            if id_ is None or (id_ in self.found.aliases and self.names.get(self.found.aliases[id_]["parent"]) is None):
                continue  # nobody names it any more: so neither does the record
            alias = self.found.aliases.get(id_)
            actual = None if alias is None else self.names[alias["parent"]]
            # What it was merged into may live under another name, since nobody says its own any more: then only that it is merged is known.
            renamed = alias is not None and self._borrowed(alias["parent"])
            if not (allowed - {None} if renamed else actual in allowed):
                self.say("lost", f"entity {name} of {namespace} is merged into {actual}; allowed: {sorted(map(str, allowed))}")
        for row in self.found.aliases.values():
            if row["name"] is not None and (row["namespace"], row["name"]) not in self.wanted.merged:
                self.say("ghost", f"entity {row['name']} is merged into {self.names.get(row['parent'])}, and nobody asked for it")

    def _borrowed(self, id_: str) -> bool:
        """Whether an entity lives under the name of one that was merged into it."""
        return any(
            row["name"] == self.names[id_] and other != id_ and self.root(other) == self.root(id_)
            for other, row in self.found.aliases.items()
        )

    def _same(self, what: str, wanted: set[Any], actual: Sequence[Any]) -> None:
        if missing := wanted - set(actual):
            self.say("lost", f"{what}: {sorted(map(str, missing))} missing in the record")
        if more := set(actual) - wanted:
            self.say("ghost", f"{what}: {sorted(map(str, more))} should not be in the record")
        if len(actual) > len(set(actual)):
            self.say("duplicated", f"{what}: {sorted(map(str, actual))} in the record")

    def vectors(self, embed: Callable[[list[str]], Any] | None) -> None:
        """One vector for each passage and entity, of the version that is there, made from the words that are there."""
        wanted = {
            ("memory", id_, ordinal): (self.found.memories[id_]["version"], text, self.found.memories[id_]["namespace"])
            for id_ in self.live
            for ordinal, _, text in self.found.passages.get(id_, [])
        }
        wanted |= {("entity", id_, 0): (row["revision"], row["name"], row["namespace"]) for id_, row in self.live_entities.items()}
        seen: Counter[tuple[str, str, int]] = Counter()
        texts: list[str] = []
        stored: list[tuple[tuple[str, str, int], str]] = []
        for kind, id_, passage, _, version, namespace, _, vector in self.found.embeddings:
            place = (kind, id_, passage)
            seen[place] += 1
            if place not in wanted:
                self.say("ghost", f"vector of {place}, which is not there")
            elif (version, namespace) != (wanted[place][0], wanted[place][2]):
                self.say("lost", f"vector of {place} is of version {version} in {namespace}; wanted {wanted[place]}")
            else:
                texts.append(wanted[place][1])
                stored.append((place, vector))
        for place in wanted.keys() - seen.keys():
            self.say("lost", f"vector of {place} is missing")
        for place in (place for place, times in seen.items() if times > 1):
            self.say("duplicated", f"vector of {place} is there {seen[place]} times")
        if embed is None or not texts:
            return
        for (place, vector), made in zip(stored, embed(texts), strict=True):
            likeness = sum(a * b for a, b in zip(json.loads(vector), made, strict=True))
            if likeness < 0.999:
                self.say("lost", f"vector of {place} was made from other words (likeness {likeness:.3f})")

    def graph(self) -> None:
        """The graph shows what lives in the record, once, whole, and nothing else."""
        memories = {id_: row for id_, row in self.found.memories.items() if id_ in self.live}
        self._nodes(
            "memory",
            {id_: (row["namespace"], row["revision"], row["at"], *row["digest"]) for id_, row in memories.items()},
            [(row[0], (*row[1:4], *row[5:9]), row[4]) for row in self.found.graph_memories],
        )
        self._nodes(
            "entity",
            {id_: (row["namespace"], row["name"], row["type"], row["revision"], *row["digest"]) for id_, row in self.live_entities.items()},
            [(row[0], (*row[1:5], *row[6:10]), row[5]) for row in self.found.graph_entities],
        )
        for row in self.found.graph_entities:
            if row[5] and (row[2] is not None or row[3] is not None):
                self.say("ghost", f"tombstone of entity {row[0]} in the graph holds its name")
        wanted = {(memory, entity) for memory, _, entity in self.found.mentions if memory in self.live}
        self._edges("MENTIONS", dict.fromkeys(wanted), [((row[0], row[1]), None) for row in self.found.graph_mentions])
        shown = [((row[0], row[1], row[2]), tuple(row[3:6]) + tuple(row[7:9])) for row in self.found.graph_relations if not row[6]]
        related = {
            (id_, row["source"], row["target"]): (row["predicate"], row["namespace"], row["revision"], *row["digest"])
            for id_, row in self.live_relations.items()
        }
        self._edges("RELATES_TO", related, shown)
        for row in (row for row in self.found.graph_relations if row[6] and row[3] is not None):
            self.say("ghost", f"buried relation {row[0]} in the graph holds its predicate")

    def _nodes(self, kind: str, wanted: dict[str, tuple[Any, ...]], shown: list[tuple[Any, tuple[Any, ...], Any]]) -> None:
        copies = Counter(id_ for id_, _, _ in shown)
        for id_ in (id_ for id_, times in copies.items() if times > 1):
            self.say("duplicated", f"{kind} {id_} is {copies[id_]} nodes in the graph")
        alive = {id_: face for id_, face, deleted in shown if not deleted}
        for id_ in wanted.keys() - alive.keys():
            self.say("lost", f"{kind} {id_} is missing in the graph")
        for id_ in alive.keys() - wanted.keys():
            self.say("ghost", f"{kind} {id_} lives in the graph")
        for id_ in wanted.keys() & alive.keys():
            if wanted[id_] != alive[id_]:
                self.say("lost", f"{kind} {id_} in the graph: {alive[id_]}, in the record {wanted[id_]}")

    def _edges(self, kind: str, wanted: dict[Any, Any], shown: list[tuple[Any, Any]]) -> None:
        copies = Counter(place for place, _ in shown)
        for place in (place for place, times in copies.items() if times > 1 and place in wanted):
            self.say("duplicated", f"{kind} {place} is {copies[place]} edges in the graph")
        for place in wanted.keys() - copies.keys():
            self.say("lost", f"{kind} {place} is missing in the graph")
        for place in copies.keys() - wanted.keys():
            self.say("ghost", f"{kind} {place} is in the graph, and should not be")
        for place, face in shown:
            if place in wanted and wanted[place] is not None and face != wanted[place]:
                self.say("lost", f"{kind} {place} in the graph: {face}, in the record {wanted[place]}")

    def ledger(self) -> None:
        """Nothing is owed, and what is settled was settled at what is there."""
        for projection, kind, id_, since, parked, error in self.found.owed:
            self.say("owed", f"{projection} of {kind} {id_} since {since}{', parked: ' + str(error) if parked else ''}")
        owed = {tuple(row[:3]) for row in self.found.owed}
        rows = [("memory", self.found.memories, True), ("entity", self.found.entities, False), ("relation", self.found.relations, False)]
        for kind, table, versioned in rows:
            for id_, row in table.items():
                place = ("graph", kind, id_)
                revision, version = self.found.settled.get(place, (None, None))
                if place not in owed and (revision != row["revision"] or (versioned and version != row["version"])):
                    self.say("lost", f"the ledger says that the graph holds {kind} {id_} at {revision}/{version}; the record is at {row}")


def _content(row: dict[str, Any]) -> Content | None:
    """What a row of the record says, as a caller would."""
    if row["deleted"]:
        return None
    links = row["given"] or {"entities": [], "relations": []}
    entities = tuple(sorted((entity["name"], entity["type"]) for entity in links["entities"]))
    relations = tuple((r["source"], r["predicate"], r["target"]) for r in links["relations"])
    return Content(row["text"], json.dumps(row["metadata"], sort_keys=True), entities, relations)


def _bare(text: str) -> str:
    return "".join(text.split())
