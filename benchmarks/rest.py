"""The record behind REST: one save beside a bare HTTP call of the same function, and the diary beside the direct connection.

The server is Supabase's light one on the embedded Postgres, as the tests start it (`tests/supabase_server.py`): it needs Node, and
its own share of the same cores is part of what is measured. A hosted project answers faster and is further away.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import uuid_utils
from pydantic import SecretStr

from benchmarks import ground
from memory_pipelines import MemoryClient, wiring
from memory_pipelines.config import Settings
from memory_pipelines.services.audit import audit
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.sync import sync
from memory_pipelines.services.transfer import transfer
from tests import supabase_server

_TEXT = "The tea at the corner place in Lisbon was better than last week, and the weather held until the evening."
_SAVES = 500
_MAPPING = {"created_at": "date", "key": "id"}


def run(settings: Settings, out: Path | None, rounds: int = 3) -> None:
    """Measure saves, and `rounds` times the diary on both transports in turn, each on emptied stores."""
    with ground.empty(settings):  # the server reads which functions there are when it starts
        pass
    with supabase_server.running(wiring.database_url(settings)) as server:
        ground.show("REST, one save, median milliseconds", [_save(settings, server)], out)
        if not ground.DIARY.exists():
            raise SystemExit(f"The diary is not there: {ground.DIARY}")
        measured = [_diary(settings, server) for _ in range(rounds)]
        rows = [sorted(column, key=lambda row: row["ratio"])[len(column) // 2] for column in zip(*measured, strict=True)]
        ground.show(f"REST, Pepys: 3,415 entries, median of {rounds} rounds", rows, out)


def _save(settings: Settings, server: supabase_server.Supabase) -> dict[str, Any]:
    headers = {"apikey": server.secret_key, "content-type": "application/json"}

    def bare(http: httpx.Client) -> None:
        item = {
            "id": str(uuid_utils.uuid7()), "id_given": False, "namespace": "latency", "key": None, "thread": None, "text": _TEXT,
            "metadata": {}, "source": None, "created_at": None, "expires_at": None, "passages": [_TEXT], "given": None,
        }  # fmt: skip
        body = json.dumps({"input": json.dumps({"memories": [item], "revive": False})})
        http.post(f"{server.url}/rest/v1/rpc/memory_save_v1", content=body, headers=headers).raise_for_status().json()

    with ground.empty(settings), httpx.Client() as http:
        platform = over_rest(settings, server)
        client = MemoryClient(platform)
        before = ground.median_ms(lambda: bare(http), _SAVES)
        ours = ground.median_ms(lambda: client.save(_TEXT, namespace="latency"), _SAVES)
        after = ground.median_ms(lambda: bare(http), _SAVES)
        platform.close()
    floor = (before + after) / 2
    return {
        "what": "save over REST", "ms": ours, "floor ms": floor, "times the floor": ours / floor,
        "floor": "httpx, the same function and payload",
    }  # fmt: skip


def _diary(settings: Settings, server: supabase_server.Supabase) -> list[dict[str, Any]]:
    with ground.empty(settings) as direct:
        floors = steps(direct)
    with ground.empty(settings) as direct:
        platform = over_rest(settings, server)
        try:
            platform.embedder.embed(["warm"])
            platform.extractor.extract(["warm"])
            ours = steps(platform)
        finally:
            platform.close()
        if not audit.audit(direct, deep=True).clean:
            raise SystemExit("The audit over the direct connection found differences.")
    return [
        {"what": name, "seconds over REST": ours[name], "seconds direct": took, "ratio": took / ours[name]} for name, took in floors.items()
    ]


def steps(platform: Platform) -> dict[str, float]:
    """Import the diary, drain each projection, audit both ways; seconds of each.

    Raises:
        SystemExit: an audit found differences.
    """
    found = {"import": ground.seconds(lambda: transfer.import_file(platform, ground.DIARY, namespace="pepys", mapping=_MAPPING))[0]}
    for projection in ("entities", "embeddings", "graph"):
        found[projection] = ground.seconds(lambda name=projection: sync.drain(platform, name, quiet_seconds=0))[0]
    for deep in (False, True):
        took, verdict = ground.seconds(lambda deep=deep: audit.audit(platform, deep=deep))
        if not verdict.clean:
            raise SystemExit(f"The {verdict.mode} audit found differences: {verdict.kinds()}")
        found[f"{verdict.mode} audit"] = took
    return found


def over_rest(settings: Settings, server: supabase_server.Supabase) -> Platform:
    """A platform whose record is behind REST; its other engines are those of `settings`."""
    platform = wiring.open_platform(settings.model_copy(update={"supabase_url": server.url, "supabase_key": SecretStr(server.secret_key)}))
    platform.record.health()
    return platform
