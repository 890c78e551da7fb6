"""Somebody who changes a graph without asking its store: the same deeds on every engine. Ids are those of the suite's own rows.

To add a deed: a method. Must stay out: assertions.
"""

from __future__ import annotations

from memory_pipelines.ports import GraphTransport


class Vandal:
    """What can be done to a graph from outside, by Cypher."""

    def __init__(self, transport: GraphTransport) -> None:
        self._transport = transport

    def set_foreign_properties(self) -> None:
        """A property `foreign` on every node and edge."""
        self._run("MATCH (n) SET n.foreign = 'yes'")
        self._run("MATCH ()-[e]->() SET e.foreign = 'yes'")

    def write_numbers_out(self) -> None:
        """Words where nodes and relations have a revision and a place."""
        self._run("MATCH (n) WHERE n:Memory OR n:Entity SET n.revision = 'two', n.bucket = 'seven', n.leaf = 'three'")
        self._run("MATCH ()-[e:RELATES_TO]->() SET e.revision = 'two'")

    def mention_again(self) -> None:
        """A second MENTIONS from m1 to ada."""
        self._run("MATCH (m:Memory {id: 'm1'}), (e:Entity {id: 'ada'}) CREATE (m)-[:MENTIONS]->(e)")

    def relate_again(self) -> None:
        """A second RELATES_TO r1 from ada to ben."""
        self._run("MATCH (a {id: 'ada'}), (b {id: 'ben'}) CREATE (a)-[:RELATES_TO {id: 'r1', revision: 1}]->(b)")

    def leave_strays(self) -> None:
        """A memory, an entity, and edges without ids."""
        self._run("CREATE (:Memory {text: 'x'})-[:MENTIONS]->(:Entity {name: 'nobody'})")
        self._run("MATCH (a {id: 'ada'}), (b {id: 'ben'}) CREATE (a)-[:RELATES_TO]->(b)")

    def delete_everything(self) -> None:
        self._run("MATCH (n) DETACH DELETE n")

    def _run(self, statement: str) -> None:
        self._transport.run(statement, write=True)
