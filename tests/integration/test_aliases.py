"""Merging entities and taking it back: what the graph shows, what stays of the names, and any order of it with saves and forgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import Conflict, InvalidInput, NotFound
from tests import engines
from tests.integration import faults

pytestmark = engines.ON_EVERY_GRAPH

NAMES = ("Ada", "Ben", "Cleo", "Dora")


def person(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "type": "person"} for name in names]


def knows(source: str, target: str) -> dict[str, str]:
    return {"source": source, "predicate": "knows", "target": target}


def graph_shows(settings: Settings) -> tuple[set[tuple[str, str]], list[tuple[str, str, str]]]:
    """What the graph itself says: (memory, name) of every mention, and every live relation."""
    server = engines.graph_server(settings)
    try:
        mentions = server.run("MATCH (m:Memory)-[:MENTIONS]->(e:Entity) RETURN m.id, e.name", write=False)
        relations = server.run(
            "MATCH (a:Entity)-[r:RELATES_TO]->(b:Entity) WHERE coalesce(r.deleted, false) = false RETURN a.name, r.predicate, b.name",
            write=False,
        )
    finally:
        server.close()
    pairs = [(row[0], row[1]) for row in mentions]
    assert len(pairs) == len(set(pairs)), "one edge a memory, however many of its names it says"
    return set(pairs), sorted((row[0], row[1], row[2]) for row in relations)


def as_named(settings: Settings) -> set[tuple[Any, ...]]:
    """Every mention and statement as it was made: ids, and who says so."""
    with engines.connect(settings) as connection:
        mentions = connection.execute("select memory_id, entity_id, given, extracted, shown_id from memory.mentions").fetchall()
        statements = connection.execute("select memory_id, relation_id, given, extracted, shown_id from memory.statements").fetchall()
    return {*mentions, *statements}


def live(settings: Settings) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    """Live entities with name and type, and live relations with their ends."""
    with engines.connect(settings) as connection:
        entities = connection.execute("select id, name, type from memory.entities where deleted_at is null").fetchall()
        relations = connection.execute(
            "select id, source_id, predicate, target_id from memory.relations where deleted_at is null"
        ).fetchall()
    return set(entities), set(relations)


def agree(client: MemoryClient) -> None:
    """Bring every projection up; both audits find nothing."""
    client.sync()
    for deep in (False, True):
        verdict = client.audit(deep=deep)
        assert verdict.findings == ()
        assert verdict.pending == 0


def test_a_merge_is_shown_and_can_be_taken_back_exactly(client: MemoryClient, settings: Settings) -> None:
    both = client.save("a", entities=person("Bob", "Robert"), relations=[knows("Bob", "Cleo"), knows("Robert", "Cleo")]).id
    one = client.save("b", entities=person("Bob")).id
    agree(client)
    before = as_named(settings), live(settings), graph_shows(settings)
    result = client.merge_entities("bob", "Robert", by="mara")
    assert (result.outcome, result.entity, result.alias, result.memories) == ("merged", "Robert", "Bob", 2)
    agree(client)
    mentions, relations = graph_shows(settings)
    assert mentions == {(both, "Robert"), (both, "Cleo"), (one, "Robert")}
    assert relations == [("Robert", "knows", "Cleo")], "two that became equal are one edge"
    assert client._platform.record.counts()["mentions"] == 3
    found = client.entity("Bob")
    assert (found.name, found.mentions, [(one.name, one.merged_into, one.merged_by) for one in found.aliases]) == (
        "Robert", 2, [("Bob", "Robert", "mara")],
    )  # fmt: skip
    assert {(mention.memory, mention.name) for mention in found.memories} == {(both, "Bob"), (both, "Robert"), (one, "Bob")}
    assert {memory.id for memory in client.related("Bob").memories} == {both, one}
    assert client.merge_entities("Bob", "Robert").outcome == "unchanged"
    client.unmerge_entity("Bob")
    agree(client)
    assert (as_named(settings), live(settings), graph_shows(settings)) == before
    assert client.aliases() == ()


def test_what_names_the_alias_meanwhile_goes_back_to_it(client: MemoryClient, settings: Settings) -> None:
    client.save("a", entities=person("Bob", "Robert"))
    client.merge_entities("Bob", "Robert")
    later = client.save("b", relations=[knows("Bob", "Dora")], entities=person("Bob", "Dora")).id
    agree(client)
    assert graph_shows(settings)[1] == [("Robert", "knows", "Dora")]
    assert (later, "Robert") in graph_shows(settings)[0]
    client.unmerge_entity("Bob")
    agree(client)
    mentions, relations = graph_shows(settings)
    assert {name for id_, name in mentions if id_ == later} == {"Bob", "Dora"}
    assert relations == [("Bob", "knows", "Dora")]


def test_a_relation_of_an_alias_that_was_forgotten_comes_back_as_what_it_is_shown(client: MemoryClient, settings: Settings) -> None:
    client.save("They met.", entities=person("Ada", "Ben", "Cleo"))
    said = client.save("First.", entities=person("Ada"), relations=[knows("Ada", "Cleo")])
    client.merge_entities("Ada", "Ben")
    client.sync()
    assert graph_shows(settings)[1] == [("Ben", "knows", "Cleo")]
    client.forget(said.id)
    client.sync()
    assert graph_shows(settings)[1] == []
    client.save("Again.", relations=[knows("Ada", "Cleo")])
    client.sync()
    assert graph_shows(settings)[1] == [("Ben", "knows", "Cleo")]
    assert client.merge_entities("Cleo", "Ben").outcome == "merged"
    agree(client)


def test_chains_move_with_their_end_and_come_back_as_they_were(client: MemoryClient, settings: Settings) -> None:
    ids = {name: client.save(name, entities=person(name)).id for name in NAMES}
    client.merge_entities("Ada", "Ben")
    client.merge_entities("Ben", "Cleo")
    client.merge_entities("Dora", "Ada")  # which is shown as Cleo
    agree(client)
    assert graph_shows(settings)[0] == {(id_, "Cleo") for id_ in ids.values()}
    assert [(one.name, one.merged_into, one.entity) for one in client.aliases()] == [
        ("Ada", "Ben", "Cleo"), ("Ben", "Cleo", "Cleo"), ("Dora", "Cleo", "Cleo"),
    ]  # fmt: skip
    client.unmerge_entity("Ben")
    agree(client)
    assert graph_shows(settings)[0] == {(ids["Ada"], "Ben"), (ids["Ben"], "Ben"), (ids["Cleo"], "Cleo"), (ids["Dora"], "Cleo")}


def test_what_cannot_be_merged_is_refused_and_changes_nothing(client: MemoryClient, settings: Settings) -> None:
    client.save("a", entities=person("Ada", "Ben", "Cleo"))
    client.save("b", entities=person("Far"), namespace="other")
    client.merge_entities("Ada", "Ben")
    before = as_named(settings), client.aliases()
    for source, target, error, code in (
        ("Ben", "ben", InvalidInput, "entity_merged_with_itself"), ("Ben", "Ada", InvalidInput, "entity_merged_with_itself"),
        ("Ada", "Cleo", Conflict, "entity_is_alias"), ("Far", "Ben", NotFound, "entity_unknown"),
        ("Ben", "Far", NotFound, "entity_unknown"),
    ):  # fmt: skip
        with pytest.raises(error) as raised:
            client.merge_entities(source, target)
        assert raised.value.code == code  # type: ignore[attr-defined]
    for unknown in ("Ben", "Nobody"):
        with pytest.raises(NotFound) as missing:
            client.unmerge_entity(unknown)
        assert missing.value.code == "alias_unknown"
    with pytest.raises(NotFound):
        client.merge_entities("a", "b", namespace="nowhere")
    assert (as_named(settings), client.aliases()) == before


def test_a_merged_entity_lives_until_no_memory_says_any_of_its_names(client: MemoryClient, settings: Settings) -> None:
    own, other = client.save("a", entities=person("Robert")).id, client.save("b", entities=person("Bob")).id
    client.merge_entities("Bob", "Robert")
    client.forget(own)
    agree(client)
    assert graph_shows(settings)[0] == {(other, "Robert")}
    client.forget(other)
    agree(client)
    assert (graph_shows(settings), live(settings)) == ((set(), []), (set(), set()))
    with engines.connect(settings) as connection:
        assert connection.execute("select name, name_key, type from memory.aliases").fetchall() == [(None, None, None)], (
            "its name is forgotten"
        )
    again = client.save("c", entities=person("Bob")).id  # what was decided holds
    agree(client)
    assert graph_shows(settings)[0] == {(again, "Bob")}, "under the one name that is known"
    client.save("d", entities=person("Robert"))
    agree(client)
    assert {name for _, name in graph_shows(settings)[0]} == {"Robert"}
    client.unmerge_entity("Bob")
    agree(client)
    assert (again, "Bob") in graph_shows(settings)[0]


@pytest.mark.parametrize("point", ["merge.leased", "merge.committed", "unmerge.committed"])
def test_a_merge_that_is_killed_is_done_or_not(survivor: MemoryClient, mortal: Settings, point: str) -> None:
    survivor.save("a", entities=person("Bob", "Robert"), relations=[knows("Bob", "Robert")])
    survivor.sync()
    if point.startswith("unmerge"):
        survivor.merge_entities("Bob", "Robert")
        faults.killed_at(mortal, point, "client.unmerge_entity('Bob')")
    else:
        faults.killed_at(mortal, point, "client.merge_entities('Bob', 'Robert')")
    assert len(survivor.aliases()) == (point == "merge.committed")
    agree(survivor)
    assert survivor.merge_entities("Bob", "Robert").outcome == ("unchanged" if point == "merge.committed" else "merged")
    agree(survivor)


def test_merges_while_others_save_forget_and_drain(client: MemoryClient, settings: Settings) -> None:
    client.save("anchor", entities=person(*NAMES))
    client.close()
    before = engines.deadlocks(settings)
    with MemoryClient.from_env(settings) as busy:

        def write(key: str) -> None:
            for turn in range(15):
                ends = NAMES[turn % 4], NAMES[(turn + 1) % 4]
                busy.save(f"{key} {turn}", key=key, entities=person(*ends), relations=[knows(*ends)], revive=True)
                if turn % 4 == 3:
                    busy.forget(key=key)

        def merge() -> None:
            for _ in range(8):
                busy.merge_entities("Ada", "Ben")
                busy.merge_entities("Ben", "Cleo")
                busy.unmerge_entity("Ada")
                busy.unmerge_entity("Ben")

        def show() -> None:
            for _ in range(4):
                busy.sync("entities", "graph")

        engines.at_once(partial(write, "one"), partial(write, "two"), merge, show)
        agree(busy)
        assert busy.aliases() == ()
    assert engines.deadlocks(settings) == before


@dataclass
class Model:
    """What ought to be shown, by names alone: who says what, and what was merged into what."""

    says: dict[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = field(default_factory=dict)
    parent: dict[str, str] = field(default_factory=dict)

    def shown(self, name: str) -> str:
        while name in self.parent:
            name = self.parent[name]
        return name

    def named(self) -> set[str]:
        return {name for names, _ in self.says.values() for name in names}

    def alive(self, name: str) -> bool:
        return any(self.shown(one) == name for one in self.named())


class Histories(RuleBasedStateMachine):
    """Any order of saves, forgets, merges and their undoing."""

    client: MemoryClient
    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        engines.empty(self.settings)
        self.client = MemoryClient.from_env(self.settings)
        self.model = Model()
        self.client.save("the namespace", key="anchor")

    @rule(key=st.sampled_from("abc"), names=st.lists(st.sampled_from(NAMES), unique=True, max_size=3), data=st.data())
    def save(self, key: str, names: Sequence[str], data: st.DataObject) -> None:
        pairs = [(one, other) for one in names for other in names]
        said = tuple(data.draw(st.lists(st.sampled_from(pairs), unique=True, max_size=2))) if pairs else ()
        self.client.save(f"{key} {names} {said}", key=key, entities=person(*names), relations=[knows(*pair) for pair in said], revive=True)
        self.model.says[key] = tuple(names), said

    @rule(key=st.sampled_from("abc"))
    def forget(self, key: str) -> None:
        if key in self.model.says:
            self.client.forget(key=key)
            del self.model.says[key]

    @rule(source=st.sampled_from(NAMES), into=st.sampled_from(NAMES))
    def merge(self, source: str, into: str) -> None:
        model, root = self.model, self.model.shown(into)
        possible = source != root and source not in model.parent and model.alive(source) and model.alive(root)
        try:
            merged = self.client.merge_entities(source, into).outcome == "merged"
        except (NotFound, InvalidInput, Conflict):
            merged = False
        assert merged == possible
        if merged:
            model.parent[source] = root

    @rule(name=st.sampled_from(NAMES))
    def unmerge(self, name: str) -> None:
        try:
            self.client.unmerge_entity(name)
        except NotFound:
            assert name not in self.model.parent
        else:
            del self.model.parent[name]

    @rule()
    def drain(self) -> None:
        self.client.sync("graph")

    @invariant()
    def mentions_keep_what_they_named(self) -> None:
        with engines.connect(self.settings) as connection:
            named = connection.execute(
                "select o.key, h.key from memory.mentions m join memory.memories o on o.id = m.memory_id join (values "
                + ", ".join(f"(memory.keyed_hash('entity', 'default', '{name.casefold()}'), '{name}')" for name in NAMES)
                + ") h(hash, key) on h.hash = (select name_hash from memory.entities e where e.id = m.entity_id)"
            ).fetchall()
        assert sorted(named) == sorted((key, name) for key, (names, _) in self.model.says.items() for name in names)

    @invariant()
    def what_lives_goes_by_a_name_of_its_own_or_of_an_alias(self) -> None:
        """Whose name was forgotten borrows one, and gives it back when that is forgotten too."""
        with engines.connect(self.settings) as connection:
            strange = connection.execute(
                "select e.name from memory.entities e where e.deleted_at is null"
                " and e.name_hash <> memory.keyed_hash('entity', e.namespace, e.name_key) and not memory.borrows_name(e.id, e.name_key)"
            ).fetchall()
        assert strange == []

    def teardown(self) -> None:
        try:
            agree(self.client)
            ids = {key: self.client.get(key=key).id for key in self.model.says}
            shown, relations = self._shown()
            expected = {(ids[key], self.model.shown(name)) for key, (names, _) in self.model.says.items() for name in names}
            assert shown == expected
            wanted = {(self.model.shown(a), "knows", self.model.shown(b)) for _, said in self.model.says.values() for a, b in said}
            assert sorted(relations) == sorted(wanted)
            for name in list(self.model.parent):
                self.client.unmerge_entity(name)
            agree(self.client)
            mentions, statements = graph_shows(self.settings)
            assert mentions == {(ids[key], name) for key, (names, _) in self.model.says.items() for name in names}
            assert statements == sorted({(a, "knows", b) for _, said in self.model.says.values() for a, b in said})
        finally:
            self.client.close()

    def _shown(self) -> tuple[set[tuple[str, str]], list[tuple[str, str, str]]]:
        """What the graph shows, each entity under the name that is its own: one whose name was forgotten goes by another's."""
        mentions, relations = graph_shows(self.settings)
        own = {name: self.model.shown(name) for name in NAMES}
        return {(id_, own[name]) for id_, name in mentions}, [(own[a], predicate, own[b]) for a, predicate, b in relations]


def test_any_history_ends_with_what_its_names_and_merges_say(settings: Settings) -> None:
    class Machine(Histories):
        pass

    Machine.settings = settings.model_copy(update={"extractor": "none"})
    run_state_machine_as_test(
        Machine,
        settings=examples(max_examples=25, stateful_step_count=16, deadline=None, suppress_health_check=list(HealthCheck)),
    )
