"""The platform: its parts open on first use, and close together.

To add a part, add a property to `OpenPlatform`. Must stay out: choosing a transport (the file of the engine).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from memory_pipelines.config import Settings, check
from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.ports import BreakerStore, Embedder, EventStream, Extractor, GraphStore, RecordStore
from memory_pipelines.services.platform import Platform
from memory_pipelines.wiring.graph import open_graph
from memory_pipelines.wiring.record import open_record
from memory_pipelines.wiring.redis import open_breakers, open_local_breakers, open_stream

T = TypeVar("T")


class OpenPlatform:
    """A platform whose parts open on first use, once, under a lock, and close together."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._open: dict[str, object] = {}
        self._exits = ExitStack()
        self._closed = False

    def _part(self, name: str, opener: Callable[[], T]) -> T:
        part = self._open.get(name)
        if part is None:
            with self._lock:
                if self._closed:
                    raise ConfigurationError("client_closed", "This client was closed; open a new one with MemoryClient.from_env().")
                part = self._open.get(name)
                if part is None:
                    part = opener()
                    close = getattr(part, "close", None)
                    if close is not None:
                        self._exits.callback(close)
                    self._open[name] = part
        return part  # type: ignore[return-value]  # keyed by name, one opener each

    @property
    def record(self) -> RecordStore:
        """The record, on Postgres."""
        return self._part("record", lambda: open_record(self.settings, self.local_breakers))

    @property
    def graph(self) -> GraphStore:
        """The graph projection."""
        return self._part("graph", lambda: open_graph(self.settings))

    @property
    def stream(self) -> EventStream:
        """The event stream, on Redis."""
        return self._part("stream", lambda: open_stream(self.settings))

    @property
    def embedder(self) -> Embedder:
        """The embedding model."""
        return self._part("embedder", lambda: _open_embedder(self.settings))

    @property
    def extractor(self) -> Extractor:
        """The extractor of entities and relations."""
        return self._part("extractor", lambda: _open_extractor(self.settings))

    @property
    def breakers(self) -> BreakerStore:
        """The state of circuit breakers, shared through Redis."""
        return self._part("breakers", lambda: open_breakers(self.settings))

    @property
    def local_breakers(self) -> BreakerStore:
        """The state of the breakers that are this process's alone."""
        return self._part("local_breakers", open_local_breakers)

    def close(self) -> None:
        """Close what was opened, in reverse order. Closing twice is fine."""
        with self._lock:
            self._closed = True
            self._open.clear()
            self._exits.close()


def open_platform(settings: Settings) -> Platform:
    """The platform for these settings; nothing is connected yet.

    Raises:
        ConfigurationError: `config_invalid` for settings that contradict each other.
    """
    check(settings)
    if settings.database_url is None and bool(settings.supabase_url) != bool(settings.supabase_key):
        raise ConfigurationError(
            "config_invalid",
            "MEMORY_SUPABASE_URL and MEMORY_SUPABASE_KEY go together: set both, or neither, or MEMORY_DATABASE_URL alone.",
        )
    if settings.redis_url is not None:  # now, for a save that has committed must not fail for it
        from memory_pipelines.stores.redis.address import parse

        parse(settings.redis_url.get_secret_value(), certificates=settings.redis_certificates)
    return OpenPlatform(settings)


def _open_embedder(settings: Settings) -> Embedder:
    from memory_pipelines.models import open_embedder

    return open_embedder(settings)


def _open_extractor(settings: Settings) -> Extractor:
    from memory_pipelines.models import open_extractor

    return open_extractor(settings)
