"""Error code -> exit code, in one table. Statuses for HTTP are on the error classes (`domain/errors.py`).

To add a code that should not exit with 1, add a line to `EXIT_CODES`. Must stay out: printing (`cli/output.py`).
"""

from __future__ import annotations

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


def exit_code(error: MemoryPipelinesError) -> int:
    """The exit code for an error."""
    return EXIT_CODES.get(error.code, FAILED)
