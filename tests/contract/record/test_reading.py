"""What is read of the record, after any writes: pages and their filters, batches of ids, history, search by words and by meaning, entities.

A model says what the answer is: it holds what was saved as plain rows, and filters and sorts them in Python. Must stay out: what a write
answers and the ledger (`test_machine.py`), how hits are ranked (`tests/integration/test_search.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from memory_pipelines.domain.errors import Gone, NotFound
from memory_pipelines.domain.models import EntityMention, MemoryInput
from memory_pipelines.ports import RecordStore
from tests import records

SPACES = ("one", "two")
IDS = tuple(f"00000000-0000-7000-8000-00000000000{n}" for n in range(8))
WORDS = {"Ada lives in Porto.": {"lives", "porto"}, "Ben barks at Ada.": {"barks"}, "A rainy night in Porto.": {"rainy", "night", "porto"}}
VECTORS = dict(zip(WORDS, ([1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.6, 0.8]), strict=True))
NAMES = ("Ada", "Ada Lovelace", "Ben")
METADATA: tuple[dict[str, Any], ...] = ({}, {"a": 1}, {"a": [1, {"b": None}], "c": "x"}, {"a": 1.5, "c": True})
ASKED: tuple[dict[str, Any], ...] = ({"a": 1}, {"a": [1]}, {"a": [{"b": None}]}, {"c": True}, {})
LONG_AGO, FAR_OFF = datetime(2020, 2, 2, tzinfo=UTC), datetime(2199, 1, 1, tzinfo=UTC)
TIMES = [LONG_AGO + timedelta(days=days, microseconds=1234) for days in range(3)]  # few: several memories have one moment
FIELDS = st.fixed_dictionaries({
    "text": st.sampled_from(list(WORDS)), "metadata": st.sampled_from(METADATA), "thread": st.sampled_from([None, "t", "u"]),
    "created_at": st.sampled_from(TIMES), "expires_at": st.sampled_from([None, None, FAR_OFF, LONG_AGO]),
    "names": st.sets(st.sampled_from(NAMES), max_size=2),
})  # fmt: skip
NAMESPACE = {"namespace": st.sampled_from(SPACES)}
FILTERS = st.fixed_dictionaries(NAMESPACE) | st.fixed_dictionaries(NAMESPACE, optional={
    "thread": st.sampled_from(["t", "u"]), "metadata": st.sampled_from(ASKED),
    "created_after": st.sampled_from(TIMES), "created_before": st.sampled_from(TIMES),
})  # fmt: skip
EXAMPLES = {"psycopg": (25, 40), "rest": (2, 30)}  # stories, and steps in each


@dataclass
class Row:
    """A memory as it was written last; `gone` says how it left, if it did."""

    id: str
    fields: dict[str, Any]
    versions: list[tuple[str, str | None, dict[str, Any] | None]] = field(default_factory=list)  # operation, text, metadata
    gone: bool = False

    @property
    def space(self) -> str:
        return SPACES[IDS.index(self.id) % 2]

    @property
    def shown(self) -> bool:
        return not self.gone and self.fields["expires_at"] != LONG_AGO

    def fits(self, filters: dict[str, Any]) -> bool:
        wanted, at = filters.get("metadata", {}), self.fields["created_at"]
        return (
            self.shown and self.space == filters["namespace"] and filters.get("thread") in (None, self.fields["thread"])
            and _contains(self.fields["metadata"], wanted)
            and (filters.get("created_after") is None or at >= filters["created_after"])
            and (filters.get("created_before") is None or at < filters["created_before"])
        )  # fmt: skip


def _input(id_: str, fields: dict[str, Any]) -> MemoryInput:
    names = tuple(EntityMention(name, "person") for name in sorted(fields["names"]))
    return MemoryInput(
        id=id_, id_given=True, namespace=SPACES[IDS.index(id_) % 2], text=fields["text"], passages=(fields["text"],),
        metadata=fields["metadata"], thread=fields["thread"], created_at=fields["created_at"], expires_at=fields["expires_at"],
        entities=names,
    )  # fmt: skip


def _asked(filters: dict[str, Any]) -> dict[str, Any]:
    """Filters as a request carries them."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in filters.items()}


def _contains(value: Any, wanted: Any) -> bool:
    """Containment as the filter promises it: every pair, and of a list every item, somewhere."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(name in value and _contains(value[name], item) for name, item in wanted.items())
    if isinstance(wanted, list):
        return isinstance(value, list) and all(any(_contains(one, item) for one in value) for item in wanted)
    return type(value) is type(wanted) and value == wanted


class ReadingMachine(RuleBasedStateMachine):
    """Write anything, then read everything."""

    place: records.Place

    @property
    def record(self) -> RecordStore:
        return self.place.record

    @initialize(items=st.dictionaries(st.sampled_from(IDS), FIELDS, min_size=5, max_size=8))
    def begin(self, items: dict[str, dict[str, Any]]) -> None:
        self.place.wipe()
        self.rows: dict[str, Row] = {}
        self.generation = self.record.generation("toy", 3)
        for number, space in enumerate(SPACES):  # a namespace is known from its first save on
            first = MemoryInput(id=f"00000000-0000-7000-9000-00000000000{number}", namespace=space, text="x", passages=("x",))
            self.record.save([first])
            self.record.forget(ids=[first.id])
            assert self.record.namespaces() == sorted(SPACES[: number + 1])
        self.save(items)

    # -- writing -----------------------------------------------------------------------------------------------------

    @rule(items=st.dictionaries(st.sampled_from(IDS), FIELDS, min_size=1, max_size=6))
    def save(self, items: dict[str, dict[str, Any]]) -> None:
        """A batch; what has left comes back."""
        results = self.record.save([_input(id_, fields) for id_, fields in items.items()], revive=True)
        for result, (id_, fields) in zip(results, items.items(), strict=True):
            row = self.rows.get(id_)
            if row is None:
                row, outcome = self.rows.setdefault(id_, Row(id_, fields)), "created"
            elif not row.gone and row.fields == fields:
                outcome = "unchanged"
            else:
                outcome = "updated" if row.shown else "revived"
            assert result.outcome == outcome
            if outcome == "revived":
                self._bury(row, "expired")  # unless it has been
                row.gone = False
            row.fields = fields
            if outcome != "unchanged":
                row.versions.append((outcome, fields["text"], fields["metadata"]))

    @rule(id_=st.sampled_from(IDS), thread=st.sampled_from(["t", "u"]), metadata=st.sampled_from(METADATA))
    def update(self, id_: str, thread: str, metadata: dict[str, Any]) -> None:
        row = self.rows.get(id_)
        if row is not None and row.shown:
            result = self.record.update(id_, {"thread": thread, "metadata": metadata})
            row.fields = row.fields | {"thread": thread, "metadata": metadata}
            if result.outcome == "updated":
                row.versions.append(("updated", row.fields["text"], metadata))

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=2, unique=True))
    def forget(self, ids: list[str]) -> None:
        known = [id_ for id_ in ids if id_ in self.rows]
        if known:
            result, _ = self.record.forget(ids=known)
            assert result.forgotten == sum(not self.rows[id_].gone for id_ in known)
            for id_ in known:
                self._bury(self.rows[id_], "forgotten")

    @rule()
    def expire(self) -> None:
        """What has expired becomes a tombstone; nothing that is read shows a difference but the history's numbers."""
        expired = [row for row in self.rows.values() if not row.gone and not row.shown]
        assert self.record.maintain("expire", limit=100)["done"] == len(expired)
        for row in expired:
            self._bury(row, "expired")

    @rule()
    def fold(self) -> None:
        """Vectors move into the index; nothing that is read shows a difference."""
        self.record.maintain("fold", limit=2)

    def _bury(self, row: Row, operation: str) -> None:
        if not row.gone:
            row.versions = [(before, None, None) for before, _, _ in row.versions] + [(operation, None, None)]
        row.gone = True

    # -- reading -----------------------------------------------------------------------------------------------------

    @rule(several=st.lists(FILTERS, min_size=4, max_size=8), limit=st.integers(1, 3))
    def pages(self, several: list[dict[str, Any]], limit: int) -> None:
        """All pages, one after the other, are what fits: newest first, each once."""
        for filters in several:
            self._pages(filters, limit)

    def _pages(self, filters: dict[str, Any], limit: int) -> None:
        fitting = sorted((row for row in self.rows.values() if row.fits(filters)), key=lambda row: (row.fields["created_at"], row.id))
        asked = _asked(filters)
        found, after = list[str](), None
        while page := self.record.page({**asked, "limit": limit, **({"after": after} if after else {})}):
            assert len(page) <= limit
            assert not {memory.id for memory in page} & set(found), "a page begins after the last one"
            found += [memory.id for memory in page]
            after = [page[-1].created_at.isoformat(), page[-1].id]
        assert found == [row.id for row in reversed(fitting)]

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=6))
    def some(self, ids: list[str]) -> None:
        """Of some ids, those that live: no tombstone, nothing that has expired."""
        found = self.record.get_many(ids)
        assert {memory.id: (memory.text, memory.metadata, memory.thread) for memory in found} == {
            id_: (row.fields["text"], row.fields["metadata"], row.fields["thread"])
            for id_ in ids
            if (row := self.rows.get(id_)) is not None and row.shown
        }
        assert [memory.created_at for memory in found] == sorted((memory.created_at for memory in found), reverse=True)

    @rule(id_=st.sampled_from(IDS))
    def one(self, id_: str) -> None:
        row = self.rows.get(id_)
        if row is None:
            for ask in (self.record.history, self.record.sync_state, lambda one: self.record.get(id=one)):
                with pytest.raises(NotFound):
                    ask(id_)
            return
        history = self.record.history(id_)
        assert [entry.version for entry in history] == list(range(1, len(row.versions) + 1))
        assert [(entry.operation, entry.text, entry.metadata) for entry in history] == [
            (operation, *((text, metadata) if row.shown else (None, None))) for operation, text, metadata in row.versions
        ]
        state = self.record.sync_state(id_)
        assert (state.version, state.forgotten) == (len(row.versions), row.gone)
        if row.shown:
            assert self.record.get(id=id_).text == row.fields["text"]
        else:
            with pytest.raises(Gone):
                self.record.get(id=id_)

    @rule(
        several=st.lists(FILTERS, min_size=2, max_size=5),
        words=st.sets(st.sampled_from(["lives", "porto", "barks", "rainy", "nothing"]), min_size=1, max_size=2),
    )
    def search(self, several: list[dict[str, Any]], words: set[str]) -> None:
        """By words alone: every memory that has one of them, once."""
        for filters in several:
            self._search(filters, words)

    def _search(self, filters: dict[str, Any], words: set[str]) -> None:
        hits = self.record.search({**_asked(filters), "query": " ".join(sorted(words)), "vector": None, "limit": 50, "exact": 5000})
        fitting = {row.id for row in self.rows.values() if row.fits(filters) and WORDS[row.fields["text"]] & words}
        assert sorted(hit.id for hit in hits) == sorted(fitting)

    @rule(
        several=st.lists(FILTERS, min_size=2, max_size=5), question=st.sampled_from(list(VECTORS.values())),
        exact=st.sampled_from([0, 5000]), limit=st.integers(1, 5),
    )  # fmt: skip
    def search_by_meaning(self, several: list[dict[str, Any]], question: list[float], exact: int, limit: int) -> None:
        """By a vector alone, once all that is owed is embedded: the nearest of what fits, each once, from the index or without it."""
        self._embed()
        for filters in several:
            self._search_by_meaning(filters, question, exact, limit)

    def _search_by_meaning(self, filters: dict[str, Any], question: list[float], exact: int, limit: int) -> None:
        asked = {**_asked(filters), "query": "?", "vector": str(question), "exact": exact, "limit": limit}
        hits = self.record.search(asked)
        assert len({hit.id for hit in hits}) == len(hits)
        nearness = [self._nearness(self.rows[hit.id], question) for hit in hits]
        fitting = sorted((self._nearness(row, question) for row in self.rows.values() if row.fits(filters)), reverse=True)
        assert nearness == fitting[:limit]

    def _embed(self) -> None:
        rows = self.record.claim("embeddings", refs=None, limit=1000, owed_for_seconds=0).rows
        texts = {
            row.id: [] if (row.state or {})["deleted"] else list(row.state["passages"] if row.kind == "memory" else [""]) for row in rows
        }
        body = [
            {"kind": row.kind, "id": row.id, "number": row.number, "version": row.state["version"], "vectors": len(texts[row.id])}
            for row in rows
            if row.state is not None
        ]
        vectors = [VECTORS.get(text, [0.0, 0.0, 1.0]) for row in body for text in texts[row["id"]]]
        assert self.record.store_embeddings(body, vectors, generation=self.generation)["stored"] == len(rows)

    def _nearness(self, row: Row, question: list[float]) -> float:
        return round(sum(one * other for one, other in zip(VECTORS[row.fields["text"]], question, strict=True)), 6)

    @rule(space=st.sampled_from(SPACES), name=st.sampled_from((*NAMES, "ADA", "lovelace", "Zoë")))
    def entity(self, space: str, name: str) -> None:
        """An entity is there as long as a memory that was not buried mentions it."""
        named = {one for row in self.rows.values() if row.space == space and not row.gone for one in row.fields["names"]}
        found = self.record.find_entity(space, name, None)["entity"]
        assert (found and found["name"].casefold()) == next((one.casefold() for one in named if one.casefold() == name.casefold()), None)

    @rule(space=st.sampled_from(SPACES))
    def counts(self, space: str) -> None:
        kept = [row for row in self.rows.values() if not row.gone]
        mentions = [(row.space, name) for row in kept for name in row.fields["names"]]
        found = self.record.counts()
        assert (found["memories"], found["mentions"], found["entities"]) == (len(kept), len(mentions), len(set(mentions)))
        assert found["passages"] == len(kept)
        assert found["forgotten"] == sum(row.gone for row in self.rows.values()) + len(SPACES)  # and what made the namespaces
        assert found["namespaces"] == {of: sum(row.space == of for row in kept) for of in SPACES}
        with pytest.raises(NotFound):
            self.record.page({"namespace": f"{space} that nobody wrote", "limit": 1})


def test_whatever_was_written_is_what_is_read(place: records.Place, transport: str) -> None:
    stories, steps = EXAMPLES[transport]
    machine = type("Machine", (ReadingMachine,), {"place": place})
    run_state_machine_as_test(
        machine,
        settings=examples(
            max_examples=stories, stateful_step_count=steps, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck), phases=(Phase.generate,),  # told whole: to shorten a story takes minutes
        ),
    )  # fmt: skip
