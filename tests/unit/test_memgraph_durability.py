"""What a Memgraph's flags are taken to mean. No Memgraph ran for these: the rows have the shapes that its manual shows for 2.x and 3.x."""

from __future__ import annotations

from typing import Any

import pytest

from memory_pipelines.stores.graph.memgraph import losses

SAFE = {
    "storage_wal_enabled": "true", "storage_snapshot_interval_sec": "300", "data_recovery_on_startup": "true",
    "storage_wal_file_flush_every_n_tx": "1", "storage_mode": "IN_MEMORY_TRANSACTIONAL",
}  # fmt: skip


def config(**changes: str | None) -> list[dict[str, Any]]:
    """Rows of `SHOW CONFIG`; a change to None leaves the flag out."""
    flags = {**SAFE, **changes}
    return [
        {"name": name, "default_value": "of no interest", "current_value": value, "description": f"What {name} does."}
        for name, value in flags.items()
        if value is not None
    ]


def storage(mode: str | None = "IN_MEMORY_TRANSACTIONAL") -> list[dict[str, Any]]:
    """Rows of `SHOW STORAGE INFO`."""
    rows: list[dict[str, Any]] = [{"storage info": "vertex_count", "value": 0}, {"storage info": "average_degree", "value": 0.0}]
    return rows + ([{"storage info": "storage_mode", "value": mode}] if mode else [])


def test_a_server_that_keeps_everything_is_not_warned_about() -> None:
    assert losses(config(), storage()) == ()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"storage_wal_enabled": "false"}, "--storage-wal-enabled=true"),
        ({"storage_snapshot_interval_sec": "0"}, "--storage-snapshot-interval-sec"),
        ({"data_recovery_on_startup": "false"}, "--data-recovery-on-startup=true"),
        ({"storage_wal_file_flush_every_n_tx": "100000"}, "100000 transactions"),
    ],
)
def test_each_flag_that_loses_writes_is_named_with_its_remedy(changes: dict[str, str], named: str) -> None:
    (found,) = losses(config(**changes), storage())
    assert named in found


def test_analytical_mode_logs_nothing() -> None:
    (found,) = losses(config(), storage("IN_MEMORY_ANALYTICAL"))
    assert "--storage-mode=IN_MEMORY_TRANSACTIONAL" in found


def test_later_releases_say_the_snapshot_interval_in_another_flag() -> None:
    later = config(storage_snapshot_interval_sec=None, storage_snapshot_interval='"300"')
    assert losses(later, storage()) == ()
    assert losses(config(storage_snapshot_interval_sec="0", storage_snapshot_interval="*/5 * * * *"), storage()) == ()
    assert len(losses(config(storage_snapshot_interval_sec=None, storage_snapshot_interval='""'), storage())) == 1


def test_earlier_releases_call_the_recovery_otherwise() -> None:
    assert losses(config(data_recovery_on_startup=None, storage_recover_on_startup="true"), storage()) == ()


def test_other_spellings_of_flags_and_columns_mean_the_same() -> None:
    rows = [{"Name": f"--{name.replace('_', '-')}", "Current Value": value.upper()} for name, value in SAFE.items()]
    assert losses(rows, []) == ()


@pytest.mark.parametrize("flag", SAFE)
def test_what_cannot_be_read_is_said(flag: str) -> None:
    (found,) = losses(config(**{flag: None}), storage(None))
    assert f"--{flag.replace('_', '-')} could not be read" in found


def test_answers_of_an_unknown_shape_are_five_unknowns() -> None:
    assert len(losses([], [])) == len(losses([{"a": 1}, {}], [{"b": None}])) == 5
