"""Any writes of a client in any order, each perhaps twice, on every transport of the record: every store ends as the model says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from uuid_utils import uuid7

from memory_pipelines import MemoryClient, wiring
from memory_pipelines.domain.errors import Gone
from memory_pipelines.domain.models import PROJECTIONS
from memory_pipelines.services import maintenance
from memory_pipelines.services.platform import Platform
from tests import records

KEYS = ["k0", "k1", "k2", "k3"]
TEXTS = ["The cat sleeps.", "The dog barks.", "It rained all night. " * 40]
LINKS: list[dict[str, list[dict[str, str]]]] = [
    {"entities": [], "relations": []},
    {"entities": [{"name": "Ada", "type": "person"}], "relations": []},
    {"entities": [{"name": "Ada", "type": "person"}, {"name": "Ben", "type": "person"}], "relations": []},
    {"entities": [], "relations": [{"source": "Ben", "predicate": "knows", "target": "Cleo"}]},
    {"entities": [{"name": "Dora", "type": "person"}], "relations": [
        {"source": "Ben", "predicate": "knows", "target": "Cleo"}, {"source": "Cleo", "predicate": "likes", "target": "Ada"},
    ]},
]  # fmt: skip
METADATA: list[dict[str, Any]] = [{}, {"a": 1}, {"a": [None, "x"]}]


class Model:
    """What a memory should be, in plain Python."""

    def __init__(self) -> None:
        self.id = ""
        self.live = False
        self.version = 0
        self.content: dict[str, Any] = {}
        self.history: list[tuple[str, str | None]] = []

    def write(self, operation: str, content: dict[str, Any]) -> None:
        self.version, self.live, self.content = self.version + 1, True, content
        self.history.append((operation, content["text"]))

    def forget(self) -> None:
        self.version, self.live = self.version + 1, False
        self.history = [(operation, None) for operation, _ in self.history] + [("forgotten", None)]


def contents() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"text": st.sampled_from(TEXTS), "metadata": st.sampled_from(METADATA), "links": st.sampled_from(LINKS)})


class Writes(RuleBasedStateMachine):
    """Save, update, link, forget and revive in any order, each perhaps twice; then every store says what the model says."""

    def __init__(self, client: MemoryClient, platform: Platform) -> None:
        super().__init__()
        self.client, self.platform = client, platform
        self.namespace = str(uuid7())
        self.models = {key: Model() for key in KEYS}

    def _saved(self, key: str, content: dict[str, Any], revive: bool) -> str:
        """What the model says a save does."""
        model = self.models[key]
        if model.version == 0:
            model.write("created", content)
            return "created"
        if model.live:
            if model.content == content:
                return "unchanged"
            model.write("updated", content)
            return "updated"
        if revive:
            model.write("revived", content)
            return "revived"
        return "forgotten"

    def _item(self, key: str, content: dict[str, Any]) -> dict[str, Any]:
        return {"key": key, "namespace": self.namespace, "text": content["text"], "metadata": content["metadata"], **content["links"]}

    @rule(key=st.sampled_from(KEYS), content=contents(), revive=st.booleans(), times=st.integers(1, 2))
    def save(self, key: str, content: dict[str, Any], revive: bool, times: int) -> None:
        for _ in range(times):
            expected = self._saved(key, content, revive)
            if expected == "forgotten":
                with pytest.raises(Gone):
                    self.client.save(**self._item(key, content), revive=revive)
                continue
            result = self.client.save(**self._item(key, content), revive=revive)
            model = self.models[key]
            assert (result.outcome, result.version) == (expected, model.version)
            assert model.id in ("", result.id)
            model.id = result.id

    @rule(rows=st.lists(st.tuples(st.sampled_from(KEYS), contents()), min_size=1, max_size=5), revive=st.booleans())
    def save_a_batch(self, rows: list[tuple[str, dict[str, Any]]], revive: bool) -> None:
        results = self.client.save_many([self._item(key, content) for key, content in rows], revive=revive)
        expected = [self._saved(key, content, revive) for key, content in rows]
        assert [result.outcome for result in results] == expected
        for (key, _), result in zip(rows, results, strict=True):
            self.models[key].id = result.id

    @rule(
        key=st.sampled_from(KEYS),
        content=contents(),
        fields=st.sets(st.sampled_from(["text", "metadata", "links"]), min_size=1),
        times=st.integers(1, 2),
    )
    def update(self, key: str, content: dict[str, Any], fields: set[str], times: int) -> None:
        model = self.models[key]
        if not model.id:
            return
        changes: dict[str, Any] = {}
        for field in fields:
            changes |= content["links"] if field == "links" else {field: content[field]}
        for _ in range(times):
            if not model.live:
                with pytest.raises(Gone):
                    self.client.update(model.id, **changes)
                continue
            after = {**model.content, **{field: content[field] for field in fields}}
            expected = "unchanged" if after == model.content else "updated"
            if expected == "updated":
                model.write("updated", after)
            result = self.client.update(model.id, **changes)
            assert (result.outcome, result.version) == (expected, model.version)

    @rule(key=st.sampled_from(KEYS), by_key=st.booleans(), times=st.integers(1, 2))
    def forget(self, key: str, by_key: bool, times: int) -> None:
        model = self.models[key]
        if not model.id:
            return
        for _ in range(times):
            receipt = self.client.forget(key=key, namespace=self.namespace) if by_key else self.client.forget(model.id)
            assert receipt.forgotten == int(model.live)
            if model.live:
                model.forget()

    @rule(projections=st.lists(st.sampled_from(PROJECTIONS), min_size=1, max_size=3))
    def drain(self, projections: list[str]) -> None:
        self.client.sync(*projections)

    @rule()
    def maintain(self) -> None:
        maintenance.maintain(self.platform)

    def teardown(self) -> None:
        self.client.sync()
        self._agree()
        if any(model.id for model in self.models.values()):
            self.client.forget(namespace=self.namespace)
        self.client.sync()
        verdict = self.client.audit(deep=True)
        assert (verdict.findings, verdict.pending) == ((), 0)
        assert set(self.platform.graph.counts().values()) == {0}
        counts = self.platform.record.counts()
        assert {
            name: counts[name] for name in ("memories", "passages", "embeddings", "entities", "mentions", "relations")
        } == dict.fromkeys(("memories", "passages", "embeddings", "entities", "mentions", "relations"), 0)

    def _agree(self) -> None:
        verdict = self.client.audit(deep=True)
        assert (verdict.findings, verdict.pending) == ((), 0)
        live = {model.id: model for model in self.models.values() if model.live}
        if any(model.id for model in self.models.values()):
            assert {memory.id for memory in self.client.list(namespace=self.namespace)} == set(live)
        for model in self.models.values():
            if model.id:
                assert [(entry.operation, entry.text) for entry in self.client.history(model.id)] == model.history
                assert self.client.sync_state(model.id).settled
        named, pairs, stated = set(), 0, set()
        for model in live.values():
            memory = self.client.get(model.id)
            assert (memory.text, memory.metadata, memory.version) == (model.content["text"], model.content["metadata"], model.version)
            links = model.content["links"]
            of_this = {entity["name"] for entity in links["entities"]} | {
                relation[end] for relation in links["relations"] for end in ("source", "target")
            }
            assert {entity.name for entity in memory.entities} == of_this
            named |= of_this
            pairs += len(of_this)
            stated |= {tuple(relation.values()) for relation in links["relations"]}
        expected = {"memory": len(live), "entity": len(named), "mention": pairs, "relation": len(stated)}
        assert self.platform.graph.counts() == expected
        for name in named:
            assert {UUID(memory.id) for memory in self.client.related(name, namespace=self.namespace).memories} <= {
                UUID(id_) for id_ in live
            }


@pytest.fixture
def machine(place: records.Place) -> Iterator[Callable[[], Writes]]:
    """Machines on one empty platform without an extractor, so that the given links are all there are."""
    platform = wiring.open_platform(place.settings.model_copy(update={"extractor": "none"}))
    yield partial(Writes, MemoryClient(platform), platform)
    platform.close()


def test_any_writes_in_any_order_end_with_every_store_agreeing(machine: Callable[[], Writes]) -> None:
    run_state_machine_as_test(machine, settings=examples(max_examples=10, stateful_step_count=15, deadline=None))
