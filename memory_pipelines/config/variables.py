"""Variables that look like settings and are none.

Must stay out: what a setting may hold (`settings.py`, `addresses.py`).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

PREFIX = "MEMORY_"
# Of others, who use the same prefix: our tests and failpoints, the file of secrets that Docker Compose reads, and systemd.
_OTHERS = ("MEMORY_TESTS_", "MEMORY_FAILPOINT", "MEMORY_SERVICE_PASSWORD", "MEMORY_PRESSURE_")


def misspelt(known: frozenset[str], environment: Mapping[str, str] | None = None, env_file: Path | None = None) -> dict[str, str | None]:
    """Each variable with our prefix that no setting reads, with the name that is nearest to it, if one is near.

    Args:
        known: the variables that settings read.
        environment: that of this process by default.
        env_file: read too, where there is one.
    """
    names = set(os.environ if environment is None else environment) | set(dotenv_values(env_file) if env_file else ())
    ours = [name for name in sorted(names) if name.upper().startswith(PREFIX) and not name.startswith(_OTHERS)]
    strange = [name for name in ours if name.upper() not in known]
    return {name: next(iter(difflib.get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.7)), None) for name in strange}
