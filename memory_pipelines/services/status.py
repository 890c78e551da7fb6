"""How things stand: what is owed, and whether each engine answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from memory_pipelines.domain.errors import MemoryPipelinesError
from memory_pipelines.domain.models import PROJECTIONS, Status
from memory_pipelines.services.breakers import breakers
from memory_pipelines.services.platform import Platform

TOLD = ("owed", "ready", "parked", "dropped", "oldest_owed_seconds", "draining")
_PAIRS = re.compile(r"[a-z_]+ *=")
_HOST = re.compile(r"(?<![^ ])host *= *(?:'([^']*)'|([^ ']+))")


def status(platform: Platform) -> Status:
    """What is owed, parked and held; an engine that is down is told as such, the record must answer.

    Raises:
        Unavailable: `record_unavailable`
    """
    answer = platform.record.status(platform.settings.sync_budget_seconds)
    projections = answer["projections"]
    ages = [state["oldest_owed_seconds"] for state in projections.values() if state["oldest_owed_seconds"] is not None]
    return Status(
        owed={name: state["owed"] for name, state in projections.items()},
        oldest_owed_seconds=max(ages, default=None),
        parked=sum(state["parked"] for state in projections.values()),
        engines=health(platform),
        counts=platform.record.counts(),
        dropped=sum(state["dropped"] for state in projections.values()),
        dead_events=answer["dead_events"],
        breakers=breakers.states(platform),
        projections={name: {field: projections[name][field] for field in TOLD} for name in PROJECTIONS},
    )


def health(platform: Platform) -> dict[str, dict[str, Any]]:
    """Each engine: `ok`, and its facts or the code and message of what failed."""
    settings = platform.settings
    record = settings.database_url or (SecretStr(settings.supabase_url) if settings.supabase_url else None)
    looks: dict[str, tuple[SecretStr | None, Callable[[], Mapping[str, Any]]]] = {
        "postgres": (record, lambda: platform.record.health()),
        "redis": (settings.redis_url, lambda: platform.stream.health()),
        "graph": (settings.graph_url, lambda: platform.graph.health()),
    }
    return {name: {"address": _address(url), **_look(look)} for name, (url, look) in looks.items()}


def _look(look: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    try:
        return {"ok": True, **look()}
    except MemoryPipelinesError as error:
        return {"ok": False, "error": error.code, "message": error.message}


def _address(url: SecretStr | None) -> str:
    """Where an engine is, without user, password or options."""
    if url is None:
        return "embedded"
    text = url.get_secret_value()
    if pairs := _PAIRS.match(text):  # libpq's own form
        return (named[1] or named[2]) if (named := _HOST.search(text, pairs.start())) else "postgres"
    parts = urlsplit(text)
    return parts.netloc.rpartition("@")[2] or parts.path or f"{parts.scheme}://"  # several hosts are no `hostname`
