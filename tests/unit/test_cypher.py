"""The Cypher files: one set of data statements for every engine, in what all of them understand, and a schema for each."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from memory_pipelines.ports import Layout
from memory_pipelines.stores.graph import memgraph
from memory_pipelines.stores.graph.examine import INDEXED, UNIQUE
from memory_pipelines.stores.graph.statements import statements

CYPHER = files("memory_pipelines.stores.graph") / "cypher"
SCHEMAS = sorted(f"schema/{path.name.removesuffix('.cypher')}" for path in (CYPHER / "schema").iterdir())
SUBJECTS = sorted(path.name.removesuffix(".cypher") for path in CYPHER.iterdir() if path.is_file()) + SCHEMAS
# What one of the engines lacks, answers differently, or answers slowly: `docs/decisions.md` says which.
BARRED = {
    "an IN over a parameter, which Memgraph looks up without its index": r"\bIN\s+\$",
    "EXISTS { }": r"\bEXISTS\s*\{",
    "COUNT { }": r"\bCOUNT\s*\{",
    "CALL { }": r"\bCALL\s*(\(.*?\)\s*)?\{",
    "shortestPath": r"shortestPath",
    "elementId": r"elementId",
    "a clock of the engine": r"\b(timestamp|datetime|localdatetime|date|time|localtime|duration)\s*\(",
    "+= of a map, which may be null": r"\+=",
    "a choice of labels or types": r":\s*\w+\s*\|\s*:?\w+\s*[\])}{*]",
    "procedures and functions of one engine": r"\b(apoc|db|dbms|mg|algo)\.\w+",
    "IF NOT EXISTS": r"\bIF\s+NOT\s+EXISTS\b",
}
EXAMPLES = [
    *("MATCH (m) WHERE m.id IN $ids RETURN m", "MATCH (m) WHERE EXISTS { (m)--() } RETURN m", "RETURN COUNT {(m)}"),
    *("CALL { MATCH (m) RETURN m }", "MATCH p = shortestPath((a)--(b))", "RETURN elementId(m)", "SET m.at = timestamp()"),
    *("SET m += r.props", "MATCH (m:Memory|Entity) RETURN m", "CALL db.indexes()"),
    "CREATE INDEX x IF NOT EXISTS FOR (m:Memory) ON (m.id)",
]


def barred(statement: str) -> list[str]:
    """What a statement holds that it must not."""
    return [name for name, pattern in BARRED.items() if re.search(pattern, statement, re.IGNORECASE)]


@pytest.mark.parametrize("subject", [name for name in SUBJECTS if name not in SCHEMAS])
def test_data_statements_keep_to_what_all_engines_share(subject: str) -> None:
    assert {name: found for name, text in statements(subject).items() if (found := barred(text))} == {}


def test_nothing_is_ordered_that_could_be_a_text() -> None:
    """Memgraph refuses a whole statement that compares a text with a number. The marker is nobody's but ours, and a range is read from an
    index, which keeps texts apart."""
    texts = {name: text for subject in SUBJECTS for name, text in statements(subject).items() if not name.startswith("range_")}
    assert {name: found for name, text in texts.items() if (found := compared(text) - {"k.claim"})} == {}
    assert compared(texts["apply_memory"]) == {"k.claim"}
    assert compared("WHERE m.n >= 0 AND m.id <> 'x' RETURN m.id ORDER BY m.o, toString(m.p), m.q DESC LIMIT 3") == {"m.n", "m.o", "m.q"}


def compared(text: str) -> set[str]:
    """Properties that a statement brings into an order as they stand."""
    sorted_by = " ".join(re.findall(r"ORDER BY (.*?) LIMIT", text))
    return set(re.findall(r"\w+\.\w+(?= [<>]=? )", text)) | set(re.findall(r"(?<!\()\b\w+\.\w+", sorted_by))


@pytest.mark.parametrize(("name", "example"), list(zip(BARRED, EXAMPLES, strict=True)))
def test_each_thing_barred_would_be_found(name: str, example: str) -> None:
    assert name in barred(example)


def test_only_the_schema_of_neo4j_says_if_not_exists() -> None:
    saying = {name for name in SCHEMAS if any("IF NOT EXISTS" in text for text in statements(name).values())}
    assert saying == {"schema/neo4j"}


@pytest.mark.parametrize("subject", SCHEMAS)
def test_every_schema_indexes_what_is_looked_up(subject: str) -> None:
    """Identity of each label, by an index or by a constraint that brings one, and the buckets that audits go by."""
    indexed = set()
    for text in statements(subject).values():
        label = re.search(r":(\w+)", text)
        attribute = re.search(r"\w\.(\w+)|\((\w+)\)$", text)
        if label and attribute and (subject != "schema/memgraph" or "INDEX" in text):
            indexed.add((label[1], attribute[1] or attribute[2]))
    assert indexed == {("Memory", "id"), ("Entity", "id"), ("Marker", "id"), ("Memory", "bucket"), ("Entity", "bucket")}


@pytest.mark.parametrize("statement", statements("schema/memgraph").values())
def test_what_a_memgraph_has_already_is_not_asked_for_while_others_write(statement: str) -> None:
    """It makes indexes and constraints only while nobody writes."""
    assert memgraph.there(statement, Layout(INDEXED, UNIQUE))
    lacking = [Layout(INDEXED - {one}, UNIQUE) for one in INDEXED] + [Layout(INDEXED, UNIQUE - {one}) for one in UNIQUE]
    assert [memgraph.there(statement, found) for found in lacking].count(False) == 1


@pytest.mark.parametrize("subject", ["schema/neo4j", "schema/memgraph"])
def test_every_identity_is_unique(subject: str) -> None:
    unique = {found for text in statements(subject).values() if "IS UNIQUE" in text for found in re.findall(r"\(\w:(\w+)\)", text)}
    assert unique == {"Memory", "Entity", "Marker"}
