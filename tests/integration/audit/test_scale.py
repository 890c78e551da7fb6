"""The benchmark of the audit, small: what it loads by SQL of its own is what the product would have made, and audits say so."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import audit_scale
from tests import engines

MEMORIES = 2000


def test_what_the_benchmark_loads_is_clean_and_what_it_makes_differ_is_found(home: Path, tmp_path: Path) -> None:
    settings = engines.settings_for(home)
    engines.empty(settings)
    audit_scale.run(settings, tmp_path / "figures.json", sizes=(MEMORIES,))
    (rows,) = json.loads((tmp_path / "figures.json").read_text()).values()
    assert [row["memories"] for row in rows] == [MEMORIES]
    assert rows[0]["rows compared"] == MEMORIES * 6.5  # memory, passage, vector, three mentions; an entity and its vector for four of them
