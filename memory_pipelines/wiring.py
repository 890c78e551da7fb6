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
from memory_pipelines.domain.diagnosis import Check, warning
from memory_pipelines.domain.errors import ConfigurationError, MemoryPipelinesError
from memory_pipelines.ports import BreakerStore, Embedder, EventStream, Examiner, Extractor, GraphStore, GraphTransport, RecordStore
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
        return self._part("record", lambda: _open_record(self.settings, self.local_breakers))

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

    @property
    def breakers(self) -> BreakerStore:
        """The state of circuit breakers, shared through Redis."""
        return self._part("breakers", lambda: _open_breakers(self.settings))

    @property
    def local_breakers(self) -> BreakerStore:
        """The state of the breakers that are this process's alone."""
        return self._part("local_breakers", _open_local_breakers)

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
    if settings.database_url is None and bool(settings.supabase_url) != bool(settings.supabase_key):
        raise ConfigurationError(
            "config_invalid",
            "MEMORY_SUPABASE_URL and MEMORY_SUPABASE_KEY go together: set both, or neither, or MEMORY_DATABASE_URL alone.",
        )
    if settings.redis_url is not None and not _in_memory(settings.redis_url):  # now, for a save that has committed must not fail for it
        from memory_pipelines.stores.redis.address import parse

        parse(settings.redis_url.get_secret_value(), certificates=settings.redis_certificates)
    return OpenPlatform(settings)


def over_rest(settings: Settings) -> bool:
    """Whether the record is reached through Supabase's REST API. A direct address, where there is one, is preferred."""
    return settings.database_url is None and bool(settings.supabase_url)


def record_in_memory(settings: Settings) -> bool:
    """Whether the record lives in this process, and ends with it."""
    return settings.database_url is not None and _in_memory(settings.database_url)


def diagnose(settings: Settings) -> list[Check]:
    """Examine everything that is configured, and change nothing: no engine is started, no schema migrated; see `services.doctor`."""
    from memory_pipelines.services import doctor

    return doctor.diagnose(_examiners(settings), lambda: _open_embedder(settings), [*rest_checks(settings), *_lasts(settings)])


def _lasts(settings: Settings) -> list[Check]:
    """Whether the record outlives this process."""
    fix = "Name a Postgres in MEMORY_DATABASE_URL, unless this is a test."
    seen = "the record lives in this process, and ends with it"
    return [warning("postgres.persistence", seen, fix)] if record_in_memory(settings) else []


def rest_checks(settings: Settings) -> list[Check]:
    """What the settings of Supabase's REST transport show by themselves."""
    from memory_pipelines.stores.postgres.service_key import check

    return [] if settings.supabase_key is None else [check(settings.supabase_key.get_secret_value())]


def _examiners(settings: Settings) -> dict[str, Examiner | None]:
    """Who looks at each engine; None for an embedded one that does not run. Nothing is opened by way of `OpenPlatform`: that migrates."""
    from memory_pipelines.stores.graph.examine import GraphExaminer
    from memory_pipelines.stores.postgres.examine import PostgresExaminer
    from memory_pipelines.stores.postgres.rpc_examine import RpcExaminer
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
        "redis": lambda url: RedisExaminer(url, settings.stream_name, certificates=settings.redis_certificates),
        "graph": lambda url: GraphExaminer(_graph_transport(settings, url)),
    }
    found: dict[str, Examiner | None] = {}
    for name, opener in openers.items():
        url = urls[name]
        if name == "postgres" and over_rest(settings):
            found[name] = RpcExaminer(settings.supabase_url or "", _plain(settings.supabase_key) or "")
        elif url is None or urlsplit(url).scheme != "memory":  # what is in this process has nothing to be looked at
            found[name] = opener(url) if url else None
    return found


def _plain(url: SecretStr | None) -> str | None:
    return url.get_secret_value() if url else None


def embedded_engines(settings: Settings) -> tuple[Engine, ...]:
    """Which engines have no URL and are therefore started by us."""
    record = settings.database_url or settings.supabase_url or None
    wanted: dict[Engine, object] = {"postgres": record, "redis": settings.redis_url, "graph": settings.graph_url}
    return tuple(name for name, url in wanted.items() if url is None)


def database_url(settings: Settings) -> str:
    """The record's address; the embedded Postgres is started when there is none.

    Raises:
        ConfigurationError: `database_url_missing` when the record is reached over REST, which cannot change a schema;
            `record_in_memory` when there is no database at all.
    """
    if record_in_memory(settings):
        raise ConfigurationError(
            "record_in_memory",
            "This needs a database, and MEMORY_DATABASE_URL=memory:// keeps the record in this process: name a Postgres.",
        )
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    if over_rest(settings):
        raise ConfigurationError(
            "database_url_missing",
            "This needs a direct connection, which MEMORY_SUPABASE_URL does not give: set MEMORY_DATABASE_URL to the project's Postgres"
            " address for this command (its settings name it under Connect), or apply supabase/migrations with the Supabase CLI.",
        )
    from memory_pipelines import embedded

    return embedded.up(settings.home_path, _only("postgres")).database_url


def bring_schema(platform: Platform) -> int | None:
    """Bring the record to this release's schema where a direct connection allows it, and return the schema's number; over REST,
    or of a record in memory, only look whether it answers, and return None.

    Raises:
        ConfigurationError: `schema_outdated` over REST, when `memory-pipelines migrate` has not been run with a direct address.
        MemoryPipelinesError: what `stores.postgres.migrate` raises.
    """
    if over_rest(platform.settings) or record_in_memory(platform.settings):
        platform.record.health()
        return None
    from memory_pipelines.stores.postgres.migrate import migrate

    return migrate(database_url(platform.settings)).version


def _only(engine: Engine) -> tuple[Engine, ...]:
    return (engine,)


def _open_record(settings: Settings, breakers: BreakerStore) -> RecordStore:
    from memory_pipelines.services.record_breaker import GuardedTransport
    from memory_pipelines.stores.postgres.store import PostgresRecord

    if settings.database_url is not None and _in_memory(settings.database_url):
        from memory_pipelines.stores.memory.record import MemoryFunctions

        return PostgresRecord(MemoryFunctions(settings.database_url.get_secret_value()))
    if over_rest(settings):
        from memory_pipelines.stores.postgres.rpc_transport import RpcTransport

        key = settings.supabase_key.get_secret_value() if settings.supabase_key else ""
        return PostgresRecord(GuardedTransport(RpcTransport(settings.supabase_url or "", key), breakers))
    from memory_pipelines.stores.postgres.psycopg_transport import PsycopgTransport

    url = database_url(settings)
    if settings.database_url is None:
        from memory_pipelines.stores.postgres.migrate import migrate

        migrate(url)  # the embedded record is ours alone: its schema follows the code
    return PostgresRecord(GuardedTransport(PsycopgTransport(url, prepare=settings.database_url is None), breakers))


def _open_graph(settings: Settings) -> GraphStore:
    if settings.graph_url is None:
        from memory_pipelines import embedded

        url = embedded.up(settings.home_path, _only("graph")).graph_url
    elif _in_memory(settings.graph_url):
        from memory_pipelines.stores.memory.graph import MemoryGraph

        return MemoryGraph(f"{settings.graph_url.get_secret_value()}/{settings.graph_name}")
    else:
        url = settings.graph_url.get_secret_value()
    from memory_pipelines.stores.graph.store import CypherGraph

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


def _in_memory(url: SecretStr) -> bool:
    return urlsplit(url.get_secret_value()).scheme == "memory"


def _open_stream(settings: Settings) -> EventStream:
    if settings.redis_url is not None and _in_memory(settings.redis_url):
        from memory_pipelines.stores.memory.stream import MemoryStream

        return MemoryStream(f"{settings.redis_url.get_secret_value()}/{settings.stream_name}")
    from memory_pipelines.stores.redis.streams import RedisStream

    if settings.redis_url is None:
        from memory_pipelines import embedded

        url = embedded.up(settings.home_path, _only("redis")).redis_url
    else:
        url = settings.redis_url.get_secret_value()
    return RedisStream(url, settings.stream_name, certificates=settings.redis_certificates if settings.redis_url else None)


def _open_local_breakers() -> BreakerStore:
    from memory_pipelines.stores.memory.breakers import LocalBreakers

    return LocalBreakers()


def _open_breakers(settings: Settings) -> BreakerStore:
    from memory_pipelines.stores.memory.breakers import LocalBreakers

    if settings.redis_url is not None and _in_memory(settings.redis_url):
        return LocalBreakers()
    from memory_pipelines.stores.redis.breakers import RedisBreakers

    if settings.redis_url is None:
        from memory_pipelines import embedded

        try:
            url = embedded.up(settings.home_path, _only("redis")).redis_url
        except MemoryPipelinesError:  # it cannot run here; a breaker never stands in the way
            return LocalBreakers()
    else:
        url = settings.redis_url.get_secret_value()
    return RedisBreakers(url, settings.stream_name, certificates=settings.redis_certificates if settings.redis_url else None)


def _open_embedder(settings: Settings) -> Embedder:
    from memory_pipelines.models import open_embedder

    return open_embedder(settings)


def _open_extractor(settings: Settings) -> Extractor:
    from memory_pipelines.models import open_extractor

    return open_extractor(settings)
