"""The checker: what must be there according to the writers' own logs, against what is there by raw SQL and raw Cypher.

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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redis

from benchmarks.faults import history
from benchmarks.faults.history import Content, Possible, State

KINDS = ("lost", "duplicated", "ghost", "owed", "answer")
_UNKNOWN = {"record_unavailable"}  # the record may have done it or not
_MERGE_REFUSED = {
    "entity_unknown",
    "entity_is_alias",
    "entity_merged_with_itself",
    "alias_unknown",
    "namespace_unknown",
    "lease_held",
    "entity_curated",
}
_WRITTEN = {"created", "updated", "revived"}
_SAVED_ALL_THE_SAME = {"sync_timeout", "sync_parked", "graph_unavailable", "record_rolled_back"}  # what only the waiting can say

Cypher = Callable[[str], list[list[Any]]]
Problem = tuple[str, str]


def read_log(paths: Iterable[Path]) -> list[tuple[history.Deed, dict[str, Any] | None]]:
    """Deeds with their answers, None where none came. A line that is cut off was never acknowledged to anybody."""
    found: list[tuple[history.Deed, dict[str, Any] | None]] = []
    for path in paths:
        begun: history.Deed | None = None
        for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else ():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # its writer died in the middle of it, and another went on below
                continue
            if "call" in entry:
                if begun is not None:
                    found.append((begun, None))
                begun = entry["call"]
            elif begun is not None:
                found.append((begun, entry["answer"]))
                begun = None
        if begun is not None:
            found.append((begun, None))
    return found


@dataclass
class Expected:
    """What the logs allow: per id the states that it may be in."""

    states: dict[str, Possible] = field(default_factory=dict)
    namespaces: dict[str, str] = field(default_factory=dict)
    merged: dict[tuple[str, str], frozenset[str | None]] = field(default_factory=dict)
    """Per namespace and name what that entity may be merged into, None for nothing."""
    problems: list[Problem] = field(default_factory=list)
    acknowledged: int = 0
    unknown: int = 0


def expected(entries: Sequence[tuple[history.Deed, dict[str, Any] | None]], *, retried: bool = False) -> Expected:
    """Follow every deed through all states that are possible before it, and keep those that fit its answer.

    Args:
        retried: connections to the record broke, so that a call may have been made twice: it then hears that there was nothing to do.
    """
    found = Expected()
    for deed, answer in entries:
        error = None if answer is None else answer.get("error")
        unknown = answer is None or error in _UNKNOWN
        found.unknown += unknown
        found.acknowledged += not unknown
        if deed["do"] in ("merge", "unmerge"):
            _merge(found, deed, answer or {}, unknown=unknown, retried=retried)
            continue
        for item in deed.get("items", [deed]):
            if "namespace" in item:
                found.namespaces[item["id"]] = item["namespace"]
        for place, id_ in enumerate(history.named(deed)):
            before: Possible = found.states.get(id_, frozenset({None}))
            after = [history.outcomes(deed, id_, state) for state in before]
            if unknown:
                found.states[id_] = before | {state for state, _, _ in after}
                continue
            several = "items" in deed  # one that was forgotten does not stop the others, nor their waiting
            fitting = frozenset(state for state, said, version in after if _fits(answer or {}, place, id_, said, version, retried, several))
            if not fitting:
                allowed = sorted({f"{said} v{version}" for _, said, version in after})
                said = (answer or {}).get("error") or (answer or {})["results"][place]
                found.problems.append(("answer", f"deed {deed['n']} ({deed['do']}) of {id_}: {said}, where only {allowed} was possible"))
                fitting = frozenset(state for state, _, _ in after)
            found.states[id_] = fitting
    return found


def _merge(found: Expected, deed: history.Deed, answer: dict[str, Any], *, unknown: bool, retried: bool) -> None:
    """What a merge, or taking one back, makes of an entity. A refusal changes nothing, nor does a merge of what is one already; but a
    call that was made twice may hear either of what its first time did."""
    error = answer.get("error")
    place = (deed["namespace"], deed["source"])
    before = found.merged.get(place, frozenset({None}))
    after: frozenset[str | None] = _roots(found, deed["namespace"], deed["target"]) if deed["do"] == "merge" else frozenset({None})
    if unknown or (retried and (error == "alias_unknown" or answer.get("merged") == "unchanged")):
        found.merged[place] = before | after
    elif error is None:
        found.merged[place] = before if answer["merged"] == "unchanged" else after
    elif error not in _MERGE_REFUSED:
        found.problems.append(("answer", f"deed {deed['n']} ({deed['do']}): {error}"))


def _roots(found: Expected, namespace: str, name: str, depth: int = 6) -> frozenset[str | None]:
    """What a target may stand for: itself, or what it was merged into before."""
    allowed = found.merged.get((namespace, name), frozenset({None}))
    roots: set[str | None] = {name} if None in allowed or not depth else set()
    for into in allowed - {None}:
        roots |= _roots(found, namespace, str(into), depth - 1) if depth else set()
    return frozenset(roots)


def _fits(answer: dict[str, Any], place: int, id_: str, said: str, version: int | None, retried: bool, several: bool) -> bool:
    error = answer.get("error")
    if error in _SAVED_ALL_THE_SAME:
        return said not in {"memory_unknown", "memory_forgotten"} and (several or said != "forgotten")
    if error is not None:
        wanted = {"forgotten": "memory_forgotten"}.get(said, said)
        return error == wanted or (error == "namespace_unknown" and said == "memory_unknown")
    got_id, got, got_version = answer["results"][place]
    again = retried and ((said in _WRITTEN and got == "unchanged") or (said, got) == ("1", "0"))
    return got_id == id_ and (got == said or again) and (version is None or got_version == version)


# -- what is there -----------------------------------------------------------------------------------------------------------


@dataclass
class Found:
    """Everything that the stores show, in raw rows."""

    memories: dict[str, dict[str, Any]]
    history: list[tuple[Any, ...]]
    passages: dict[str, list[tuple[int, int, str]]]
    embeddings: list[tuple[Any, ...]]
    entities: dict[str, dict[str, Any]]
    mentions: list[tuple[str, str, str]]
    """Memory, the entity that it named, and the one that this is shown as since entities were merged."""
    aliases: dict[str, dict[str, Any]]
    relations: dict[str, dict[str, Any]]
    statements: list[tuple[str, str, str]]
    owed: list[tuple[Any, ...]]
    settled: dict[tuple[str, str, str], tuple[int | None, int | None]]
    graph_memories: list[list[Any]]
    graph_entities: list[list[Any]]
    graph_mentions: list[list[Any]]
    graph_relations: list[list[Any]]


def look(sql: psycopg.Connection[Any], cypher: Cypher) -> Found:
    """Read every store whole."""

    def rows(statement: str) -> list[tuple[Any, ...]]:
        return sql.execute(statement.encode()).fetchall()

    merging = bool(rows("select from pg_tables where schemaname = 'memory' and tablename = 'aliases'"))
    shown = "coalesce(shown_id, {0})::text" if merging else "{0}::text"
    aliases = rows("select alias_id::text, namespace, parent_id::text, name from memory.aliases") if merging else []
    halves = "(digest >> 32) & 4294967295, digest & 4294967295, bucket, leaf"
    memories = rows(
        "select id::text, namespace, text, metadata, given, version, revision, deleted_at is not null,"
        f" floor(extract(epoch from created_at) * 1000)::bigint, key, source, thread, content_hash is null, {halves} from memory.memories"
    )
    names = ("namespace", "text", "metadata", "given", "version", "revision", "deleted", "at", "key", "source", "thread", "hashless")
    entities = rows(f"select id::text, namespace, name, type, revision, deleted_at is not null, name_key, {halves} from memory.entities")
    relations = rows(
        "select id::text, namespace, source_id::text, predicate, target_id::text, revision, deleted_at is not null,"
        " (digest >> 32) & 4294967295, digest & 4294967295 from memory.relations"
    )
    passages: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for id_, ordinal, version, text in rows("select memory_id::text, ordinal, version, text from memory.passages order by 1, 2"):
        passages[id_].append((ordinal, version, text))
    return Found(
        memories={row[0]: dict(zip(names, row[1:13], strict=True)) | {"digest": row[13:]} for row in memories},
        history=rows("select memory_id::text, version, revision, operation, text, metadata, source from memory.history"),
        passages=passages,
        embeddings=rows("select kind, id::text, passage, generation, version, namespace, vector_dims(v), v::text from memory.embeddings"),
        entities={
            row[0]: dict(zip(("namespace", "name", "type", "revision", "deleted", "key"), row[1:7], strict=True)) | {"digest": row[7:]}
            for row in entities
        },
        mentions=rows(f"select memory_id::text, entity_id::text, {shown.format('entity_id')} from memory.mentions"),  # type: ignore[arg-type]
        aliases={row[0]: dict(zip(("namespace", "parent", "name"), row[1:], strict=True)) for row in aliases},
        relations={
            row[0]: dict(zip(("namespace", "source", "predicate", "target", "revision", "deleted"), row[1:7], strict=True))
            | {"digest": row[7:]}
            for row in relations
        },
        statements=rows(f"select memory_id::text, relation_id::text, {shown.format('relation_id')} from memory.statements"),  # type: ignore[arg-type]
        owed=rows("select projection, kind, id, owed_since, parked_at, last_error from memory.ledger where owed_number is not null"),
        settled={
            (row[0], row[1], row[2]): (row[3], row[4])
            for row in rows("select projection, kind, id, settled_revision, settled_version from memory.ledger")
        },
        graph_memories=cypher(
            "MATCH (m:Memory) RETURN m.id, m.namespace, m.revision, m.created_at, m.deleted, m.dh, m.dl, m.bucket, m.leaf"
        ),
        graph_entities=cypher(
            "MATCH (e:Entity) RETURN e.id, e.namespace, e.name, e.type, e.revision, e.deleted, e.dh, e.dl, e.bucket, e.leaf"
        ),
        graph_mentions=cypher("MATCH (a)-[n:MENTIONS]->(b) RETURN a.id, b.id, labels(a)[0], labels(b)[0], n.dh"),
        graph_relations=cypher(
            "MATCH (a)-[n:RELATES_TO]->(b) RETURN n.id, a.id, b.id, n.predicate, n.namespace, n.revision, n.deleted, n.dh, n.dl"
        ),
    )


def falkor(path: str, graph: str) -> Cypher:
    """Raw `GRAPH.QUERY` over a unix socket. In this form a boolean is a word, and a missing property is None."""
    server = redis.Redis(unix_socket_path=path, decode_responses=True)

    def run(statement: str) -> list[list[Any]]:
        answer: Any = server.execute_command("GRAPH.QUERY", graph, statement)
        rows = answer[1] if len(answer) > 1 else []  # what returns nothing has statistics alone
        return [[{"true": True, "false": False}.get(cell, cell) if isinstance(cell, str) else cell for cell in row] for row in rows]

    return run


def bolt(url: str, user: str, password: str, certificates: str | None = None) -> Cypher:
    """The `neo4j` driver, as it comes; with a file of certificates it trusts those and encrypts."""
    from neo4j import GraphDatabase, TrustCustomCAs

    trusting: dict[str, Any] = {"encrypted": True, "trusted_certificates": TrustCustomCAs(certificates)} if certificates else {}
    driver = GraphDatabase.driver(url.replace("+s:", ":") if certificates else url, auth=(user, password), **trusting)

    def run(statement: str) -> list[list[Any]]:
        with driver.session() as session:
            return [list(record.values()) for record in session.run(statement)]  # type: ignore[arg-type]

    return run


# -- the comparison ----------------------------------------------------------------------------------------------------------


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
            if alias is not None and self._borrowed(alias["parent"]):
                continue  # what it was merged into lives under another name, because nobody says its own any more
            if actual not in allowed:
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
