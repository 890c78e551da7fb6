"""The record: over which transport it is reached, and how its schema is brought.

To add a transport, add a branch to `open_record`. Must stay out: use cases.
"""

from __future__ import annotations

from memory_pipelines.config import Settings
from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.ports import BreakerStore, RecordStore
from memory_pipelines.services.platform import Platform
from memory_pipelines.wiring.addresses import over_rest, started


def database_url(settings: Settings) -> str:
    """The record's address; the embedded Postgres is started when there is none.

    Raises:
        ConfigurationError: `database_url_missing` when the record is reached over REST, which cannot change a schema.
    """
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    if over_rest(settings):
        raise ConfigurationError(
            "database_url_missing",
            "This needs a direct connection, which MEMORY_SUPABASE_URL does not give: set MEMORY_DATABASE_URL to the project's Postgres"
            " address for this command (its settings name it under Connect), or apply supabase/migrations with the Supabase CLI.",
        )
    return started(settings, "postgres").database_url


def bring_schema(platform: Platform) -> int | None:
    """Bring the record to this release's schema where a direct connection allows it, and return the schema's number; over REST
    only look whether it answers, and return None.

    Raises:
        ConfigurationError: `schema_outdated` over REST, when `memory-pipelines migrate` has not been run with a direct address.
        MemoryPipelinesError: what `stores.postgres.migrate` raises.
    """
    if over_rest(platform.settings):
        platform.record.health()
        return None
    from memory_pipelines.stores.postgres.migrate import migrate

    return migrate(database_url(platform.settings)).version


def open_record(settings: Settings, breakers: BreakerStore) -> RecordStore:
    """The record, over the transport that the settings ask for; an embedded one is started and migrated."""
    from memory_pipelines.services.breakers.record import GuardedTransport
    from memory_pipelines.stores.postgres.store import PostgresRecord

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
