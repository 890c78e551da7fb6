"""The record under any order of writes, claims and settlements, each perhaps twice, held against a model; hypothesis writes the stories.

The model (`tests/record_model.py`) is what the port promises: numbers that only rise, tombstones, one row a key, a ledger that owes
after each change and is settled under the noted number only, nothing that comes back by itself. Must stay out: single cases
(`test_record.py`), what is read (`test_reading.py`), several at once (`test_at_once.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from uuid_utils import uuid7

from memory_pipelines.domain.errors import Conflict, Gone, NotFound
from memory_pipelines.domain.models import PROJECTIONS, EntityMention, Links, MemoryInput, Owed, Ref, RelationMention, SaveResult
from memory_pipelines.ports import RecordStore
from tests import records
from tests.record_model import Model, Said, Subject

SPACE = "stories"
KEYS = ("k0", "k1", "k2")
TEXTS = ("The cat sleeps.", "The dog barks.", "It rained all night.")
LINKS = (
    Said(),
    Said({"Ada": "person"}),
    Said({"Ada": "person", "Porto": "place"}),
    Said({}, frozenset({("Ben", "knows", "Ada")})),  # of no type until somebody says it
    Said({"Ben": "person"}, frozenset({("Ben", "knows", "Ada"), ("Ada", "lives_in", "Porto")})),
    Said({}, frozenset({("Ben", "likes", "Ben")})),
)
CONTENTS = st.fixed_dictionaries(
    {"text": st.sampled_from(TEXTS), "metadata": st.sampled_from(({}, {"a": 1})), "links": st.sampled_from(LINKS)}
)
FOUND = st.lists(st.sampled_from(LINKS), min_size=1, max_size=3)
EVERYWHERE = (0, 4096)
VECTOR = [0.6, 0.8, 0.0]
EXAMPLES = {"psycopg": (14, 35), "rest": (2, 20)}  # stories, and steps in each


@dataclass(frozen=True)
class Noted:
    """A row of a claim: the subject by its name, and under which owing of the model it was claimed."""

    subject: Subject
    row: Owed
    count: int


class RecordMachine(RuleBasedStateMachine):
    """Save, update, forget, revive, link; claim, settle, fail, owe and lose, in any order."""

    place: records.Place

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.ids: dict[tuple[str, Any], str] = {}
        self.names: dict[tuple[str, str], Any] = {}
        self.claims: list[tuple[str, int, list[Noted]]] = []
        self.numbers: dict[Subject, tuple[int, int]] = {}  # the last count, and the number it had
        self.marker = 0

    @property
    def record(self) -> RecordStore:
        return self.place.record

    @initialize()
    def empty(self) -> None:
        self.place.wipe()
        self.record.generation("toy", 3)
        self.model.issued = int(self.record.maintain("claim", limit=1)["done"])

    # -- writing -----------------------------------------------------------------------------------------------------

    @rule(rows=st.lists(st.tuples(st.sampled_from(KEYS), CONTENTS), min_size=1, max_size=4), revive=st.booleans(), times=st.integers(1, 2))
    def save(self, rows: list[tuple[str, dict[str, Any]]], revive: bool, times: int) -> None:
        for _ in range(times):
            results = self.record.save([_input(key, content) for key, content in rows], revive=revive)
            assert [(result.outcome, result.version) for result in results] == self.model.save(rows, revive=revive)
            for (key, _), result in zip(rows, results, strict=True):
                self._know("memory", key, result.id)
            self._touched(results)

    @rule(key=st.sampled_from(KEYS), content=CONTENTS, fields=st.sets(st.sampled_from(["text", "metadata", "links"]), min_size=1),
          times=st.integers(1, 2), late=st.booleans())  # fmt: skip
    def update(self, key: str, content: dict[str, Any], fields: set[str], times: int, late: bool) -> None:
        memory = self.model.memories.get(key)
        if memory is None:
            with pytest.raises(NotFound):
                self.record.update(str(uuid7()), {"thread": "t"})
            return
        changes = {field: content[field] for field in fields}
        for _ in range(times):
            asked = _changes(changes)
            if not memory.live:
                with pytest.raises(Gone):
                    self.record.update(self.ids["memory", key], asked)
                continue
            if late:
                with pytest.raises(Conflict) as error:
                    self.record.update(self.ids["memory", key], asked, expected_version=memory.version + 1)
                assert error.value.code == "version_conflict"
            result = self.record.update(self.ids["memory", key], asked, expected_version=memory.version)
            assert (result.outcome, result.version) == self.model.update(key, changes)
            self._touched([result])

    @rule(key=st.sampled_from(KEYS), by_key=st.booleans(), times=st.integers(1, 2))
    def forget(self, key: str, by_key: bool, times: int) -> None:
        for _ in range(times if key in self.model.memories else 0):
            named: dict[str, Any] = {"key": key, "namespace": SPACE} if by_key else {"ids": [self.ids["memory", key]]}
            result, more = self.record.forget(**named)
            assert (result.forgotten, more) == (int(self.model.forget(key)), False)

    # -- the ledger --------------------------------------------------------------------------------------------------

    @rule(projection=st.sampled_from(PROJECTIONS), limit=st.sampled_from([1, 3, 100]))
    def claim(self, projection: str, limit: int) -> None:
        claim = self.record.claim(projection, refs=None, limit=limit, owed_for_seconds=0)
        owed = self.model.owed(projection)
        rows = [self._note(projection, row) for row in claim.rows]
        assert len(rows) == min(limit, len(owed))
        assert {(kind, name) for _, kind, name in (noted.subject for noted in rows)} <= owed
        assert [row.number for row in claim.rows] == sorted({row.number for row in claim.rows})  # oldest debts first
        if rows:
            assert (claim.issued, claim.settled_marker) == (claim.claim, self.model.highest)
            assert claim.claim > self.model.issued
            self.model.issued = claim.claim
            self.claims.append((projection, claim.claim, rows))

    @rule(key=st.sampled_from(KEYS), projection=st.sampled_from(PROJECTIONS))
    def claim_one(self, key: str, projection: str) -> None:
        if key in self.model.memories:
            claim = self.record.claim(projection, refs=[Ref("memory", self.ids["memory", key])] * 2, limit=5)
            assert len(claim.rows) == (("memory", key) in self.model.owed(projection))
            if claim.rows:
                self.model.issued = claim.claim
                self.claims.append((projection, claim.claim, [self._note(projection, row) for row in claim.rows]))

    @rule(projection=st.sampled_from(PROJECTIONS), links=FOUND)
    def drain(self, projection: str, links: list[Said]) -> None:
        """Claim, and settle at once."""
        before = len(self.claims)
        self.claim(projection, 100)
        if len(self.claims) > before:
            self.settle(0, 1, links)

    @rule(back=st.integers(0, 6), times=st.integers(1, 2), links=FOUND)
    def settle(self, back: int, times: int, links: list[Said]) -> None:
        """One of the last claims, perhaps one that was settled, perhaps twice."""
        if not self.claims:
            return
        projection, number, rows = self.claims[-1 - back % len(self.claims)]
        self.marker += 1
        for _ in range(times):
            if projection == "graph":
                self._settle_graph(number, rows, self.marker)
            elif projection == "entities":
                self._settle_entities(rows, links)
            else:
                self._settle_embeddings(rows)

    @rule(back=st.integers(0, 2), lower=st.integers(0, 3))
    def settle_under_a_marker_that_was_given(self, back: int, lower: int) -> None:
        """The graph was rolled back between two batches, and gave a marker twice."""
        claims = [(number, rows) for projection, number, rows in self.claims if projection == "graph"]
        if claims and self.marker:
            self._settle_graph(*claims[-1 - back % len(claims)], max(self.marker - lower, 1))

    @rule(key=st.sampled_from(KEYS), forced=st.sampled_from([None, 3]), parked=st.booleans(), at_once=st.booleans())
    def roll_back(self, key: str, forced: int | None, parked: bool, at_once: bool) -> None:
        """All is settled, one row is owed again and perhaps parked; then the graph is seen at, or gives, a marker from before."""
        self.drain("graph", [Said()])
        self.owe(key, forced, 1)
        self.claim_one(key, "graph")
        if parked:
            self.fail(0)
        if at_once:
            self.settle_under_a_marker_that_was_given(0, 0)
        else:
            self.lose(1)
        self.claim("graph", 100)
        self.settle(1, 1, [Said()])  # that from before
        self.drain("graph", [Said()])
        self.owe(key, None, 1)
        self.owe(key, forced, 1)

    @rule(key=st.sampled_from(KEYS), content=CONTENTS, links=FOUND)
    def extract_too_late(self, key: str, content: dict[str, Any], links: list[Said]) -> None:
        """The text changes while its links are looked for."""
        self.claim_one(key, "entities")
        self.update(key, content, {"text"}, 1, late=False)
        self.settle(0, 1, links)

    def _settle_graph(self, claim: int, rows: list[Noted], marker: int) -> None:
        settled = {noted.subject: (noted.count, _version(noted)) for noted in rows}
        body = [_row(noted) | {"revision": _state(noted)["revision"], "version": _version(noted), "marker": marker} for noted in rows]
        assert dict(self.record.settle_graph(body, claim=claim, markers=[marker])) == self.model.settle_graph(claim, marker, settled)

    def _settle_entities(self, rows: list[Noted], links: list[Said]) -> None:
        found = {noted.subject[2]: links[n % len(links)] for n, noted in enumerate(rows)}
        body = [
            {"id": noted.row.id, "number": noted.row.number, "version": _version(noted), "links": _links(found[noted.subject[2]])}
            for noted in rows
        ]
        answer = self.record.store_links(body, accept_empty=True)  # what is kept of an empty result has tests of its own
        expected = self.model.store_links({noted.subject[2]: (noted.count, _version(noted), found[noted.subject[2]]) for noted in rows})
        assert {name: answer[name] for name in expected} == expected

    def _settle_embeddings(self, rows: list[Noted]) -> None:
        gone = {noted.subject: _state(noted)["deleted"] for noted in rows}
        body = [_row(noted) | {"version": _version(noted), "vectors": 0 if gone[noted.subject] else 1} for noted in rows]
        vectors = [VECTOR for row in body if row["vectors"]]
        answer = self.record.store_embeddings(body, vectors, generation=self.record.generation("toy", 3))
        assert dict(answer) == self.model.store_embeddings({noted.subject: (noted.count, _version(noted)) for noted in rows})

    @rule(back=st.integers(0, 4))
    def fail(self, back: int) -> None:
        if self.claims:
            projection, _, rows = self.claims[-1 - back % len(self.claims)]
            body = [_row(noted) | {"error": "too odd", "final": True} for noted in rows]
            charged = self.model.park({noted.subject: noted.count for noted in rows})
            assert dict(self.record.fail(projection, body, max_attempts=5)) == {"failed": charged, "parked": charged}

    @rule(key=st.sampled_from(KEYS), forced=st.sampled_from([None, 3]), times=st.integers(1, 2))
    def owe(self, key: str, forced: int | None, times: int) -> None:
        if key in self.model.memories:
            row = {"projection": "graph", "kind": "memory", "id": self.ids["memory", key], "forced": forced}
            assert self.record.owe([row] * times) == 1
            self.model.owe("graph", "memory", key)
            self.model.debt("graph", "memory", key).forced = forced

    @rule(projection=st.sampled_from(PROJECTIONS), shards=st.integers(1, 3))
    def rebuild(self, projection: str, shards: int) -> None:
        mine = {(kind, name) for of, kind, name in self.model.debts if of == projection}
        assert sum(self.record.owe_shard(projection, shard, shards) for shard in range(shards)) == len(mine)
        for kind, name in mine:
            self.model.owe(projection, kind, name)

    @rule(below=st.integers(0, 3))
    def lose(self, below: int) -> None:
        marker = max(self.marker - below, 0)
        highest = self.model.highest
        assert dict(self.record.owe_lost(marker)) == {"owed": self.model.lose(marker), "settled_marker": highest}

    @rule(task=st.sampled_from(["expire", "fold"]))
    def maintain(self, task: str) -> None:
        self.record.maintain(task, limit=100)  # nothing expires, and what is folded shows no difference

    # -- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def the_record_shows_what_the_model_says(self) -> None:
        self._learn()
        self._memories()
        self._graph()
        self._ledger()

    def _learn(self) -> None:
        """Ids of what lives: each stays that of its name for ever."""
        for row in self.record.audit_expected("entity", buckets=EVERYWHERE):
            self._know("entity", row["props"]["name"], row["id"])
        for row in self.record.audit_expected("relation", buckets=EVERYWHERE):
            source, target = self.names["entity", row["source"]], self.names["entity", row["target"]]
            self._know("relation", (source, row["props"]["predicate"], target), row["id"])

    def _know(self, kind: str, name: Any, id_: str) -> None:
        assert self.ids.setdefault((kind, name), id_) == id_
        assert self.names.setdefault((kind, id_), name) == name

    def _memories(self) -> None:
        live = {key: memory for key, memory in self.model.memories.items() if memory.live}
        if not self.model.memories:
            return
        page = self.record.page({"namespace": SPACE, "limit": 100})
        assert {memory.key: (memory.id, memory.version, memory.revision, memory.text, memory.metadata) for memory in page} == {
            key: (self.ids["memory", key], memory.version, memory.revision, memory.content["text"], memory.content["metadata"])
            for key, memory in live.items()
        }
        assert len(page) == len(live)  # one row a key
        for memory in page:
            assert {(entity.name, entity.type) for entity in memory.entities} == set(live[str(memory.key)].content["links"].named().items())
        for key, known in self.model.memories.items():
            entries = self.record.history(self.ids["memory", key])
            assert [(entry.operation, entry.text) for entry in entries] == known.operations
            assert [entry.version for entry in entries] == list(range(1, known.version + 1))
            revisions = [entry.revision for entry in entries]
            assert revisions == sorted(set(revisions))
            if not known.live:
                with pytest.raises(Gone):
                    self.record.get(key=key, namespace=SPACE)

    def _graph(self) -> None:
        for kind, subjects in (("memory", self.model.memories), ("entity", self.model.entities), ("relation", self.model.relations)):
            rows = self.record.audit_expected(kind, ids=[self.ids[kind, name] for name in subjects])
            shown = {
                self.names[kind, row["id"]]: (row["revision"], row["deleted"], row["props"] is None, row["owed_seconds"] is not None)
                for row in rows
            }
            expected = {}
            for name, subject in subjects.items():  # type: ignore[attr-defined]  # one of three
                debt = self.model.debt("graph", kind, name)
                expected[name] = (subject.revision, not subject.live, not subject.live, debt.owed and not debt.parked)
            assert shown == expected
            assert sum(row[1] for row in self.record.audit_sums(kind)) == sum(subject.live for subject in subjects.values())  # type: ignore[attr-defined]  # one of three
        entities = self.record.audit_expected("entity", buckets=EVERYWHERE)
        assert {row["props"]["name"]: row["props"]["type"] for row in entities} == {
            name: entity.type for name, entity in self.model.entities.items() if entity.live
        }
        mentions = self.record.audit_expected("mention", buckets=EVERYWHERE)
        assert sorted((self.names["memory", row["source"]], self.names["entity", row["target"]]) for row in mentions) == sorted(
            (key, name) for key, memory in self.model.memories.items() for name in memory.names()
        )

    def _ledger(self) -> None:
        status = self.record.status(30)
        assert status["settled_marker"] == self.model.highest
        for projection in PROJECTIONS:
            owed, parked = len(self.model.owed(projection)), len(self._parked(projection))
            found = status["projections"][projection]
            assert (found["owed"], found["ready"], found["parked"]) == (owed, owed, parked)
        for key, memory in self.model.memories.items():
            state = self.record.sync_state(self.ids["memory", key])
            assert (state.version, state.revision, state.forgotten) == (memory.version, memory.revision, not memory.live)
            for projection in PROJECTIONS:
                debt = self.model.debt(projection, "memory", key)
                said = state.projections[projection]
                assert (said.owed, said.settled_version, said.parked is not None) == (debt.owed, debt.version, debt.parked)
        assert {
            (ref.kind, self.names[ref.kind, ref.id])
            for ref in self.record.owed_links([self.ids["memory", key] for key in self.model.memories])
        } == {
            (kind, name)
            for memory in self.model.memories.values()
            for kind, names in (("entity", memory.names()), ("relation", memory.triples()))
            for name in names
            if self.model.debt("graph", kind, name).owed
        }
        found = self.record.audit_ledger(budget_seconds=600)
        assert {
            (row["kind"], row["hint"]["projection"], row["subject"], self.names[row["subject"], row["id"]]) for row in found["findings"]
        } == {("parked", *subject) for projection in PROJECTIONS for subject in self._parked(projection)}
        assert self.record.audit_embeddings(after=None, limit=1000)["findings"] == []
        counts = self.record.counts()
        assert (counts["embeddings"], counts["memories"]) == (
            len(self.model.vectors), sum(memory.live for memory in self.model.memories.values()),
        )  # fmt: skip

    def _parked(self, projection: str) -> list[Subject]:
        return [subject for subject, debt in self.model.debts.items() if subject[0] == projection and debt.parked]

    def _touched(self, results: list[SaveResult]) -> None:
        """What a write says that it touched is owed to the graph."""
        self._learn()
        for ref in {ref for result in results for ref in result.touched}:
            assert self.model.debt("graph", ref.kind, self.names[ref.kind, ref.id]).owed

    def _note(self, projection: str, row: Owed) -> Noted:
        name = self.names[row.kind, row.id]
        subject = (projection, row.kind, name)
        debt = self.model.debts[subject]
        count, number = self.numbers.get(subject, (0, 0))
        assert row.number == number if debt.count == count else row.number > number
        self.numbers[subject] = (debt.count, row.number)
        assert row.forced == debt.forced
        found = {"memory": self.model.memories, "entity": self.model.entities, "relation": self.model.relations}[row.kind][name]  # type: ignore[index]  # one of three
        noted = Noted(subject, row, debt.count)
        assert (_state(noted)["revision"], _state(noted)["deleted"]) == (found.revision, not found.live)
        assert _version(noted) == getattr(found, "version", found.revision)
        return noted


def _state(noted: Noted) -> dict[str, Any]:
    assert noted.row.state is not None
    return dict(noted.row.state)


def _version(noted: Noted) -> int:
    return int(_state(noted)["version"])


def _row(noted: Noted) -> dict[str, Any]:
    return {"kind": noted.row.kind, "id": noted.row.id, "number": noted.row.number}


def _links(said: Said) -> Links:
    entities = tuple(EntityMention(name, type_) for name, type_ in sorted(said.entities.items()))
    return Links(entities, tuple(RelationMention(*triple) for triple in sorted(said.relations)))


def _input(key: str, content: dict[str, Any]) -> MemoryInput:
    links = _links(content["links"])
    return MemoryInput(
        id=str(uuid7()), namespace=SPACE, key=key, text=content["text"], passages=(content["text"],), metadata=content["metadata"],
        entities=links.entities, relations=links.relations,
    )  # fmt: skip


def _changes(changes: dict[str, Any]) -> dict[str, Any]:
    asked = {name: value for name, value in changes.items() if name != "links"}
    if "text" in changes:
        asked["passages"] = (changes["text"],)
    if "links" in changes:
        links = _links(changes["links"])
        asked |= {"entities": links.entities, "relations": links.relations}
    return asked


def test_any_story_ends_as_the_model_says(place: records.Place, transport: str) -> None:
    stories, steps = EXAMPLES[transport]
    machine = type("Machine", (RecordMachine,), {"place": place})
    run_state_machine_as_test(
        machine,
        settings=examples(
            max_examples=stories, stateful_step_count=steps, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
