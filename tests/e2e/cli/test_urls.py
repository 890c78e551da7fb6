"""The main job on engines by URL, all three at once: Supabase's REST with its key, a Neo4j, a Redis. Nothing else is set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.capabilities import PEPYS, need
from tests.e2e.command import Cli

ENTRIES = 200


@pytest.fixture
def named(fresh: Cli, fresh_home: Path, neo4j: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The variables that name all three, each empty; the schema was brought over the direct address, as docs/operating.md says."""
    need("supabase")
    from memory_pipelines.wiring import database_url
    from tests import engines, redis_servers, supabase_server

    settings = engines.settings_for(fresh_home)
    assert fresh("up", "--json").code == 0
    assert fresh("migrate", "--json").code == 0
    engines.empty_graph(engines.settings_for(fresh_home, **neo4j))
    with supabase_server.running(database_url(settings)) as supabase, redis_servers.server() as stream:
        yield {
            "MEMORY_SUPABASE_URL": supabase.url,
            "MEMORY_SUPABASE_KEY": supabase.secret_key,
            "MEMORY_REDIS_URL": f"redis://:{quote(redis_servers.PASSWORD, safe='')}@127.0.0.1:{stream.port}/0",
            **{f"MEMORY_{name.upper()}": str(value) for name, value in neo4j.items()},
        }


@pytest.mark.timeout(400)
def test_the_demo_and_the_diary_by_url(fresh: Cli, named: dict[str, str], tmp_path: Path) -> None:
    need("pepys")
    demo = fresh("demo", "--json", **named)
    assert demo.code == 0, demo.out + demo.err
    assert demo.json["engines"] == []  # none is embedded
    assert demo.json["clean"] is True
    assert [(found["mode"], found["clean"]) for found in demo.json["audits"]] == [("quick", True), ("deep", True)]

    diary = tmp_path / "diary.jsonl"
    diary.write_text("".join(PEPYS.read_text("utf-8").splitlines(keepends=True)[:ENTRIES]), "utf-8")
    mapped = ("--map", "created_at=date", "--map", "key=id")
    imported = fresh("import", diary, "-n", "diary", *mapped, "--json", **named)
    assert (imported.code, imported.json["imported"]) == (0, ENTRIES), imported.err
    assert fresh("sync", "--json", **named).code == 0
    for deep in ((), ("--deep",)):
        clean = fresh("audit", *deep, "--json", **named)
        assert (clean.code, clean.json["pending"]) == (0, 0), clean.out
        assert clean.json["checked"]["memory"] > ENTRIES
    assert fresh("search", "dinner with my wife", "-n", "diary", "--json", **named).json
    sound = fresh("doctor", "--json", **named)
    assert sound.code == 0, sound.out
    assert not any(said in sound.out for said in (named["MEMORY_SUPABASE_KEY"], named["MEMORY_GRAPH_PASSWORD"]))
