"""The words of the command line are those of `docs/glossary.md`: every state it can print is there, and no other word for one is used."""

from __future__ import annotations

import ast
import re
import typing
from pathlib import Path

import pytest

from memory_pipelines.domain.models.terms import Outcome, Projection, SubjectKind
from memory_pipelines.entrypoints.cli import audit, policy, repair, standing
from memory_pipelines.services.status import TOLD

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text("utf-8")
PAGE, REFUSED = GLOSSARY.split("## Words that we do not use")
CLI = sorted((ROOT / "memory_pipelines" / "entrypoints").rglob("*.py"))
STATES = {
    "kinds of findings": set(audit.WORDS),
    "outcomes of a repair": set(repair.WORDS),
    "outcomes of a write": set(typing.get_args(Outcome)),
    "projections": set(typing.get_args(Projection)),
    "subjects": set(typing.get_args(SubjectKind)),
    "modes of a breaker": set(standing.BREAKERS),
    "policies": {one.value for one in policy.OutsideEdits},
    "facts of a projection": set(TOLD) - {"oldest_owed_seconds"},
    "states in an explanation": {"owed", "parked", "settled"},
}


def defined() -> set[str]:
    """What stands in code letters in the first column of a table, or in the text of a meaning."""
    return set(re.findall(r"`([a-z_-]+)`", PAGE))


def refused() -> list[str]:
    """The words that the last table refuses."""
    rows = [line.split("|")[1] for line in REFUSED.splitlines() if line.startswith("| ") and "---" not in line][1:]
    return [word.strip() for row in rows for word in row.split(",")]


def spoken(path: Path) -> list[tuple[int, str]]:
    """Every string of a module that a user may read: all but docstrings of modules and of functions that are no commands."""
    tree = ast.parse(path.read_text("utf-8"))
    silent = set()
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) or not node.body:
            continue
        first = node.body[0]
        command = isinstance(node, ast.FunctionDef) and bool(node.decorator_list)
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and not command:
            silent.add(id(first.value))
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent
    ]


@pytest.mark.parametrize("what", STATES)
def test_every_state_that_is_printed_is_explained(what: str) -> None:
    assert STATES[what] - defined() == set(), f"{what} that docs/glossary.md does not explain"


def test_every_kind_of_finding_is_worded() -> None:
    from memory_pipelines.domain.models import Finding

    promised = set(re.findall(r"`([a-z_]+)`", (Finding.__doc__ or "").split("store:")[0]))
    assert promised == set(audit.WORDS)


def test_the_command_line_uses_no_other_words() -> None:
    words = refused()
    assert len(words) > 15
    pattern = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in words), re.IGNORECASE)
    found = [f"{path.name}:{line}: {match[0]}" for path in CLI for line, text in spoken(path) if (match := pattern.search(text))]
    assert found == []


def test_the_readme_links_to_it() -> None:
    assert "(docs/glossary.md)" in (ROOT / "README.md").read_text("utf-8")
