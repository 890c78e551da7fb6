"""docker-compose.yml as Docker's own reader would see it: merged, and with its variables filled in.

Only what our file uses of interpolation: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`, `$$`. Must stay out: rules about the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
REFERENCE = re.compile(r"\$\$|\$\{(?P<name>[A-Z][A-Z0-9_]*)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


def read() -> dict[str, Any]:
    """The file with its merges, without its variables filled in."""
    document: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return document


def strings(node: Any) -> Iterator[str]:
    """Every text in a document, keys excluded."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)


def references(document: Any) -> set[str]:
    """Names of the variables that a document refers to, those that it only hands on included."""
    found = {match["name"] for text in strings(document) for match in REFERENCE.finditer(text) if match["name"]}
    for service in document.get("services", {}).values():
        found |= {name for name, value in service.get("environment", {}).items() if value is None}
    return found


def filled(node: Any, values: Mapping[str, str]) -> Any:
    """The document with `values` in the place of its variables.

    Raises:
        KeyError: a variable that has to be set is not; its message.
    """
    if isinstance(node, str):
        return REFERENCE.sub(lambda match: _value(match, values), node)
    if isinstance(node, dict):
        return {key: filled(value, values) for key, value in node.items()}
    return [filled(value, values) for value in node] if isinstance(node, list) else node


def environment(service: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """What a filled service's container finds in its environment beside what its image sets."""
    given = service.get("environment", {})
    return {name: str(values[name] if value is None else value) for name, value in given.items() if value is not None or name in values}


def _value(match: re.Match[str], values: Mapping[str, str]) -> str:
    if match["name"] is None:
        return "$"
    value = values.get(match["name"], "")
    if value or match["kind"] is None:
        return value
    if match["kind"] == "?":
        raise KeyError(f"{match['name']}: {match['rest']}")
    return str(match["rest"])
