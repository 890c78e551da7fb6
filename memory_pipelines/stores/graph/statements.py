"""Reads the named statements of `cypher/*.cypher`.

A file holds statements under `// name: …` lines; a `// part: …` is text that others include as `{{part}}`. Comments
are dropped, because engines differ in what they accept.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files

_HEADER = re.compile(r"^// (name|part): (\w+)\s*$", re.MULTILINE)


@lru_cache
def statements(subject: str) -> dict[str, str]:
    """The statements of one file, by name, in the order they stand.

    Args:
        subject: name of the file without `.cypher`.
    """
    text = (files("memory_pipelines.stores.graph") / "cypher" / f"{subject}.cypher").read_text("utf-8")
    pieces = _HEADER.split(text)[1:]
    parts: dict[str, str] = {}
    found: dict[str, str] = {}
    for kind, name, body in zip(pieces[0::3], pieces[1::3], pieces[2::3], strict=True):
        clean = "\n".join(line for line in body.splitlines() if line.strip() and not line.startswith("//"))
        for part, included in parts.items():
            clean = clean.replace("{{" + part + "}}", included)
        (parts if kind == "part" else found)[name] = clean
    return found
