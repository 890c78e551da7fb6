"""Error code -> exit code, in one table, and messages in the words of the command line. Statuses are on the classes (`domain/errors.py`).

To add a code that should not exit with 1, add a line to `EXIT_CODES`. Must stay out: printing (`cli/output.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from memory_pipelines.domain.errors import MemoryPipelinesError

OK = 0
FAILED = 1
USAGE = 2
DIFFERS = 3
INTERRUPTED = 130

# What the command line itself got wrong; data that is wrong is a failure like any other.
EXIT_CODES: dict[str, int] = {
    "audit_differs": DIFFERS,
    "format_unknown": USAGE,
    "mapping_unknown": USAGE,
    "on_error_invalid": USAGE,
    "usage": USAGE,
}

# Where an error alone does not say how to go on: what the command line adds.
NEXT: dict[str, str] = {
    "namespace_unknown": "To see which there are: memory-pipelines namespaces",
    "record_unavailable": "To see what is wrong with which engine: memory-pipelines doctor",
    "graph_unavailable": "To see what is wrong with which engine: memory-pipelines doctor",
}


def exit_code(error: MemoryPipelinesError) -> int:
    """The exit code for an error."""
    return EXIT_CODES.get(error.code, FAILED)


def following(code: str) -> str:
    """The next command after an error, with a space before it; empty where there is none."""
    return f" {NEXT[code]}" if code in NEXT else ""


def spoken(message: str, options: Mapping[str, str]) -> str:
    """A message that names arguments as Python does, in options: `revive=True` becomes `--revive`, and `` `limit` `` `--limit`.

    Args:
        options: argument -> option.
    """
    switched = re.sub(r"\b(\w+)=True\b", lambda found: options.get(found[1], found[0]), message)
    return re.sub(r"`(\w+)`", lambda found: options.get(found[1], found[0]), switched)
