"""The README and the pages in `docs`: what they tell a reader to run is run, what they link to is there.

Of each page the blocks marked `sh` and `python` are taken, in order. A line that calls `memory-pipelines` runs as it stands, in a folder
and a home that the page has for itself, and must end with 0; `ID` stands for the id of a memory of that page. Any other command must be
in `ELSEWHERE`, with the test that runs it or what proves it. Must stay out: what the commands print (`cli/`).
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capabilities import need
from tests.e2e.command import ROOT, Cli, Warm, environment, runner

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINKED = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")
# What is not run here, as a pattern of the whole command, and where it is: a test's file, or what else runs it.
ELSEWHERE = {
    r"make (demo|test|check|setup|bench)( ARGS=.*)?|bash \.ci/run": ".ci/run",
    r"memory-pipelines (dev|demo|up|down)\b.*": "tests/e2e/cli/test_engines.py",
    r"python3 deploy/keys\.py .*": "tests/unit/test_keys.py",
    r"docker compose .*|export MEMORY_\w+=.*": "tests/e2e/test_production.py",
    r"(.*\.venv/bin/)?python (-m benchmarks|benchmarks/).*": "tests/faults/test_bench.py",
    r"pip install '.*'|export (DAGSTER|MEMORY)_.*|PYTHONPATH=deploy/celery celery .*": "tests/orchestration/test_celery.py",
    r"MEMORY_DATABASE_URL='postgresql://postgres\.PROJECT.*' memory-pipelines migrate": "tests/integration/test_supabase.py",
}


def commands(page: Path) -> Iterator[tuple[str, str]]:
    """Kind and text of everything on a page that is to be run, in order."""
    for kind, block in FENCED.findall(page.read_text("utf-8")):
        if kind == "python":
            yield kind, block
            continue
        for line in block.replace("\\\n", " ").splitlines():
            for command in re.sub(r"(^|\s)#.*$", "", line).split("&&"):
                if command.strip():
                    yield kind, command.strip()


def elsewhere(command: str) -> str | None:
    """Where a command is run that is not run here."""
    return next((place for pattern, place in ELSEWHERE.items() if re.fullmatch(pattern, command)), None)


@pytest.fixture
def on_page(warm: Warm, fresh_home: Path, tmp_path: Path) -> Iterator[Cli]:
    """Runs commands in a folder that has the files which the pages name."""
    need("embedded")
    lines = [
        {"id": "entry-1", "date": "1666-09-02", "text": "A great fire began in the City, they told us in the night."},
        {"id": "entry-2", "date": "1666-09-03", "text": "Mr. Hewer helped to carry the goods to Bednal Green."},
    ]
    (tmp_path / "diary.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = runner(warm, fresh_home, tmp_path)
    yield run
    run("down")


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert {f"docs/{page.name}" for page in PAGES[1:]} <= set(LINKED.findall(readme))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    assert [target for target in LINKED.findall(text) if not (page.parent / target).exists()] == []
    for target, anchor in re.findall(r"\]\(((?!https?:)[^)#\s]*)#([^)]+)\)", text):
        there = (page.parent / target if target else page).read_text("utf-8")
        headings = re.findall(r"^#+ (.*)$", there, re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}, f"{target}#{anchor}"


@pytest.mark.parametrize("place", sorted(set(ELSEWHERE.values())))
def test_what_is_run_elsewhere_is_there(place: str) -> None:
    assert (ROOT / place).exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_tells_to_run_runs(page: Path, request: pytest.FixtureRequest) -> None:
    told = [(kind, command) for kind, command in commands(page) if kind == "python" or elsewhere(command) is None]
    if not told:
        return
    cli: Cli = request.getfixturevalue("on_page")
    home, folder = request.getfixturevalue("fresh_home"), request.getfixturevalue("tmp_path")
    some_id = cli("save", "Somebody's first memory.", "--namespace", "page", "--json").json["id"]
    for kind, command in told:
        if kind == "python":
            done = subprocess.run(
                [sys.executable, "-c", command], cwd=folder, env=environment(home), capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            continue
        program, *arguments = shlex.split(re.sub(r"\bID\b", some_id, command))
        assert program == "memory-pipelines", f"{command}: run it here, or enter in ELSEWHERE what runs it"
        ran = cli(*arguments)
        assert ran.code == 0, f"{command}\n{ran.out}{ran.err}"
