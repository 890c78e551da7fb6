"""The graph's store under any order of batches, held against a model of a few lines: hypothesis writes the stories.

The model is what the port promises: not older, whole, one marker. Must stay out: single cases (`test_store.py`).
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from memory_pipelines import Settings, wiring
from memory_pipelines.ports import GraphStore, Marker
from tests import engines

ENTITIES = ("ada", "ben", "cleo")
MEMORIES = ("m1", "m2")
RELATIONS = {"r1": ("ada", "ben"), "r2": ("ben", "ada"), "r3": ("ada", "ada")}
REVISIONS = st.integers(1, 4)
BATCH = st.lists(st.tuples(st.sampled_from(ENTITIES), REVISIONS, st.booleans()), min_size=1, max_size=3, unique_by=lambda row: row[0])
EXAMPLES = {"falkordb": (16, 25), "neo4j": (3, 12)}  # stories, and steps in each


class GraphMachine(RuleBasedStateMachine):
    """Batches in any order, repeated, older, buried and purged."""

    graph: GraphStore
    wipe: Any

    def __init__(self) -> None:
        super().__init__()
        self.nodes: dict[tuple[str, str], dict[str, Any]] = {}  # as written; an entity that is only pointed at has just its id
        self.mentions: dict[str, set[str]] = {}
        self.relations: dict[str, dict[str, Any]] = {}
        self.counter = self.claim = self.fence = self.settled = 0

    @initialize()
    def empty(self) -> None:
        self.wipe()
        self.graph.prepare(again=True)

    # -- writing -----------------------------------------------------------------------------------------------------

    @rule(rows=BATCH)
    def entities(self, rows: list[tuple[str, int, bool]]) -> None:
        batch = [_row(id_, revision, buried, name=id_.upper(), type="person") for id_, revision, buried in rows]
        self._check("entity", batch, {row["id"] for row in batch if self._node("entity", row)})

    @rule(id_=st.sampled_from(MEMORIES), revision=REVISIONS, buried=st.booleans(), mentions=st.sets(st.sampled_from(ENTITIES)))
    def memory(self, id_: str, revision: int, buried: bool, mentions: set[str]) -> None:
        row = _row(id_, revision, buried, created_at=revision)
        pointed = set() if buried else mentions
        row["mentions"] = [{"entity": entity, "dh": 1, "dl": 1} for entity in sorted(pointed)]
        fresh = self._node("memory", row)
        if fresh:
            self.mentions[id_] = pointed
            self._touch(pointed)
        self._check("memory", [row], {id_} if fresh else set())

    @rule(id_=st.sampled_from(sorted(RELATIONS)), revision=REVISIONS, buried=st.booleans())
    def relation(self, id_: str, revision: int, buried: bool) -> None:
        source, target = RELATIONS[id_]
        row = _row(id_, revision, buried, predicate="knows") | {"source": source, "target": target}
        fresh = self.relations.get(id_, {}).get("revision", -1) <= revision
        if buried:  # the tombstone needs ends to hang on
            for end in (source, target):
                self.nodes.setdefault(("entity", end), {"id": end, "deleted": True, "revision": -1})
        else:
            self._touch({source, target})
        if fresh:
            self.relations[id_] = row["props"]
        self._check("buried_relation" if buried else "relation", [row], {id_} if fresh else set())

    @rule(behind=st.sampled_from(["counter", "fence", "record"]))
    def refused_by_the_marker(self, behind: str) -> None:
        """Of a graph that was rolled back, a worker that slept, a record that was rolled back: none writes anything."""
        offered = {"claim": self.claim + 1, "issued": self.claim + 1, "settled": self.counter}
        if behind == "counter":
            offered["settled"] = self.counter + 1
        elif behind == "fence":
            offered["claim"] = self.fence - 1
        else:
            offered["issued"] = self.claim - 1
        if offered["claim"] < 0 or offered["issued"] < 0:
            return
        self.claim = max(self.claim, offered["claim"])
        assert self.graph.apply("entity", [_row("ada", 99, False)], **offered).marker is None

    # -- purging -----------------------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(["relation", "memory", "entity"]))
    def purge(self, kind: str) -> None:
        listed = self.graph.tombstones(kind, limit=10)
        assert {row["id"] for row in listed} == self._graves(kind)
        self.claim += 1
        self.fence = self.claim
        self.graph.raise_fence(self.claim)
        self.graph.purge(kind, listed)
        for row in listed:
            if kind == "relation":
                del self.relations[row["id"]]
            else:
                del self.nodes[kind, row["id"]]

    # -- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def the_graph_shows_what_the_model_says(self) -> None:
        assert self.graph.marker() == Marker(self.counter, self.claim, self.fence)
        for kind, ids in (("entity", ENTITIES), ("memory", MEMORIES)):
            assert {row["id"]: row["props"] for row in self.graph.rows(kind, ids=ids)} == {
                id_: props for (of, id_), props in self.nodes.items() if of == kind
            }
        wanted = [{"id": id_, "source": source, "target": target} for id_, (source, target) in RELATIONS.items()]
        assert {row["id"]: row["props"] for row in self.graph.rows("relation", ids=wanted)} == self.relations
        pairs = [{"id": "", "source": memory, "target": entity} for memory in MEMORIES for entity in ENTITIES]
        shown = sorted((row["source"], row["target"]) for row in self.graph.rows("mention", ids=pairs))
        assert shown == sorted((memory, entity) for memory, entities in self.mentions.items() for entity in entities)
        lives = [kind for (kind, _), props in self.nodes.items() if "deleted" not in props]
        related = sum(1 for props in self.relations.values() if "deleted" not in props)
        assert self.graph.counts() == {
            "memory": lives.count("memory"), "entity": lives.count("entity"), "mention": len(shown), "relation": related,
        }  # fmt: skip

    def _node(self, kind: str, row: dict[str, Any]) -> bool:
        fresh = bool(self.nodes.get((kind, row["id"]), {}).get("revision", -1) <= row["revision"])
        if fresh:
            self.nodes[kind, row["id"]] = row["props"]
        return fresh

    def _touch(self, entities: set[str]) -> None:
        for id_ in entities:
            self.nodes.setdefault(("entity", id_), {"id": id_})

    def _graves(self, kind: str) -> set[str]:
        if kind == "relation":
            return {id_ for id_, props in self.relations.items() if "deleted" in props}
        held = {end for id_ in self.relations for end in RELATIONS[id_]} | {one for some in self.mentions.values() for one in some}
        graves = {id_ for (of, id_), props in self.nodes.items() if of == kind and "deleted" in props}
        return graves if kind == "memory" else graves - held

    def _check(self, kind: str, batch: list[dict[str, Any]], fresh: set[str]) -> None:
        self.claim += 1
        self.counter += 1
        answer = self.graph.apply(kind, batch, claim=self.claim, issued=self.claim, settled=self.counter - 1)
        assert answer.marker == self.counter
        assert answer.applied == len(fresh)
        assert set(answer.refused) == {row["id"] for row in batch} - fresh


def _row(id_: str, revision: int, buried: bool, **facts: Any) -> dict[str, Any]:
    placed = {"namespace": "default", "dh": revision, "dl": 1, "bucket": 7, "leaf": 3}
    props = {"id": id_, "revision": revision} | ({"deleted": True} if buried else {**placed, **facts})
    return {"id": id_, "revision": revision, "expect": -2, "props": props}


@pytest.mark.parametrize("named_graph", list(EXAMPLES), indirect=True)
def test_any_order_of_batches_ends_as_the_model_says(settings: Settings, request: pytest.FixtureRequest) -> None:
    stories, steps = EXAMPLES[request.node.callspec.params["named_graph"]]
    engines.empty(settings)
    with closing(wiring.open_platform(settings)) as platform:
        machine = type("Machine", (GraphMachine,), {"graph": platform.graph, "wipe": staticmethod(lambda: engines.empty_graph(settings))})
        run_state_machine_as_test(
            machine,
            settings=examples(
                max_examples=stories, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck), database=None
            ),
        )
