"""A small world of memories, and everything that can be done to its stores behind the record's back.

A case seeds one drift by raw Cypher or SQL and returns what an audit must find: exactly that, by (kind, store, subject, id). The world
is shared by the cases of a module: each case begins and ends with every store equal to the record. To add a kind of drift, write a case
in the test file of its store. Must stay out: assertions about single kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from uuid_utils import uuid7

from memory_pipelines import MemoryClient, Settings, wiring
from memory_pipelines.domain.models import Verdict
from memory_pipelines.ports import GraphTransport
from memory_pipelines.services.platform import Platform
from tests import engines

Found = tuple[str, str, str, str]  # kind, store, subject, id
PEOPLE = ("Ada", "Ben", "Cleo", "Dan")
PLACES = ("Porto", "Lisbon", "Oslo")
LONG = " ".join(f"On day {day} the harbour was quiet and nobody wrote anything down about the boats." for day in range(12))


@dataclass
class World:
    """A client on stores of its own, and direct ways into each of them."""

    settings: Settings
    platform: Platform
    client: MemoryClient
    sql: psycopg.Connection[Any]
    graph: GraphTransport

    def memory(self, key: str) -> str:
        """Id of the memory saved under a key, forgotten or not."""
        return self.value("select id::text from memory.memories where key = %s", key)

    def entity(self, name: str) -> str:
        """Id of a live entity."""
        return self.value("select id::text from memory.entities where name = %s", name)

    def relation(self, source: str, predicate: str, target: str) -> tuple[str, str, str]:
        """Id and both ends of a live relation."""
        return self.row(
            "select r.id::text, s.id::text, t.id::text from memory.relations r join memory.entities s on s.id = r.source_id"
            " join memory.entities t on t.id = r.target_id where s.name = %s and r.predicate = %s and t.name = %s",
            source, predicate, target,
        )  # fmt: skip

    def tombstone(self, kind: str) -> str:
        """Id of something forgotten: of `memories`, `entities` or `relations`."""
        return self.value(f"select id::text from memory.{kind} where deleted_at is not null order by id limit 1")

    def mentions(self, *, memory: str | None = None, entity: str | None = None) -> list[str]:
        """Ids `memory:entity` of all mentions of a memory, or of an entity."""
        column, id_ = ("memory_id", memory) if memory else ("entity_id", entity)
        rows = self.sql.execute(f"select memory_id || ':' || entity_id from memory.mentions where {column} = %s", [id_])
        return [row[0] for row in rows]

    def relations(self, entity: str) -> list[str]:
        """Ids of all live relations from and to an entity."""
        rows = self.sql.execute(
            "select id::text from memory.relations where %s in (source_id::text, target_id::text) and deleted_at is null", [entity]
        )
        return [row[0] for row in rows]

    def row(self, statement: str, *values: Any) -> Any:
        """The one row of a query."""
        (row,) = self.sql.execute(statement, list(values)).fetchall()
        return row

    def value(self, statement: str, *values: Any) -> Any:
        """The one value of a query."""
        return self.row(statement, *values)[0]

    def cypher(self, statement: str, **parameters: Any) -> list[list[Any]]:
        """Write to the graph as somebody who knows nothing of markers."""
        return self.graph.run(statement, parameters, write=True)

    def dump(self) -> tuple[str, str]:
        """Every row of record and graph, but the verdicts that audits keep and the sequence that numbers claims."""
        rows = engines.everything_in(self.settings).splitlines()
        return "\n".join(sorted(row for row in rows if not row.startswith("verdicts:"))), engines.everything_in_graph(self.settings)


@dataclass(frozen=True)
class Case:
    """One way to drift. `deep`: stored digests and counts still agree, so that only a deep audit can see it."""

    name: str
    seed: Callable[[World], Iterable[Found]]
    deep: bool


def unknown() -> str:
    """An id that the record has never seen; each time another, since a repair leaves a tombstone."""
    return str(uuid7())


def cases() -> tuple[list[Case], Callable[..., Any]]:
    """A list of cases, and the decorator that adds to it."""
    found: list[Case] = []

    def case(seed: Callable[[World], Iterable[Found]] | None = None, *, deep: bool = False) -> Any:
        if seed is None:
            return lambda seed: case(seed, deep=deep)
        found.append(Case(seed.__name__.replace("_", " "), seed, deep))
        return seed

    return found, case


def build(settings: Settings) -> World:
    """Two dozen memories with shared entities and relations, one long, one with history, some forgotten; everything in sync."""
    engines.empty(settings)
    platform = wiring.open_platform(settings)
    world = World(settings, platform, MemoryClient(platform), engines.connect(settings), engines.graph_server(settings))
    world.client.save_many(_memories())
    world.client.save("Ada moved from Porto to Oslo.", key="moved", entities=_entities("Ada", "Oslo"))
    world.client.save(
        "Zoe flew to Quito.", key="secret", entities=_entities("Zoe", "Quito"), relations=[_relation("Zoe", "flew to", "Quito")]
    )
    world.client.sync()
    world.client.save("Ada moved from Porto to Oslo, and likes it.", key="moved", entities=_entities("Ada", "Oslo", "Ben"))
    world.client.save("Ada wrote to Emil.", key="typed", entities=[{"name": "Emil", "type": "person"}])  # was a thing before
    world.client.forget(key="secret")
    world.client.sync()
    return world


def close(world: World) -> None:
    """Let go of every connection."""
    world.sql.close()
    world.graph.close()
    world.client.close()


def findings(verdict: Verdict) -> list[Found]:
    """What a verdict names, in order."""
    return sorted((finding.kind, finding.store, finding.subject, finding.id) for finding in verdict.findings)


def check(world: World, case: Case) -> None:
    """Seed one drift: it and nothing else is found, an audit changes nothing, a repair ends clean, and so does any audit after it."""
    expected = sorted(case.seed(world))
    assert expected, "a case names what must be found"
    before = world.dump()
    quick, deep = world.client.audit(), world.client.audit(deep=True)
    assert world.dump() == before, "an audit changed something"
    assert findings(quick) == ([] if case.deep else expected)
    assert quick.clean == case.deep
    assert findings(deep) == expected
    assert not deep.clean
    repaired = world.client.audit(repair=True, deep=case.deep)
    assert findings(repaired) == []
    assert repaired.clean
    assert 0 < repaired.repaired <= len(expected)
    agree(world)


def agree(world: World) -> None:
    """Every store shows what the record says, and nothing is on its way."""
    for deep in (False, True):
        verdict = world.client.audit(deep=deep)
        assert findings(verdict) == []
        assert verdict.pending == 0


def _memories() -> list[dict[str, Any]]:
    rows = []
    for n in range(20):
        person, other, place = PEOPLE[n % 4], PEOPLE[(n + 1) % 4], PLACES[n % 3]
        rows.append({
            "text": f"Note {n}: {person} met {other} in {place}.", "key": f"note-{n}",
            "entities": _entities(person, other, place), "relations": [_relation(person, "met", other)],
        })  # fmt: skip
    rows.append({"text": "Ada heard about Emil.", "key": "heard", "relations": [_relation("Ada", "heard about", "Emil")]})
    rows.append({"text": "nothing to see here", "key": "plain"})
    rows.append({"text": LONG, "key": "long"})
    return rows


def _entities(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "type": "place" if name in PLACES else "person"} for name in names]


def _relation(source: str, predicate: str, target: str) -> dict[str, str]:
    return {"source": source, "predicate": predicate, "target": target}
