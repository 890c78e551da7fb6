"""Somebody who changes a graph without asking its store: the same deeds on every engine. Ids are those of the suite's own rows.

To add a deed: a method on both classes. Must stay out: assertions.
"""

from __future__ import annotations

from typing import Protocol

from memory_pipelines.ports import GraphTransport
from memory_pipelines.stores.memory.nodes import Nodes


class Vandal(Protocol):
    """What can be done to a graph from outside."""

    def set_foreign_properties(self) -> None:
        """A property `foreign` on every node and edge."""
        ...

    def write_numbers_out(self) -> None:
        """Words where nodes and relations have a revision and a place."""
        ...

    def mention_again(self) -> None:
        """A second MENTIONS from m1 to ada."""
        ...

    def relate_again(self) -> None:
        """A second RELATES_TO r1 from ada to ben."""
        ...

    def leave_strays(self) -> None:
        """A memory, an entity, and edges without ids."""
        ...

    def delete_everything(self) -> None: ...


class CypherVandal:
    """By Cypher."""

    def __init__(self, transport: GraphTransport) -> None:
        self._transport = transport

    def set_foreign_properties(self) -> None:
        self._run("MATCH (n) SET n.foreign = 'yes'")
        self._run("MATCH ()-[e]->() SET e.foreign = 'yes'")

    def write_numbers_out(self) -> None:
        self._run("MATCH (n) WHERE n:Memory OR n:Entity SET n.revision = 'two', n.bucket = 'seven', n.leaf = 'three'")
        self._run("MATCH ()-[e:RELATES_TO]->() SET e.revision = 'two'")

    def mention_again(self) -> None:
        self._run("MATCH (m:Memory {id: 'm1'}), (e:Entity {id: 'ada'}) CREATE (m)-[:MENTIONS]->(e)")

    def relate_again(self) -> None:
        self._run("MATCH (a {id: 'ada'}), (b {id: 'ben'}) CREATE (a)-[:RELATES_TO {id: 'r1', revision: 1}]->(b)")

    def leave_strays(self) -> None:
        self._run("CREATE (:Memory {text: 'x'})-[:MENTIONS]->(:Entity {name: 'nobody'})")
        self._run("MATCH (a {id: 'ada'}), (b {id: 'ben'}) CREATE (a)-[:RELATES_TO]->(b)")

    def delete_everything(self) -> None:
        self._run("MATCH (n) DETACH DELETE n")

    def _run(self, statement: str) -> None:
        self._transport.run(statement, write=True)


class MemoryVandal:
    """In the process that holds it."""

    def __init__(self, held: Nodes) -> None:
        self._held = held

    def set_foreign_properties(self) -> None:
        for label in ("Memory", "Entity"):
            for node in self._held.nodes(label):
                node.props["foreign"] = "yes"
                for edge in node.out:
                    edge.props["foreign"] = "yes"

    def write_numbers_out(self) -> None:
        for label in ("Memory", "Entity"):
            for node in self._held.nodes(label):
                node.props |= {"revision": "two", "bucket": "seven", "leaf": "three"}
                for edge in (edge for edge in node.out if edge.type == "RELATES_TO"):
                    edge.props["revision"] = "two"

    def mention_again(self) -> None:
        self._held.draw(self._held.merge("Memory", "m1"), "MENTIONS", self._held.merge("Entity", "ada"), {})

    def relate_again(self) -> None:
        self._relate({"id": "r1", "revision": 1})

    def leave_strays(self) -> None:
        self._held.draw(self._held.make("Memory", {"text": "x"}), "MENTIONS", self._held.make("Entity", {"name": "nobody"}), {})
        self._relate({})

    def delete_everything(self) -> None:
        self._held.empty()

    def _relate(self, props: dict[str, object]) -> None:
        self._held.draw(self._held.merge("Entity", "ada"), "RELATES_TO", self._held.merge("Entity", "ben"), props)
