"""Who looks at each engine for `doctor`. Nothing is started, migrated or changed.

To examine another engine, add it to `_examiners`. Must stay out: what is found (`stores/*/examine.py`, `services/doctor.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from memory_pipelines.config import Settings, check, misspelt, place
from memory_pipelines.config.settings import known
from memory_pipelines.domain.diagnosis import Check, error, ok, warning
from memory_pipelines.ports import Examiner
from memory_pipelines.wiring.addresses import embedded_engines, over_rest, plain
from memory_pipelines.wiring.graph import graph_transport

if TYPE_CHECKING:
    from memory_pipelines.embedded import Engine


def diagnose(settings: Settings) -> list[Check]:
    """Examine everything that is configured, and change nothing: no engine is started, no schema migrated; see `services.doctor`.

    Raises:
        ConfigurationError: `config_invalid` for an address of no form that there is.
    """
    from memory_pipelines.models import open_embedder
    from memory_pipelines.services import doctor

    check(settings)
    settled = [*_settings(settings), *rest_checks(settings)]
    return doctor.diagnose(_examiners(settings), lambda: open_embedder(settings), settled)


def _settings(settings: Settings) -> Iterator[Check]:
    """Where the embedded engines live, and variables that are no settings."""
    from memory_pipelines import embedded

    home = settings.home_path
    wrong = embedded.unfit(home)
    yield (
        error("settings.home", f"{home} {wrong}", "Make room for it there, or name another folder in MEMORY_HOME.")
        if wrong
        else ok("settings.home", str(home))
    )
    for name, near in misspelt(known(), env_file=place.env_file()).items():
        yield warning("settings.variables", f"{name} is no setting", f"Is {near} meant?" if near else "Remove it.")


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
        "postgres": plain(settings.database_url),
        "redis": plain(settings.redis_url),
        "graph": plain(settings.graph_url),
    }
    if missing := embedded_engines(settings):
        from memory_pipelines import embedded

        running = embedded.status(settings.home_path)
        urls |= {name: running[name].address for name in missing if running[name].running}
    openers: dict[Engine, Callable[[str], Examiner]] = {
        "postgres": PostgresExaminer,
        "redis": lambda url: RedisExaminer(url, settings.stream_name, certificates=settings.redis_certificates),
        "graph": lambda url: GraphExaminer(graph_transport(settings, url)),
    }
    found: dict[str, Examiner | None] = {}
    for name, opener in openers.items():
        url = urls[name]
        if name == "postgres" and over_rest(settings):
            found[name] = RpcExaminer(settings.supabase_url or "", plain(settings.supabase_key) or "")
        else:
            found[name] = opener(url) if url else None
    return found
