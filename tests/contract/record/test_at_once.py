"""The record under several threads that do the same things to the same memories at once: what was acknowledged is there at the end.

Must stay out: one thread (`test_machine.py`), and whole drains at once (`tests/integration/test_at_once.py`).
"""

from __future__ import annotations

import itertools
import random
from functools import partial
from typing import Any

from uuid_utils import uuid7

from memory_pipelines.domain.errors import Gone, NotFound
from memory_pipelines.domain.models import PROJECTIONS, EntityMention, Links, MemoryInput, Owed, RelationMention, SaveResult
from memory_pipelines.ports import RecordStore
from tests import engines

SPACE = "crowd"
KEYS = ("k0", "k1", "k2", "k3")
NAMES = ("Ada", "Ben", "Cleo")
THREADS, STEPS = 6, 25


class Worker:
    """One thread: writes anything, claims and settles anything, and keeps what it was told."""

    def __init__(self, record: RecordStore, seed: int, markers: itertools.count[int]) -> None:
        self.record, self.chance, self.markers = record, random.Random(seed), markers
        self.seed = seed
        self.told: list[tuple[str, SaveResult, str]] = []  # key, receipt, text
        self.forgotten: list[str] = []

    def work(self) -> Worker:
        for step in range(STEPS):
            key, text = self.chance.choice(KEYS), f"Note {self.seed} {step}."
            self.chance.choice([self.save, self.save, self.save_several, self.update, self.forget, self.settle, self.settle])(key, text)
        return self

    def save(self, key: str, text: str) -> None:
        (result,) = self.record.save([self._input(key, text)], revive=self.chance.random() < 0.7)
        self.told.append((key, result, text))

    def save_several(self, key: str, text: str) -> None:
        keys = [key, *self.chance.sample([other for other in KEYS if other != key], 2)]
        results = self.record.save([self._input(key, f"{text} {key}") for key in keys], revive=True)
        self.told += [(key, result, f"{text} {key}") for key, result in zip(keys, results, strict=True)]

    def update(self, key: str, text: str) -> None:
        try:
            found = self.record.get(key=key, namespace=SPACE)
            result = self.record.update(found.id, {"text": text, "passages": (text,)})
        except (Gone, NotFound):
            return
        self.told.append((key, result, text))

    def forget(self, key: str, text: str) -> None:
        del text
        try:
            result, _ = self.record.forget(key=key, namespace=SPACE)
        except NotFound:
            return
        self.forgotten += [key] * result.forgotten

    def settle(self, key: str, text: str) -> None:
        del key, text
        settle(self.record, self.chance.choice(PROJECTIONS), self.markers, self.chance.sample(NAMES, 2))

    def _input(self, key: str, text: str) -> MemoryInput:
        one, other = self.chance.sample(NAMES, 2)
        return MemoryInput(
            id=str(uuid7()), namespace=SPACE, key=key, text=text, passages=(text,),
            entities=(EntityMention(one, "person"),), relations=(RelationMention(one, "knows", other),),
        )  # fmt: skip


def settle(record: RecordStore, projection: str, markers: itertools.count[int], names: list[str]) -> int:
    """Claim what is owed and settle it; returns how many rows were claimed."""
    claim = record.claim(projection, refs=None, limit=100, owed_for_seconds=0)
    if projection == "graph" and claim.rows:
        marker = next(markers)
        rows = [_row(row) | {"revision": _state(row)["revision"], "marker": marker} for row in claim.rows]
        record.settle_graph(rows, claim=claim.claim, markers=[marker])
    elif projection == "entities" and claim.rows:
        links = Links(tuple(EntityMention(name) for name in names))
        record.store_links([{**_row(row), "links": links} for row in claim.rows])
    elif claim.rows:
        rows = [_row(row) | {"vectors": 0 if _state(row)["deleted"] else 1} for row in claim.rows]
        vectors = [[1.0, 0.0, 0.0] for row in rows if row["vectors"]]
        record.store_embeddings(rows, vectors, generation=record.generation("toy", 3))
    return len(claim.rows)


def _state(row: Owed) -> dict[str, Any]:
    assert row.state is not None
    return dict(row.state)


def _row(row: Owed) -> dict[str, Any]:
    return {"kind": row.kind, "id": row.id, "number": row.number, "version": _state(row)["version"]}


def test_what_was_acknowledged_is_there_and_all_that_is_not_settled_is_owed(record: RecordStore) -> None:
    markers = itertools.count(1)
    workers = engines.at_once(*[Worker(record, seed, markers).work for seed in range(THREADS)])
    told = [row for worker in workers for row in worker.told]
    for key in KEYS:
        ids = {result.id for of, result, _ in told if of == key}
        assert len(ids) == 1  # one row a key
        _history_holds(record, ids.pop(), [(result, text) for of, result, text in told if of == key],
                       sum(worker.forgotten.count(key) for worker in workers))  # fmt: skip
    _ledger_owes(record)
    for projection in ("entities", "embeddings", "graph"):
        engines.until(lambda of=projection: settle(record, of, markers, ["Ada", "Ben"]) == 0, f"{projection} is paid")  # type: ignore[misc]
    _agree(record)


def _history_holds(record: RecordStore, id_: str, told: list[tuple[SaveResult, str]], forgotten: int) -> None:
    """Each acknowledged write has a version of its own, in a history without gaps."""
    entries = {entry.version: entry for entry in record.history(id_)}
    assert sorted(entries) == list(range(1, len(entries) + 1))
    written = [(result, text) for result, text in told if result.outcome in ("created", "updated", "revived")]
    versions = [result.version for result, _ in written]
    assert len(versions) == len(set(versions))
    assert len(entries) == len(versions) + forgotten
    last_grave = max((version for version, entry in entries.items() if entry.operation == "forgotten"), default=0)
    for result, text in written:
        assert entries[result.version].operation == result.outcome
        if entries[len(entries)].operation == "forgotten" or result.version < last_grave:
            assert entries[result.version].text is None
        else:
            assert entries[result.version].text == text


def _ledger_owes(record: RecordStore) -> None:
    """Whatever a projection does not hold in its present version is owed."""
    for memory in record.page({"namespace": SPACE, "limit": 100}):
        for state in record.sync_state(memory.id).projections.values():
            assert state.owed or state.settled_version == memory.version
    for kind in ("memory", "entity", "relation"):
        for row in record.audit_expected(kind, buckets=(0, 4096)):
            assert row["owed_seconds"] is not None or row["settled_revision"] is not None


def _agree(record: RecordStore) -> None:
    """Once all is paid, nothing is owed and nothing differs."""
    assert not any(state["owed"] + state["parked"] for state in record.status(30)["projections"].values())
    assert record.audit_embeddings(after=None, limit=1000)["findings"] == []
    assert record.audit_ledger(budget_seconds=600) == {"pending": 0, "findings": [], "more": {}}
    live = record.page({"namespace": SPACE, "limit": 100})
    assert len({memory.key for memory in live}) == len(live)
    entities = {row["id"]: row["props"]["name"] for row in record.audit_expected("entity", buckets=(0, 4096))}
    assert len(set(entities.values())) == len(entities) <= len(NAMES)
    mentions = {(row["source"], entities[row["target"]]) for row in record.audit_expected("mention", buckets=(0, 4096))}
    said = {(memory.id, entity.name) for memory in live for entity in memory.entities}
    assert said <= mentions
    assert {source for source, _ in mentions} <= {memory.id for memory in live}
    for memory in live:
        assert record.sync_state(memory.id).settled


def test_of_many_that_save_one_key_at_once_all_meet_in_one_row(record: RecordStore) -> None:
    for turn in range(5):
        item = partial(MemoryInput, namespace=SPACE, key=f"same {turn}", text="The same.", passages=("The same.",))
        results = engines.at_once(*[partial(record.save, [item(id=str(uuid7()))]) for _ in range(8)])
        assert sorted(result.outcome for (result,) in results) == ["created", *["unchanged"] * 7]
        assert len({result.id for (result,) in results}) == 1
