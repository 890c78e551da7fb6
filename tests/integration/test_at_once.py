"""Everything at once: writers, readers, drains, maintenance and audits over the same few rows, and what must hold meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import Conflict, Gone, NotFound
from memory_pipelines.ports import Marker
from memory_pipelines.services import maintenance
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.sync import sync
from tests import engines

PEOPLE = [{"name": f"Person {n}", "type": "person"} for n in range(8)]
SECONDS = 6.0


def test_a_drain_that_settles_between_two_looks_is_no_rollback(
    client: MemoryClient, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.save("The first.", wait="graph")
    look = platform.graph.marker

    def slowly() -> Marker:
        seen = look()
        monkeypatch.setattr(platform.graph, "marker", look)
        client.save("While we looked.", wait="graph")
        return seen

    monkeypatch.setattr(platform.graph, "marker", slowly)
    assert sync.drain(platform, "graph", quiet_seconds=0).rolled_back == 0


@pytest.mark.timeout(20)
def test_settling_what_is_owed_anew_at_that_moment_waits_for_nobody(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    saved = client.save("A note.").id
    claim = platform.record.claim("graph", refs=None, limit=10, owed_for_seconds=0)
    row = {"kind": "memory", "id": saved, "number": claim.rows[0].number, "revision": 1, "version": 1, "marker": 1}
    with engines.connect(settings) as writer:
        writer.execute("begin")
        writer.execute("select public.memory_update_v1(%s)", [f'{{"id": "{saved}", "changes": {{"thread": "t"}}}}'])
        started = time.monotonic()
        assert platform.record.settle_graph([row], claim=claim.claim, markers=[1])["settled"] == 0
        assert time.monotonic() - started < 1
        writer.execute("commit")
    assert client.sync_state(saved).projections["graph"].owed


def acts(client: MemoryClient, chance: random.Random) -> list[Callable[[], object]]:
    """What a caller may do, each time over other rows."""

    def key() -> str:
        return f"k{chance.randrange(12)}"

    def some() -> dict[str, Any]:
        people = chance.sample(PEOPLE, chance.randrange(4))
        ends = pairwise(people)
        relations = [{"source": one["name"], "predicate": "knows", "target": other["name"]} for one, other in ends]
        return {"text": f"Ada Lovelace met Bob Smith {chance.randrange(9)} in London.", "entities": people, "relations": relations}

    def change() -> dict[str, Any]:
        given = some()
        return chance.choice(
            [{"text": given["text"]}, {"metadata": {"n": chance.random()}}, {"entities": given["entities"]}, {"thread": "t"}]
        )

    return [
        lambda: client.save(**some(), key=key(), revive=True),
        lambda: client.save(**some(), key=key(), revive=True, wait="graph"),
        lambda: client.save_many([some() | {"key": key(), "namespace": chance.choice(["default", "b"])} for _ in range(8)], revive=True),
        lambda: client.update(client.get(key=key()).id, **change()),
        lambda: client.forget(key=key()),
        lambda: client.related("Ada Lovelace"),
        lambda: client.search("who met in London?"),
        lambda: client.list(limit=20),
    ]


def test_nothing_fails_nothing_blocks_and_all_agree_in_the_end(client: MemoryClient, settings: Settings) -> None:
    client.close()
    deadlocks = engines.deadlocks(settings)
    done: list[int] = []
    with MemoryClient.from_env(settings) as busy:
        busy.save("The first.", entities=PEOPLE[:1])
        busy.sync()
        end = time.monotonic() + SECONDS

        def write(seed: int) -> None:
            chance = random.Random(seed)
            while time.monotonic() < end:
                try:
                    chance.choice(acts(busy, chance))()
                    done.append(seed)
                except (Gone, NotFound, Conflict):
                    continue

        def drain(projection: str) -> None:
            while time.monotonic() < end:
                sync.drain(busy._platform, projection, quiet_seconds=0.05, max_seconds=1)

        def look() -> None:
            while time.monotonic() < end:
                maintenance.maintain(busy._platform)
                assert busy.audit(deep=True).findings == ()

        engines.at_once(
            *(lambda seed=seed: write(seed) for seed in range(3)),
            *(lambda name=name: drain(name) for name in ("entities", "embeddings", "graph")),
            look,
        )  # type: ignore[misc]
        assert len(done) > 50
        busy.sync()
        verdict = busy.audit(deep=True)
        assert (verdict.findings, verdict.pending) == ((), 0)
    assert engines.deadlocks(settings) == deadlocks
