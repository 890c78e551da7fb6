"""Settings -> open stores -> platform. The only place that chooses a transport.

To add a transport: a branch in one of the `_open_…` functions. Must stay out: use cases.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from memory_pipelines.config import Settings
from memory_pipelines.domain.diagnosis import Check
from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.ports import Embedder, EventStream, Examiner, Extractor, GraphStore, GraphTransport, RecordStore
from memory_pipelines.services.platform import Platform

if TYPE_CHECKING:
    from memory_pipelines.embedded import Engine

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
        return self._part("record", lambda: _open_record(self.settings))

    @property
    def graph(self) -> GraphStore:
        """The graph projection."""
        return self._part("graph", lambda: _open_graph(self.settings))

    @property
    def stream(self) -> EventStream:
        """The event stream, on Redis."""
        return self._part("stream", lambda: _open_stream(self.settings))

    @property
    def embedder(self) -> Embedder:
        """The embedding model."""
        return self._part("embedder", lambda: _open_embedder(self.settings))

    @property
    def extractor(self) -> Extractor:
        """The extractor of entities and relations."""
        return self._part("extractor", lambda: _open_extractor(self.settings))

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
    if settings.supabase_url and not settings.database_url:
        raise ConfigurationError(
            "config_invalid",
            "MEMORY_SUPABASE_URL is set, but the REST transport is not part of this release: set MEMORY_DATABASE_URL to the project's"
            " Postgres address.",
        )
    return OpenPlatform(settings)


def diagnose(settings: Settings) -> list[Check]:
    """Examine everything that is configured, and change nothing: no engine is started, no schema migrated; see `services.doctor`."""
    from memory_pipelines.services import doctor

    return doctor.diagnose(_examiners(settings), lambda: _open_embedder(settings), rest_checks(settings))


def rest_checks(settings: Settings) -> list[Check]:
    """What the settings of Supabase's REST transport show by themselves."""
    from memory_pipelines.stores.postgres.service_key import check

    return [] if settings.supabase_key is None else [check(settings.supabase_key.get_secret_value())]


def _examiners(settings: Settings) -> dict[str, Examiner | None]:
    """Who looks at each engine; None for an embedded one that does not run. Nothing is opened by way of `OpenPlatform`: that migrates."""
    from memory_pipelines.stores.graph.examine import GraphExaminer
    from memory_pipelines.stores.postgres.examine import PostgresExaminer
    from memory_pipelines.stores.redis.examine import RedisExaminer

    urls: dict[Engine, str | None] = {
        "postgres": _plain(settings.database_url),
        "redis": _plain(settings.redis_url),
        "graph": _plain(settings.graph_url),
    }
    if missing := embedded_engines(settings):
        from memory_pipelines import embedded

        running = embedded.status(settings.home_path)
        urls |= {name: running[name].address for name in missing if running[name].running}
    openers: dict[Engine, Callable[[str], Examiner]] = {
        "postgres": PostgresExaminer,
        "redis": lambda url: RedisExaminer(url, settings.stream_name),
        "graph": lambda url: GraphExaminer(_graph_transport(settings, url)),
    }
    return {name: opener(url) if (url := urls[name]) else None for name, opener in openers.items()}


def _plain(url: SecretStr | None) -> str | None:
    return url.get_secret_value() if url else None


def embedded_engines(settings: Settings) -> tuple[Engine, ...]:
    """Which engines have no URL and are therefore started by us."""
    wanted: dict[Engine, object] = {"postgres": settings.database_url, "redis": settings.redis_url, "graph": settings.graph_url}
    return tuple(name for name, url in wanted.items() if url is None)


def database_url(settings: Settings) -> str:
    """The record's address; the embedded Postgres is started when there is none."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    from memory_pipelines import embedded

    return embedded.up(settings.home_path, _only("postgres")).database_url


def _only(engine: Engine) -> tuple[Engine, ...]:
    return (engine,)


def _open_record(settings: Settings) -> RecordStore:
    from memory_pipelines.stores.postgres.psycopg_transport import PsycopgTransport
    from memory_pipelines.stores.postgres.store import PostgresRecord

    url = database_url(settings)
    if settings.database_url is None:
        from memory_pipelines.stores.postgres.migrate import migrate

        migrate(url)  # the embedded record is ours alone: its schema follows the code
    return PostgresRecord(PsycopgTransport(url, prepare=settings.database_url is None))


def _open_graph(settings: Settings) -> GraphStore:
    from memory_pipelines.stores.graph.store import CypherGraph

    if settings.graph_url is None:
        from memory_pipelines import embedded

        url = embedded.up(settings.home_path, _only("graph")).graph_url
    else:
        url = settings.graph_url.get_secret_value()
    return CypherGraph(_graph_transport(settings, url))


def _graph_transport(settings: Settings, url: str) -> GraphTransport:
    """The transport that an address asks for.

    Raises:
        ConfigurationError: `config_invalid`.
    """
    scheme = urlsplit(url).scheme
    password = settings.graph_password.get_secret_value() if settings.graph_password else None
    if scheme in {"falkor", "falkors", "unix", ""}:
        from memory_pipelines.stores.graph.falkor_transport import FalkorTransport

        return FalkorTransport(url, settings.graph_name, user=settings.graph_user, password=password)
    if scheme in {"bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"}:
        from memory_pipelines.stores.graph.bolt_transport import BoltTransport

        return BoltTransport(
            url, database=settings.graph_database, user=settings.graph_user, password=password, certificates=settings.graph_certificates
        )
    raise ConfigurationError(
        "config_invalid", f"MEMORY_GRAPH_URL has the unknown scheme {scheme!r}: see the table of variables in the README."
    )


def _open_stream(settings: Settings) -> EventStream:
    from memory_pipelines.stores.redis.streams import RedisStream

    if settings.redis_url is None:
        from memory_pipelines import embedded

        url = embedded.up(settings.home_path, _only("redis")).redis_url
    else:
        url = settings.redis_url.get_secret_value()
    return RedisStream(url, settings.stream_name)


def _open_embedder(settings: Settings) -> Embedder:
    from memory_pipelines.models import open_embedder

    return open_embedder(settings)


def _open_extractor(settings: Settings) -> Extractor:
    from memory_pipelines.models import open_extractor

    return open_extractor(settings)
