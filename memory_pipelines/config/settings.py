"""Every setting, typed, from the environment (and an `.env` file); read when a command starts, never at import.

To add one: a field here with its description; the table in the docs is held against this class by a test.
Must stay out: where the file is looked for (`place.py`), what an address may be (`addresses.py`).
"""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from memory_pipelines.config import addresses, place, variables
from memory_pipelines.domain.errors import ConfigurationError

log = logging.getLogger(__name__)


class _EnvFile(DotEnvSettingsSource):
    """The project's `.env`, whichever subfolder a command is given in. A path in it is meant from where it stands."""

    def __init__(self, settings_cls: type[BaseSettings], path: Path) -> None:
        super().__init__(settings_cls, env_file=path)
        self._folder = path.parent

    def __call__(self) -> dict[str, Any]:
        found = super().__call__()
        if "home" in found:
            found["home"] = place.named(Path(found["home"]), self._folder)
        return found


class Settings(BaseSettings):
    """What has no URL is embedded: started by us, under `home`, on unix sockets only."""

    model_config = SettingsConfigDict(
        env_prefix=variables.PREFIX, env_file=place.ENV, env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    home: Path = Field(
        default=Path(place.HOME),
        description="Folder of the embedded engines' data and of Dagster's history; by default `.memory` at the project's root.",
    )
    database_url: SecretStr | None = Field(default=None, description="Postgres 15+ with pgvector, `postgresql://…`. Embedded when empty.")
    supabase_url: str | None = Field(default=None, description="Supabase project URL, for the REST transport.")
    supabase_key: SecretStr | None = Field(default=None, description="Supabase service key, for the REST transport.")
    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis 6.2+: `redis://`, `unix://`, `redis+sentinel://`, `redis+cluster://`, with TLS `rediss…`. Embedded when empty.",
    )
    redis_certificates: Path | None = Field(
        default=None, description="File of the certificates to trust with `rediss`; the system's when empty."
    )
    graph_url: SecretStr | None = Field(
        default=None,
        description="Graph: `bolt://` or `neo4j://` (also `+s`, `+ssc`), `falkor://`, `falkors://`, or a unix socket. Embedded when empty.",
    )
    graph_user: str | None = Field(default=None, description="User of the graph.")
    graph_password: SecretStr | None = Field(default=None, description="Password of the graph.")
    graph_name: str = Field(default="memory", description="Name of the graph in FalkorDB.")
    graph_database: str | None = Field(default=None, description="Name of the database in Neo4j or Memgraph; the user's own when empty.")
    graph_certificates: Path | None = Field(
        default=None, description="File of the certificates to trust with `+s`; the system's when empty."
    )
    embedder: str = Field(default="wordllama", description="`wordllama` (local) or `openai`, `openai:<model>`.")
    embedding_dimensions: int | None = Field(default=None, ge=1, le=4000, description="Dimensions asked of an OpenAI embedder.")
    extractor: str = Field(default="rules", description="`rules` (local), `openai`, `openai:<model>`, or `none`.")
    openai_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("OPENAI_API_KEY", "openai_api_key"),
        description="Key for the OpenAI embedder and extractor.",
    )
    openai_base_url: str | None = Field(
        default=None, validation_alias=AliasChoices("OPENAI_BASE_URL", "openai_base_url"), description="Any compatible server."
    )
    passage_chars: int = Field(default=400, ge=80, le=8000, description="About how many characters a passage holds.")
    text_limit: int = Field(default=100_000, ge=1, description="Most characters a memory's text may have.")
    sync_budget_seconds: float = Field(default=30.0, gt=0, description="How long a change may be owed before it counts as late.")
    audit_pause_seconds: float = Field(
        default=60.0,
        ge=0,
        description="How long an audit stands aside in all while a drain is behind its budget; it then goes on all the same.",
    )
    batch_rows: int = Field(default=1000, ge=1, le=5000, description="Rows per graph batch and per claim.")
    lease_seconds: float = Field(
        default=30.0,
        gt=0,
        description="How long a drain that gives no sign keeps its projection; after a crash, the next one waits so long.",
    )
    max_attempts: int = Field(default=5, ge=1, description="Failures of a row of its own before it is parked.")
    breaker_failures: int = Field(default=5, ge=1, description="Outages of graph, embedder or extractor in a row before its breaker opens.")
    breaker_seconds: float = Field(
        default=15.0, gt=0, description="How long an open breaker lets nobody call; then one call a period is the probe."
    )
    exact_search_passages: int = Field(
        default=5000, ge=0, description="Up to so many passages in a namespace, vector search is exact; above, it takes the HNSW index."
    )
    embedder_price: float | None = Field(
        default=None, ge=0, description="Price of a million tokens of the embedder in US dollars, for the cost of a repair plan."
    )
    extractor_price: float | None = Field(
        default=None, ge=0, description="Price of a million tokens of the extractor in US dollars, for the cost of a repair plan."
    )
    repair_bound: int = Field(default=1000, ge=0, le=1000, description="Most findings that Dagster repairs by itself after a failed audit.")
    stream_name: str = Field(default="memory", description="Prefix of every Redis key; one per record when a Redis is shared.")

    _here: Path | None = PrivateAttr(None)

    @property
    def home_path(self) -> Path:
        """`home`, absolute; where nothing names it, the project's. It stays the same when the program goes to another folder.

        Raises:
            ConfigurationError: `config_invalid`: of a user that there is not, or below a working folder that is gone.
        """
        return place.named(self.home, self._here) if "home" in self.model_fields_set else place.home(self._here)

    def model_post_init(self, context: Any, /) -> None:
        """Note from where relative paths are meant."""
        super().model_post_init(context)
        self._here = place.here()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The `.env` is the project's; one that the caller names, or None, is taken as it is."""
        file = place.env_file() if getattr(dotenv_settings, "env_file", None) == place.ENV else None
        return init_settings, env_settings, _EnvFile(settings_cls, file) if file else dotenv_settings, file_secret_settings


@lru_cache
def known() -> frozenset[str]:
    """Every variable that settings are read from."""
    aliases = {name: field.validation_alias for name, field in Settings.model_fields.items()}
    return frozenset(
        str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"{variables.PREFIX}{name.upper()}" for name, alias in aliases.items()
    )


def load(**overrides: object) -> Settings:
    """Read the settings of this process. A variable that looks like one and is none is told to the log, once.

    Raises:
        ConfigurationError: `config_invalid`, naming the variable. Values are never repeated: they may be secrets.
    """
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]  # pydantic converts and checks each field
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
        raise ConfigurationError(
            "config_invalid", f"Settings are wrong: {problems}. See the table of variables in docs/operating.md."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not in UTF-8"
        raise ConfigurationError("config_invalid", f"{place.env_file()} cannot be read: {why}.") from None
    addresses.check(settings)
    _ = settings.home_path  # now: what is wrong with it is told before anything starts
    for name, near in variables.misspelt(known(), env_file=place.env_file() if "_env_file" not in overrides else None).items():
        _tell(name, near)
    return settings


@lru_cache
def _tell(name: str, near: str | None) -> None:
    log.warning("%s is no setting%s", name, f": is {near} meant?" if near else "; docs/operating.md lists those that there are.")
