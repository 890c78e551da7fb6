"""The checker and the model that it goes by: independent of the product, and neither too kind nor too strict."""

from __future__ import annotations

import ast
import json
import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import checker, history, logs, raw, results
from benchmarks.faults.history import Content, State
from memory_pipelines.models.extractors.rules import RulesExtractor

ID = "3e2f1a52-0000-4000-8000-000000000001"


@pytest.mark.parametrize("module", [checker, history, logs, raw])
def test_the_checker_shares_no_code_with_the_product(module: Any) -> None:
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in named if name.startswith("memory_pipelines")}
    own = {f"benchmarks.faults{name}" for name in ("", ".history", ".logs", ".raw")}
    assert {name for name in named if name.startswith("benchmarks")} <= own


def test_what_stands_in_a_text_is_what_the_extractor_finds() -> None:
    rng = random.Random(7)
    texts = [history.sentence(rng, number) for number in range(500)]
    for text, extracted in zip(texts, RulesExtractor().extract(texts), strict=True):
        assert extracted.links is not None
        names = {entity.name for entity in extracted.links.entities}
        relations = {(r.source, r.predicate, r.target) for r in extracted.links.relations}
        assert (names, relations) == history.found_in(text)


def test_a_seed_is_a_history_and_another_seed_another_one() -> None:
    assert history.deeds(5, 2, 120) == history.deeds(5, 2, 120)
    assert history.deeds(5, 2, 120) != history.deeds(6, 2, 120)
    kinds = {deed["do"] for plan in history.deeds(5, 2, 400) for deed in plan}
    assert kinds == {"save", "many", "update", "forget"}
    assert any(deed.get("revive") for plan in history.deeds(5, 1, 400) for deed in plan)


def save(n: int, text: str, *, revive: bool = False) -> history.Deed:
    fields = {"id": ID, "key": None, "namespace": "bench", "text": text, "metadata": {}, "entities": [], "relations": []}
    return {"do": "save", "n": n, "revive": revive, "wait": "none", **fields}


def answer(outcome: str, version: int | None) -> dict[str, Any]:
    return {"results": [[ID, outcome, version]]}


FORGET: history.Deed = {"do": "forget", "n": 9, "id": ID, "key": None, "namespace": "bench", "wait": "none"}


def states(*entries: tuple[history.Deed, dict[str, Any] | None], retried: bool = False) -> tuple[set[State | None], list[str]]:
    found = logs.expected(entries, retried=retried)
    return set(found.states[ID]), [kind for kind, _ in found.problems]


def held(version: int, text: str | None) -> State:
    return State(version, None if text is None else Content(text, "{}"))


def test_what_was_acknowledged_is_certain_and_what_was_not_may_be_either() -> None:
    assert states((save(1, "a"), answer("created", 1))) == ({held(1, "a")}, [])
    assert states((save(1, "a"), None)) == ({None, held(1, "a")}, [])
    assert states((save(1, "a"), {"error": "record_unavailable"})) == ({None, held(1, "a")}, [])
    both = states((save(1, "a"), answer("created", 1)), (save(2, "b"), None), (FORGET, None))
    assert both == ({held(1, "a"), held(2, "b"), held(2, None), held(3, None)}, [])


def test_a_later_answer_tells_what_an_earlier_call_did() -> None:
    assert states((save(1, "a"), None), (save(2, "b"), answer("updated", 2))) == ({held(2, "b")}, [])
    assert states((save(1, "a"), None), (save(2, "b"), answer("created", 1))) == ({held(1, "b")}, [])
    assert states((FORGET, None), (FORGET, {"error": "memory_unknown"})) == ({None}, [])


def test_an_answer_that_no_order_allows_is_named() -> None:
    assert states((save(1, "a"), answer("created", 2)))[1] == ["answer"]
    assert states((save(1, "a"), answer("created", 1)), (save(2, "b"), answer("updated", 3)))[1] == ["answer"]
    assert states((save(1, "a"), answer("created", 1)), (FORGET, answer("1", None)), (save(2, "b"), answer("updated", 3)))[1] == ["answer"]


def test_a_call_that_was_made_twice_is_forgiven_its_answer_only_where_that_can_be() -> None:
    twice = ((save(1, "a"), answer("unchanged", 1)),)
    assert states(*twice)[1] == ["answer"]
    assert states(*twice, retried=True) == ({held(1, "a")}, [])


def test_a_forgotten_memory_comes_back_only_on_purpose() -> None:
    gone = ((save(1, "a"), answer("created", 1)), (FORGET, answer("1", None)))
    assert states(*gone, (save(2, "b"), {"error": "memory_forgotten"})) == ({held(2, None)}, [])
    assert states(*gone, (save(2, "b", revive=True), answer("revived", 3))) == ({held(3, "b")}, [])


def test_a_log_that_ends_in_the_middle_of_a_line_is_read_up_to_there(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = [{"call": save(1, "a")}, {"answer": answer("created", 1), "n": 1}, {"call": save(2, "b")}]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"answer": {"resu')
    assert [given for _, given in logs.read_log([log])] == [answer("created", 1), None]
    log.write_text("".join(json.dumps(line) + "\n" for line in [*lines, lines[2]]))  # a successor that tries again
    assert [given for _, given in logs.read_log([log])] == [answer("created", 1), None, None]


def test_a_bench_that_fails_on_a_broken_build_has_noticed_nothing() -> None:
    row = {"mutant": "guard-off", "hit": True, **dict.fromkeys((*results.COUNTS, *results.OTHERS), 0)}
    (told,) = results.mutant_rows([row, row | {"failed": 1}, row | {"ghost": 2, "failed": 1}])
    assert (told["trials"], told["noticed"]) == (3, 1)
