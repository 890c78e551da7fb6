"""A caller's program, as type checkers see it: right where it is right, and wrong at just the lines that are wrong.

Both checkers find the package as it is installed, by its `py.typed`. Must stay out: whether our own code is typed (`make check`).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

from memory_pipelines import MemoryClient
from memory_pipelines.client.writing import Changes
from memory_pipelines.domain.validation import CHANGEABLE

ROOT = Path(__file__).parents[2]
RIGHT = """
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas

from memory_pipelines import MemoryClient, MemoryPipelinesError, Settings


def remember(client: MemoryClient, texts: Sequence[str]) -> dict[str, int]:
    links = [{"name": "Ada", "type": "person"}]
    saved = client.save("Ada met Ben.", namespace="a", key="k", metadata={"topic": ["x", 1]}, entities=links, wait="graph")
    many = client.save_many([{"text": text} for text in texts])
    changed = client.update(saved.id, expected_version=saved.version, text="Ada met Cleo.")
    links_again = client.get(saved.id)
    client.save("Once more.", entities=links_again.entities, relations=links_again.relations)
    client.update(saved.id, thread=None, expires_at=datetime.now(), entities=links_again.entities, relations=None)
    versions: dict[str, int] = {result.id: result.version for result in [saved, changed, *many]}
    return versions


def read(client: MemoryClient) -> list[str]:
    names: list[str] = [f"{hit.score:.2f} {hit.passage}" for hit in client.search("who?", namespace="a", metadata={"topic": 1})]
    for neighbour in client.related("Ada", namespace="a", limit=3).neighbours:
        newest: datetime | None = neighbour.newest
        names += [neighbour.name, str(newest), *(by.predicate for by in neighbour.predicates)]
    page = client.list(namespace="a", created_after="2026-01-01")
    names += [memory.text for memory in page.memories]
    names += [entry.operation for entry in client.history(page.memories[0].id)]
    return names


def keep(client: MemoryClient) -> bool:
    done = sum(result.done for result in client.sync("graph"))
    verdict = client.audit(deep=True)
    owed: Mapping[str, int] = client.status().owed
    plan = client.plan_repair()
    return verdict.clean and done > 0 and not any(owed.values()) and client.repair(plan).clean


def name(client: MemoryClient) -> list[tuple[str | None, str | None, datetime]]:
    merged = client.merge_entities("Ada L.", "Ada", by="me")
    entity = client.entity("Ada", limit=3)
    said: list[datetime] = [mention.valid_from for mention in entity.memories]
    undone = client.unmerge_entity("Ada L.") if merged.outcome == "merged" and said else None
    return [(alias.name, undone.entity if undone else None, alias.merged_at) for alias in client.aliases(namespace="a")]


def look(client: MemoryClient, id: str) -> dict[str, float | None]:
    state = client.sync_state(id)
    late: dict[str, float | None] = {name: one.owed_seconds for name, one in state.projections.items() if not state.settled}
    memory = client.get(key="k", namespace="a")
    made: datetime = client.get(id).created_at
    known: str = client.explain(id, text=True).kind
    engines: Mapping[str, Mapping[str, Any]] = client.health()
    past: Sequence[Mapping[str, Any]] = client.audits(3)
    print(memory.text, made, known, engines, past, client.rebuild("graph", drop=True).rate)
    return late


def count(client: MemoryClient) -> dict[str, int]:
    known: dict[str, int] = {space.name: client.count(namespace=space.name, before="2026-01-01") for space in client.namespaces()}
    named: list[str] = [entity.name for entity in client.entities(namespace="a", prefix="A", limit=5).entities]
    swept: Mapping[str, int] = client.maintain()
    client.update(key="k", namespace="a", thread="t")
    return {**known, **swept, "named": len(named)}


def files(client: MemoryClient, folder: Path, frame: pandas.DataFrame) -> int:
    read = client.import_file(folder / "a.jsonl", mapping={"text": "body"}, on_error="skip")
    taken = client.import_frame(frame, namespace="a", on_error="stop")
    wrong: list[int] = [error.line for error in (*read.errors, *taken.errors)]
    return client.export_file(str(folder / "b.parquet"), namespace="a") + len(wrong)


def tend(client: MemoryClient) -> int:
    policies: Mapping[str, str] = client.policies()
    client.set_policy("a", policies.get("a", "adopt"))
    page = client.dead_letters(projection="graph", limit=10, cursor=None)
    names: list[str] = [letter.name for letter in page] + [one.code for one in client.dead_letter("graph:memory:1")]
    done = client.retry_dead(*names).rows + client.retry_dead(all_of_them=True, accept_empty=True).events
    client.close()
    return done + client.drop_dead(*names).rows


def main() -> int:
    try:
        with MemoryClient.from_env(Settings(batch_rows=10)) as client:
            remember(client, ["a"])
            return 0 if read(client) and keep(client) and client.forget(namespace="a", wait="all").forgotten else 1
    except MemoryPipelinesError as error:
        print(error.code, error.detail.get("index"))
        return 1
"""
WRONG = """
from memory_pipelines import MemoryClient

def wrong(client: MemoryClient) -> None:
    client.save(7)  # wrong
    client.save("x", wait="later")  # wrong
    client.save("x").revisions  # wrong
    version: str = client.save("x").version  # wrong
    client.update("x", text=7)  # wrong
    client.update("x", txt="y")  # wrong
    client.save("x", relations=["Ada knows Ben"])  # wrong
    client.search(query="x", limit="many")  # wrong
    for hit in client.search("x"):
        hit.score.upper()  # wrong
    client.audit(deeply=True)  # wrong
    client.nothing()  # wrong
    client.related("x").neighbours[0].predicate  # wrong
    client.related("x").neighbours[0].newest.year  # wrong
    client.related("x", limit=None)  # wrong
    client.get("x").created_at.lower()  # wrong
    client.import_file("x", on_error="ignore")  # wrong
    client.export_file(7)  # wrong
    client.entity("x").mentions.name  # wrong
    client.namespaces()[0].nothing  # wrong
    client.count(namespace="x").upper()  # wrong
    client.entities(type=1)  # wrong
    client.merge_entities("x")  # wrong
    client.aliases()[0].merged_at + 1  # wrong
    client.sync_state("x").settled()  # wrong
    client.dead_letters().letters[0].attempts.x  # wrong
    client.plan_repair(deep="no")  # wrong
    client.repair("plan")  # wrong
    client.save("x", namespace="right")
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Where a caller's program is written."""
    return tmp_path / "program.py"


def mypy(program: Path) -> set[int]:
    """The lines that mypy finds wrong."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", f"--cache-dir={program.parent / 'cache'}", program.name]
    done = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return {int(line) for line in re.findall(rf"^{program.name}:(\d+): error", done.stdout, re.MULTILINE)}


def pyright(program: Path) -> set[int]:
    """The lines that pyright finds wrong."""
    (program.parent / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "standard", "reportAttributeAccessIssue": "error"}))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, program.name]
    done = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {item["range"]["start"]["line"] + 1 for item in found if item["severity"] == "error"}


@pytest.mark.parametrize("check", [mypy, pyright], ids=["mypy", "pyright"])
def test_a_callers_program_is_right_and_its_mistakes_are_found(check: object, program: Path) -> None:
    assert callable(check)
    program.write_text(RIGHT)
    assert check(program) == set(), "what is right"
    program.write_text(WRONG)
    assert check(program) == {number for number, line in enumerate(WRONG.splitlines(), 1) if "# wrong" in line}


def test_the_program_uses_whatever_the_client_offers() -> None:
    offered = {name for name in dir(MemoryClient) if not name.startswith("_")}
    assert {name for name in offered if not re.search(rf"\b(client|MemoryClient)\.{name}\(", RIGHT)} == set()


def test_an_update_may_name_what_its_type_names() -> None:
    assert set(Changes.__annotations__) == set(CHANGEABLE)


def test_the_package_says_that_it_is_typed_and_so_does_its_wheel(tmp_path: Path) -> None:
    assert (files("memory_pipelines") / "py.typed").is_file()
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert "memory_pipelines/py.typed" in zipfile.ZipFile(wheel).namelist()
