"""What `doctor` makes of what the stores say, where no real server can be made to say it here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from memory_pipelines.domain.errors import Refused, Unavailable
from memory_pipelines.ports import Layout
from memory_pipelines.services import doctor
from memory_pipelines.stores.graph import examine, memgraph
from memory_pipelines.stores.graph.statements import statements
from memory_pipelines.stores.postgres.examine import expected_functions, expected_indexes
from memory_pipelines.stores.redis.examine import eviction, persistence, version
from tests.unit.test_memgraph_durability import config, storage

# Rows of a Memgraph 2.x and, with lists, of a later 3.x.
INDEXES: list[dict[str, Any]] = [
    {"index type": "label+property", "label": label, "property": name, "count": 0} for label, name in sorted(examine.INDEXED)
]
CONSTRAINTS = [{"constraint type": "unique", "label": label, "properties": [name]} for label, name in sorted(examine.UNIQUE)]


class RecordedMemgraph:
    """A transport that answers with recorded rows: no Memgraph can run here."""

    dialect = "memgraph"

    def __init__(self, flags: list[dict[str, Any]], indexes: list[dict[str, Any]] = INDEXES, version: str = "3.5.2") -> None:
        self._flags, self._indexes, self._version = flags, indexes, version
        self.closed = False

    def health(self) -> Mapping[str, Any]:
        return {"server": "Memgraph", "version": self._version}

    def durability(self) -> tuple[str, ...]:
        return memgraph.losses(self._flags, storage())

    def laid_out(self) -> Layout:
        return memgraph.layout(self._indexes, CONSTRAINTS)

    def run(self, statement: str, parameters: Mapping[str, Any] | None = None, *, write: bool = False) -> list[list[Any]]:
        assert (statement, parameters, write) == (statements("marker")["marker"], None, False)
        return [[7, 9, 0]]

    def schema(self, statement: str) -> None:
        raise AssertionError(f"doctor changed the schema: {statement}")

    def close(self) -> None:
        self.closed = True


def test_memgraph_flags_that_lose_acknowledged_writes_are_found() -> None:
    graph = RecordedMemgraph(config(storage_wal_enabled="false"))
    found = examine.GraphExaminer(graph).examine()
    (check,) = [check for check in found.checks if check.state != "ok"]
    assert (check.name, check.state) == ("graph.persistence", "warning")
    assert "--storage-wal-enabled=true" in check.seen
    assert found.facts == {"exists": True, "marker": 7, "claim": 9}
    assert graph.closed


def test_a_sound_memgraph_is_sound_and_an_old_one_is_not() -> None:
    later = [{**row, "property": [row["property"]]} for row in INDEXES] + [{"index type": "label", "label": "Memory", "property": None}]
    for indexes in (INDEXES, later):
        assert {check.state for check in examine.GraphExaminer(RecordedMemgraph(config(), indexes)).examine().checks} == {"ok"}
    old = examine.GraphExaminer(RecordedMemgraph(config(), version="2.14.1")).examine().checks
    assert [(check.name, check.state) for check in old if check.state != "ok"] == [("graph.server", "error")]
    bare = examine.GraphExaminer(RecordedMemgraph(config(), [])).examine().checks
    assert [check.name for check in bare if check.state == "error"] == ["graph.indexes"]


def test_what_could_not_be_looked_at_is_an_error() -> None:
    class Mute(RecordedMemgraph):
        def laid_out(self) -> Layout:
            raise Refused("graph_error", "The graph refused a statement: no.")

    checks = examine.GraphExaminer(Mute(config())).examine().checks
    assert [check.seen for check in checks if check.state == "error"] == ["could not look: The graph refused a statement: no."]


@pytest.mark.parametrize("dialect", ["neo4j", "memgraph", "falkordb"])
def test_what_is_looked_for_is_what_the_schema_makes(dialect: str) -> None:
    text = "\n".join(statements(f"schema/{dialect}").values())
    made = set(re.findall(r"INDEX [^\n]*\(\w:(\w+)\) ON \(\w\.(\w+)\)|INDEX ON :(\w+)\((\w+)\)", text))
    indexes = {tuple(filter(None, found)) for found in made}
    unique = set(re.findall(r"\(\w:(\w+)\) (?:REQUIRE|ASSERT) \w\.(\w+) IS UNIQUE", text))
    # A constraint of Neo4j brings its index; FalkorDB takes constraints by a command of their own.
    assert indexes | (unique if dialect == "neo4j" else set()) == examine.INDEXED
    assert unique == (set() if dialect == "falkordb" else examine.UNIQUE)


def test_indexes_and_functions_are_read_from_the_sql() -> None:
    assert {"ledger_owed", "memories_key", "passages_words"} <= expected_indexes()
    assert {"memory_save_v1", "memory_claim_v1", "memory_health_v1"} <= expected_functions()


@pytest.mark.parametrize(
    ("skew", "within", "state"),
    [(0.1, 0.05, "ok"), (-3.0, 0.1, "warning"), (3.0, 2.0, "ok"), (90.0, 0.1, "error"), (-3600.0, 0.1, "error")],
)
def test_the_clocks(skew: float, within: float, state: str) -> None:
    (check,) = doctor.clock({"skew_seconds": skew, "skew_within": within})
    assert check.state == state
    assert list(doctor.clock({})) == []


def test_an_embedder_that_cannot_be_opened_is_an_error() -> None:
    def away() -> Any:
        raise Unavailable("embedder_unavailable", "It did not answer.")

    assert [(check.name, check.state) for check in doctor.embedder({}, away)] == [("embedder.answers", "error")]


@pytest.mark.parametrize(
    ("info", "state"),
    [
        ({"maxmemory_policy": "noeviction"}, "ok"),
        ({"maxmemory_policy": "volatile-lru"}, "ok"),  # the stream has no expiry
        ({"maxmemory_policy": "allkeys-lfu"}, "error"),
        ({}, "warning"),
    ],
)
def test_eviction(info: dict[str, Any], state: str) -> None:
    assert [check.state for check in eviction(info)] == [state]
    full = {**info, "used_memory": 95, "maxmemory": 100}
    assert [check.name for check in eviction(full)] == ["redis.eviction", "redis.memory"]


def test_other_findings_of_redis() -> None:
    assert [check.state for check in version({"redis_version": "6.0.9"})] == ["error"]
    assert [check.name for check in version({"redis_version": "7.2.4", "role": "slave"})] == ["redis.server", "redis.writable"]
    assert [check.state for check in persistence({"aof_enabled": 1, "aof_last_write_status": "err"})] == ["error"]
    assert [check.state for check in persistence({"rdb_last_bgsave_status": "err"})] == ["error"]
    assert [check.state for check in persistence({"loading": 1, "aof_enabled": 1})] == ["warning", "ok"]
