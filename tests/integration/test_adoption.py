"""Edits that somebody makes in the graph: the record wins, or adopts them; what was adopted stays, and what was taken away stays away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import Conflict
from memory_pipelines.domain.models import Verdict
from memory_pipelines.ports import GraphTransport
from tests import engines
from tests.integration import drift, faults

pytestmark = engines.ON_EVERY_GRAPH
RENAME = "MATCH (e:Entity {id: $id}) SET e.name = $name"
CURATE = "MATCH (e:Entity {id: $id}) SET e.type = 'scientist', e.aliases = ['AL', 'the Countess'], e.summary = 'Wrote the first program.'"
DRAW = "MATCH (a:Entity {id: $source}), (b:Entity {id: $target}) CREATE (a)-[:RELATES_TO {predicate: $predicate}]->(b)"
TAKE = "MATCH (:Entity {id: $source})-[n:RELATES_TO {id: $id}]->(:Entity {id: $target}) DELETE n"
TEXT = "Ada Lovelace met Charles Babbage. Ada Lovelace lives in London."


class Curator:
    """Somebody who edits the graph by hand, and looks at what the record says."""

    def __init__(self, settings: Settings, client: MemoryClient, graph: GraphTransport) -> None:
        self.settings, self.client, self.graph = settings, client, graph
        self.sql = engines.connect(settings)

    def value(self, statement: str, *values: Any) -> Any:
        row = self.sql.execute(statement, list(values)).fetchone()
        return row and (row[0] if len(row) == 1 else tuple(row))

    def entity(self, name: str) -> str:
        return str(self.value("select id::text from memory.entities where name = %s", name))

    def relation(self, source: str, target: str) -> tuple[str, str, str, str]:
        return self.value(  # type: ignore[no-any-return]
            "select r.id::text, s.id::text, t.id::text, r.predicate from memory.relations r join memory.entities s on s.id = r.source_id"
            " join memory.entities t on t.id = r.target_id where s.name = %s and t.name = %s and r.deleted_at is null",
            source, target,
        )  # fmt: skip

    def write(self, statement: str, **parameters: Any) -> None:
        self.graph.run(statement, parameters, write=True)

    def props(self, id_: str) -> dict[str, Any]:
        return dict(self.graph.run("MATCH (e:Entity {id: $id}) RETURN properties(e)", {"id": id_})[0][0])

    def predicates(self, source: str, target: str) -> list[str]:
        rows = self.graph.run(
            "MATCH (:Entity {id: $s})-[n:RELATES_TO]->(:Entity {id: $t}) WHERE n.deleted IS NULL RETURN n.predicate",
            {"s": self.entity(source), "t": self.entity(target)},
        )
        return sorted(str(row[0]) for row in rows)

    def repaired(self) -> Verdict:
        return self.client.audit(deep=True, repair=True)


@pytest.fixture
def curator(settings: Settings, client: MemoryClient) -> Iterator[Curator]:
    client.save(TEXT, key="ada")
    client.save("Dan met Ben.", key="dan", entities=[{"name": "Dan", "type": "person"}, {"name": "Ben", "type": "person"}])
    client.sync()
    with closing(engines.graph_server(settings)) as graph:
        someone = Curator(settings, client, graph)
        yield someone
        someone.sql.close()


def settled(curator: Curator) -> None:
    verdict = curator.client.audit(deep=True)
    assert drift.findings(verdict) == []
    assert verdict.pending == 0


def again(curator: Curator) -> None:
    """The same text is extracted anew, and a new one that says it too."""
    curator.client.save(f"{TEXT} So it is said.", key="ada")
    curator.client.save(TEXT)
    curator.client.sync()
    curator.client.rebuild("entities")
    curator.client.sync()


def test_the_record_wins_unless_it_is_told_otherwise(curator: Curator) -> None:
    ada = curator.entity("Ada Lovelace")
    curator.write(RENAME, id=ada, name="Countess")
    curator.write(DRAW, source=ada, target=curator.entity("Ben"), predicate="knows")
    assert curator.client.policies() == {"default": "record-wins"}
    assert curator.repaired().clean
    assert curator.props(ada)["name"] == "Ada Lovelace"
    assert curator.predicates("Ada Lovelace", "Ben") == []


def test_what_a_person_curates_is_adopted_and_survives_extraction(curator: Curator) -> None:
    curator.client.set_policy("default", "adopt")
    ada = curator.entity("Ada Lovelace")
    digests = curator.value("select revision, digest from memory.entities where name = 'Ben'")
    curator.write(RENAME, id=ada, name="Countess of Lovelace")
    curator.write(CURATE, id=ada)
    plan = curator.client.plan_repair()
    assert [(row.action, row.change, row.fields) for row in plan.rows] == [("adopt", "edit", ("name", "type", "aliases", "summary"))]
    assert "Countess" not in plan.as_text()
    result = curator.client.repair(plan)
    assert (result.clean, result.outcomes) == (True, {"adopted": 1})
    shown = curator.props(ada)
    assert (shown["name"], shown["type"], shown["aliases"]) == ("Countess of Lovelace", "scientist", ["AL", "the Countess"])
    assert (shown["summary"], shown["revision"]) == ("Wrote the first program.", 2)
    assert curator.value("select change, revision, before ->> 'name', at is not null from memory.adoptions") == (
        "edit",
        2,
        "Ada Lovelace",
        True,
    )
    assert curator.value("select revision, digest from memory.entities where name = 'Ben'") == digests
    settled(curator)

    again(curator)
    curator.client.save("The Countess of Lovelace met Ben.", entities=[{"name": "Countess of Lovelace", "type": "thing"}])
    curator.client.sync()
    assert curator.props(ada)["name"] == "Countess of Lovelace"
    assert curator.props(ada)["summary"] == "Wrote the first program."
    assert curator.value("select count(*) from memory.entities where deleted_at is null and name like '%%Lovelace'") == 1
    assert curator.client.related("countess of lovelace").name == "Countess of Lovelace"
    assert curator.client.related("Ada Lovelace").name == "Countess of Lovelace"
    settled(curator)


def test_a_drawn_relation_lives_without_a_memory_and_dies_with_its_ends(curator: Curator) -> None:
    curator.client.set_policy("default", "adopt")
    ada, ben = curator.entity("Ada Lovelace"), curator.entity("Ben")
    curator.write(DRAW, source=ada, target=ben, predicate="knows")
    curator.write(
        "MATCH (a:Entity {id: $source}), (b:Entity {id: $target}) CREATE (b)-[:RELATES_TO {id: 'mine', predicate: 'admires'}]->(a)",
        source=ada, target=ben,
    )  # fmt: skip
    assert curator.repaired().clean
    assert curator.predicates("Ada Lovelace", "Ben") == ["knows"]
    assert curator.predicates("Ben", "Ada Lovelace") == ["admires"]
    assert curator.graph.run("MATCH ()-[n:RELATES_TO]->() WHERE n.id IS NULL OR (n.id = 'mine' AND n.deleted IS NULL) RETURN count(n)") == [
        [0]
    ]
    again(curator)
    settled(curator)
    assert curator.predicates("Ada Lovelace", "Ben") == ["knows"]

    curator.client.forget(key="dan", wait="all")
    curator.client.sync()
    settled(curator)
    assert curator.value("select count(*) from memory.relations where deleted_at is null and adopted_at is not null") == 0
    assert curator.value("select count(*) from memory.relations where deleted_at is not null and predicate is not null") == 0


def test_a_drawn_relation_outlives_the_last_memory_that_states_it_too(curator: Curator) -> None:
    curator.client.set_policy("default", "adopt")
    curator.write(DRAW, source=curator.entity("Dan"), target=curator.entity("Ben"), predicate="knows")
    assert curator.repaired().clean
    stated = curator.client.save("Dan knows Ben.", relations=[{"source": "Dan", "predicate": "knows", "target": "Ben"}])
    assert curator.value("select count(*) from memory.statements where memory_id = %s", stated.id) == 1
    curator.client.forget(stated.id)
    curator.client.sync()
    settled(curator)
    assert curator.predicates("Dan", "Ben") == ["knows"]


def test_a_relation_that_was_taken_away_is_not_extracted_again_but_a_caller_may_give_it(curator: Curator) -> None:
    curator.client.set_policy("default", "adopt")
    id_, source, target, predicate = curator.relation("Ada Lovelace", "London")
    curator.write(TAKE, id=id_, source=source, target=target)
    plan = curator.client.plan_repair()
    assert [(row.action, row.change, row.id) for row in plan.rows] == [("adopt", "remove", id_)]
    assert curator.client.repair(plan).clean
    assert curator.predicates("Ada Lovelace", "London") == []
    again(curator)
    settled(curator)
    assert curator.predicates("Ada Lovelace", "London") == []

    curator.client.save("A caller knows better.", relations=[{"source": "Ada Lovelace", "predicate": predicate, "target": "London"}])
    curator.client.sync()
    assert curator.predicates("Ada Lovelace", "London") == [predicate]
    again(curator)
    settled(curator)
    assert curator.predicates("Ada Lovelace", "London") == [predicate]


def test_a_name_that_another_entity_has_stays_a_finding(curator: Curator) -> None:
    curator.client.set_policy("default", "adopt")
    ada = curator.entity("Ada Lovelace")
    curator.write(RENAME, id=ada, name="BEN")
    plan = curator.client.plan_repair()
    assert [(row.action, row.reason) for row in plan.rows] == [("leave", "name_taken")]
    assert plan.work == 0
    result = curator.client.repair(plan)
    assert (result.outcomes, result.clean) == ({"left": 1}, True)
    verdict = curator.repaired()
    assert drift.findings(verdict) == [("edited", "graph", "entity", ada)]
    assert curator.props(ada)["name"] == "BEN"
    curator.client.set_policy("default", "record-wins")
    assert curator.repaired().clean
    assert curator.props(ada)["name"] == "Ada Lovelace"


def test_an_edit_that_changed_again_or_a_record_that_did_is_refused(curator: Curator) -> None:
    curator.client.set_policy("default", "adopt")
    ada, ben = curator.entity("Ada Lovelace"), curator.entity("Ben")
    curator.write(RENAME, id=ada, name="Countess")
    curator.write(RENAME, id=ben, name="Benjamin")
    plan = curator.client.plan_repair()
    assert len(plan.rows) == 2
    curator.write(RENAME, id=ada, name="Augusta")
    curator.sql.execute("update memory.entities set revision = revision + 1 where id = %s", [ben])
    result = curator.client.repair(plan)
    assert result.outcomes == {"refused": 2}
    assert all(row["reason"] for row in result.rows)
    assert curator.value("select count(*) from memory.adoptions") == 0
    assert curator.value("select name from memory.entities where id = %s", ada) == "Ada Lovelace"


def test_what_was_lost_with_the_graph_is_nobodys_wish(curator: Curator) -> None:
    curator.client.set_policy("default", "adopt")
    curator.write("MATCH (e:Entity {id: $id}) DETACH DELETE e", id=curator.entity("London"))
    assert curator.repaired().clean
    assert curator.predicates("Ada Lovelace", "London") != []
    engines.empty_graph(curator.settings)
    assert curator.repaired().clean
    assert curator.predicates("Ada Lovelace", "London") != []
    assert curator.value("select count(*) from memory.adoptions") == 0


def test_forgetting_leaves_no_word_that_a_person_wrote(curator: Curator) -> None:
    curator.client.set_policy("default", "adopt")
    ada = curator.entity("Ada Lovelace")
    curator.write(RENAME, id=ada, name="Zenobia")
    curator.write(CURATE, id=ada)
    assert curator.repaired().clean
    curator.client.forget(key="ada", wait="all")
    curator.client.sync()
    settled(curator)
    everything = engines.everything_in(curator.settings) + engines.everything_in_graph(curator.settings)
    for word in ("Zenobia", "zenobia", "Lovelace", "Countess", "first program", "scientist"):
        assert word not in everything


@pytest.mark.parametrize("point", ["repair.planned", "repair.adopted", "repair.owed"])
def test_a_repair_that_is_killed_is_finished_by_the_next(curator: Curator, point: str) -> None:
    curator.client.set_policy("default", "adopt")
    ada, ben = curator.entity("Ada Lovelace"), curator.entity("Ben")
    memory = str(curator.value("select id::text from memory.memories where key = 'dan'"))
    curator.write(RENAME, id=ada, name="Countess")
    curator.write(DRAW, source=ada, target=ben, predicate="knows")
    curator.write("MATCH (m:Memory {id: $id}) DETACH DELETE m", id=memory)
    faults.killed_at(curator.settings, point, "client.audit(deep=True, repair=True)")
    curator.client.sync()
    assert curator.repaired().clean
    settled(curator)
    assert curator.props(ada)["name"] == "Countess"
    assert curator.predicates("Countess", "Ben") == ["knows"]
    assert curator.value("select count(*) from memory.adoptions where change = 'edit'") == 1
    assert curator.value("select count(*) from memory.ledger where owed_number is not null") == 0


def test_merges_and_curated_entities_respect_each_other(curator: Curator) -> None:
    curator.client.set_policy("default", "adopt")
    ada = curator.entity("Ada Lovelace")
    curator.write(RENAME, id=ada, name="Countess of Lovelace")
    assert curator.repaired().clean
    with pytest.raises(Conflict) as refused:  # what a person wrote would have no place in an alias
        curator.client.merge_entities("Countess of Lovelace", "Ben")
    assert refused.value.code == "entity_curated"
    curator.client.merge_entities("Dan", "Countess of Lovelace")  # by the name that a person gave
    curator.client.sync()
    settled(curator)
    assert curator.client.related("Dan").name == "Countess of Lovelace"
    assert curator.client.related("Ada Lovelace").name == "Countess of Lovelace"
    again(curator)
    settled(curator)
    assert curator.props(ada)["name"] == "Countess of Lovelace"
    curator.client.unmerge_entity("Dan")
    curator.client.sync()
    settled(curator)
    assert curator.client.related("Dan").name == "Dan"


def test_a_curated_type_outlives_the_borrowed_name_that_it_was_given_under(curator: Curator) -> None:
    """Whether that name leaves because no memory says it any more, or because the merge is undone."""
    client = curator.client
    client.set_policy("default", "adopt")
    people = {name: {"name": name, "type": "person"} for name in ("Eva", "Finn", "Gwen", "Hugo")}
    first = client.save("All of them.", entities=list(people.values()))
    for alias in ("Finn", "Gwen", "Hugo"):
        client.merge_entities(alias, "Eva")
    client.forget(first.id)
    client.save("Gwen and Hugo.", entities=[people["Gwen"], people["Hugo"]])
    finn = client.save("Finn.", entities=[people["Finn"]])
    client.sync()
    eva = curator.entity("Gwen")  # the first of its names that is said again
    curator.write("MATCH (e:Entity {id: $id}) SET e.type = 'scientist'", id=eva)
    assert curator.repaired().clean
    assert client.related("Finn").name == "Gwen"
    client.unmerge_entity("Gwen")
    client.sync()
    settled(curator)
    assert (curator.props(eva)["name"], curator.props(eva)["type"]) == ("Finn", "scientist")
    client.forget(finn.id)
    client.sync()
    settled(curator)
    assert (curator.props(eva)["name"], curator.props(eva)["type"]) == ("Hugo", "scientist")
    assert client.related("Gwen").type == "person"


def test_a_relation_taken_away_while_its_ends_were_merged_stays_away_when_they_are_not(curator: Curator) -> None:
    curator.client.set_policy("default", "adopt")
    given = {"entities": [{"name": "Dan", "type": "person"}], "relations": [{"source": "Dan", "predicate": "knows", "target": "Ben"}]}
    curator.client.save("Dan knows Ben well.", key="knows", **given)
    curator.client.merge_entities("Dan", "Ada Lovelace")
    curator.client.sync()
    id_, source, target, _ = curator.relation("Ada Lovelace", "Ben")
    curator.write(TAKE, id=id_, source=source, target=target)
    assert curator.repaired().clean
    curator.client.unmerge_entity("Dan")
    again(curator)
    settled(curator)
    assert curator.predicates("Dan", "Ben") == []
    curator.client.save("Dan knows Ben very well.", key="knows", **given)  # whoever gives it again lifts that
    curator.client.sync()
    settled(curator)
    assert curator.predicates("Dan", "Ben") == ["knows"]
