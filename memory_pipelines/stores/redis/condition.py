"""What `INFO` says about a Redis, and what of it endangers the stream. `INFO` only: managed services refuse `CONFIG`.

Nothing here loses data: an event that Redis drops is still owed in the ledger, and costs time. Hence what makes the stream useless is
an error of `health`, which `status` shows and exits with, and never one of a save or a drain; what may lose events in a crash is a
warning. Must stay out: asking the server (`streams.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from memory_pipelines.domain.errors import ConfigurationError

OLDEST = (6, 2)  # XAUTOCLAIM, XTRIM MINID


def check(info: Mapping[str, Any], where: str) -> None:
    """Refuse a server on which the stream cannot be kept.

    Args:
        info: fields of `INFO`, any sections; those that are missing are `warnings`' concern.
        where: the server, for the message.

    Raises:
        ConfigurationError: `redis_too_old`, `redis_evicts`.
    """
    version = str(info.get("redis_version", ""))
    if (numbers := _numbers(version)) and numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ConfigurationError("redis_too_old", f"The Redis at {where} is {version}; the stream needs {oldest} or newer: upgrade it.")
    policy = str(info.get("maxmemory_policy", ""))
    if policy.startswith("allkeys"):
        raise ConfigurationError(
            "redis_evicts",
            f"The Redis at {where} drops whole keys when its memory is full (maxmemory-policy {policy}), the stream of changes among them;"
            " no change is lost, but each is found late. Set maxmemory-policy to noeviction, or to a volatile-… policy, which spares what"
            " does not expire; or give MEMORY_REDIS_URL a Redis of its own, apart from caches.",
        )


def warnings(info: Mapping[str, Any]) -> tuple[str, ...]:
    """What could lose waiting events or could not be found out, a sentence each."""
    found = []
    if not _numbers(str(info.get("redis_version", ""))):
        found.append("Its version could not be read, so whether it is 6.2 or newer is not known.")
    if "maxmemory_policy" not in info:
        found.append("Its maxmemory-policy could not be read from INFO: make sure that it is noeviction.")
    if "aof_enabled" not in info:
        found.append("Whether it writes to disk could not be read from INFO: make sure that it does.")
    elif not _number(info["aof_enabled"]):
        # Save points are no part of INFO; whether a snapshot was written is.
        if _number(info.get("rdb_last_bgsave_time_sec", -1)) < 0 and not _number(info.get("rdb_saves", 0)):
            found.append(
                "It keeps no append-only file, and has written no snapshot since it started: a restart drops the events that wait (what"
                " they name stays owed, and is found later). Set appendonly yes."
            )
    elif info.get("aof_last_write_status") == "err":
        found.append("It cannot write its append-only file: look at its log and its disk.")
    if info.get("rdb_last_bgsave_status") == "err":
        found.append("Its last snapshot failed: look at its log and its disk.")
    return tuple(found)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return tuple(int(part) for part in found.groups()) if found else ()


def _number(value: object) -> int:
    return int(str(value)) if re.fullmatch(r"-?\d+", str(value)) else 0
