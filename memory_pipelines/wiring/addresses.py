"""Which address each engine has, and which engines have none and are therefore started by us.

To add an engine, add it to `embedded_engines`. Must stay out: opening anything but an embedded engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from memory_pipelines.config import Settings

if TYPE_CHECKING:
    from memory_pipelines.embedded import Engine
    from memory_pipelines.embedded.engines import Addresses


def over_rest(settings: Settings) -> bool:
    """Whether the record is reached through Supabase's REST API. A direct address, where there is one, is preferred."""
    return settings.database_url is None and bool(settings.supabase_url)


def embedded_engines(settings: Settings) -> tuple[Engine, ...]:
    """Which engines have no URL and are therefore started by us."""
    record = settings.database_url or settings.supabase_url or None
    wanted: dict[Engine, object] = {"postgres": record, "redis": settings.redis_url, "graph": settings.graph_url}
    return tuple(name for name, url in wanted.items() if url is None)


def started(settings: Settings, engine: Engine) -> Addresses:
    """The embedded engine, running; it is started where it is not."""
    from memory_pipelines import embedded

    return embedded.up(settings.home_path, (engine,))


def plain(url: SecretStr | None) -> str | None:
    """An address as text, for whoever connects to it; never for people."""
    return url.get_secret_value() if url else None
