"""The panels of `--help`, in the order in which a user needs them; a test holds the help to it.

To add one, add it here at its place. Must stay out: which command is in which; its own file says so.
"""

from __future__ import annotations

FIRST = "First steps"
MEMORIES = "Memories"
FINDING = "Finding"
FILES = "Files"
SYNC = "Sync and proof"
REPAIR = "Repair"
OPERATIONS = "Operations"

ORDER = (FIRST, MEMORIES, FINDING, FILES, SYNC, REPAIR, OPERATIONS)
