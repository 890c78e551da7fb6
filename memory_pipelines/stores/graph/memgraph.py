"""What a Memgraph says about its durability, and what of it could lose acknowledged writes.

Memgraph keeps its graph in memory; what it acknowledged survives only as far as its flags say. A lost write is noticed all the same,
by the marker, and owed again: this is why a finding here is a warning and no error. Rows are read defensively, because releases name
flags and columns differently: what cannot be found out is said, never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from memory_pipelines.ports import Layout

CONFIG = "SHOW CONFIG"
STORAGE = "SHOW STORAGE INFO"
INDEXES = "SHOW INDEX INFO"
CONSTRAINTS = "SHOW CONSTRAINT INFO"
_VALUES = ("current_value", "value")
_MAKES = re.compile(r"CREATE INDEX ON :(\w+)\((\w+)\)|CREATE CONSTRAINT ON \(\w+:(\w+)\) ASSERT \w+\.(\w+) IS UNIQUE")


def losses(config: Sequence[Mapping[str, Any]], storage: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """In which ways acknowledged writes could be lost, a sentence each, with the flag to set; empty when there is none.

    Args:
        config: rows of `SHOW CONFIG`: `name`, `default_value`, `current_value`, `description`.
        storage: rows of `SHOW STORAGE INFO`: `storage info`, `value`.
    """
    flags, facts = _named(config), _named(storage)
    found = []
    mode = facts.get("storage_mode") or flags.get("storage_mode")
    if mode is None:
        found.append(_unknown("storage_mode"))
    elif "ANALYTICAL" in mode.upper():
        found.append(f"Its storage mode is {mode}, which logs nothing: set --storage-mode=IN_MEMORY_TRANSACTIONAL.")
    if (wal := flags.get("storage_wal_enabled")) is None:
        found.append(_unknown("storage_wal_enabled"))
    elif not _on(wal):
        found.append("A crash loses what was written since the last snapshot: set --storage-wal-enabled=true.")
    periods = [flags[name] for name in ("storage_snapshot_interval_sec", "storage_snapshot_interval") if name in flags]
    if not periods:
        found.append(_unknown("storage_snapshot_interval_sec"))
    elif not any(_on(period) for period in periods):
        found.append("Without snapshots there is no write-ahead log either: set --storage-snapshot-interval-sec to more than 0.")
    recovery = flags.get("data_recovery_on_startup", flags.get("storage_recover_on_startup"))
    if recovery is None:
        found.append(_unknown("data_recovery_on_startup"))
    elif not _on(recovery):
        found.append("It starts empty, whatever its files hold: set --data-recovery-on-startup=true.")
    if (every := flags.get("storage_wal_file_flush_every_n_tx")) is None:
        found.append(_unknown("storage_wal_file_flush_every_n_tx"))
    elif every != "1":
        found.append(f"A power failure loses up to {every} transactions: set --storage-wal-file-flush-every-n-tx=1 if that matters.")
    return tuple(found)


def layout(indexes: Sequence[Mapping[str, Any]], constraints: Sequence[Mapping[str, Any]]) -> Layout:
    """Indexes and uniqueness constraints.

    Args:
        indexes: rows of `SHOW INDEX INFO`: `index type`, `label`, `property` (a list in later releases), `count`.
        constraints: rows of `SHOW CONSTRAINT INFO`: `constraint type`, `label`, `properties`.
    """
    return Layout(
        frozenset((str(row["label"]), name) for row in indexes for name in _only(row.get("property"))),
        frozenset(
            (str(row["label"]), name)
            for row in constraints
            if row.get("constraint type") == "unique"
            for name in _only(row.get("properties"))
        ),
    )


def there(statement: str, found: Layout) -> bool:
    """Whether what a statement of the schema would make is there already."""
    made = _MAKES.search(statement)
    if made is None:
        return False
    label, name, unique_label, unique_name = made.groups()
    return (label, name) in found.indexes if label else (unique_label, unique_name) in found.unique


def _only(properties: Any) -> list[str]:
    """The one property of an index or constraint; none where it is over several, or over a label alone."""
    names = properties if isinstance(properties, list) else [properties]
    return [str(name) for name in names if name is not None] if len(names) == 1 else []


def _named(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Rows of a name and a value as a map, whatever their columns are called; names as in `storage_wal_enabled`."""
    named = {}
    for row in rows:
        columns = {str(key).strip().lower().replace(" ", "_"): value for key, value in row.items()}
        name = columns.get("name", columns.get("storage_info", next(iter(columns.values()), None)))
        value = next((columns[key] for key in _VALUES if key in columns), None)
        if name is not None and value is not None:
            named[str(name).strip().lstrip("-").lower().replace("-", "_")] = str(value).strip().strip("\"'")
    return named


def _on(value: str) -> bool:
    return value.lower() not in {"", "0", "false", "off", "no", "none", "null"}


def _unknown(flag: str) -> str:
    return f"Its flag --{flag.replace('_', '-')} could not be read, so whether it loses acknowledged writes is not known."
