"""The map in AGENTS.md, and the tree that it is of."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "AGENTS.md").read_text("utf-8")


def drawn() -> set[str]:
    """The folders of the map, each as a path."""
    (block,) = re.findall(r"^```\n(memory_pipelines/ .*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    found, above = set(), dict[int, str]()
    for line in block.splitlines():
        name = line.split("/")[0]
        depth = (len(name) - len(name.lstrip())) // 2
        above[depth] = "/".join(filter(None, [above.get(depth - 1) if depth else None, name.strip()]))
        found.add(above[depth])
    return found


def tracked() -> list[str]:
    """Every file that git knows.

    A copy without git, such as an unpacked archive, has nothing to compare.
    """
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return listed.stdout.splitlines()


def test_every_folder_is_on_the_map_and_no_other() -> None:
    folders = {str(parent) for file in tracked() for parent in PurePosixPath(file).parents} - {"."}
    assert drawn() == folders


def test_every_module_that_a_docstring_names_is_there() -> None:
    files = tracked()
    gone = []
    for file in (file for file in files if file.endswith(".py")):
        documented = ast.get_docstring(ast.parse((ROOT / file).read_text("utf-8"))) or ""
        for name in re.findall(r"`([\w./]+\.py)`", documented):
            gone += [] if any(f"/{other}".endswith(f"/{name}") for other in files) else [f"{file}: {name}"]
    assert gone == []


def test_every_file_that_is_named_is_there() -> None:
    files = tracked()
    named = set(re.findall(r"`([\w./-]+\.(?:py|md|sql|yaml|toml|lock|cypher))`", PAGE))
    assert named
    assert [name for name in sorted(named) if not any(file == name or file.endswith(f"/{name}") for file in files)] == []
