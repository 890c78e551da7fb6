"""What every test shares. Fixtures of one floor live in that floor's own `conftest.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.services.platform import Platform
from tests import capabilities

if TYPE_CHECKING:
    from tests.supabase_server import Supabase


def pytest_configure(config: pytest.Config) -> None:  # noqa: ARG001  # the hook's signature
    """Refuse a misspelt requirement before any test runs."""
    capabilities.required()


def pytest_report_header(config: pytest.Config) -> str:  # noqa: ARG001  # the hook's signature
    """Say at the top what this run may not skip and what it will."""
    missing = sorted(name for name, probe in capabilities.PROBES.items() if probe() is not None)
    required = ", ".join(sorted(capabilities.required())) or "nothing"
    return f"capabilities: required {required}; missing here {', '.join(missing) or 'nothing'}"


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """MEMORY_HOME of this run's own engines: they start with the first test that needs them and stop after the last."""
    capabilities.need("embedded")
    from tests import engines

    with engines.temporary_home() as folder:
        yield folder


@pytest.fixture(scope="session")
def neo4j() -> Iterator[dict[str, Any]]:
    """Settings of the one Neo4j of this run: it starts with the first test that needs it, and each empties it for itself."""
    capabilities.need("neo4j")
    from tests import engines

    with engines.neo4j() as named:
        yield named


@pytest.fixture
def named_graph(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings that name the graph: none for the embedded one, which is meant where a test says nothing. See `engines.ON_EVERY_GRAPH`."""
    engine = getattr(request, "param", "falkordb")
    return {} if engine == "falkordb" else request.getfixturevalue(engine)


@pytest.fixture
def settings(home: Path, named_graph: dict[str, Any]) -> Settings:
    """Settings of the embedded engines and the local models; the environment has no say."""
    from tests import engines

    return engines.settings_for(home, **named_graph)


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    """Open stores without a single row, edge or key: schema, graph and Redis are made anew for each test."""
    from memory_pipelines import wiring
    from tests import engines

    engines.empty(settings)
    fresh = wiring.open_platform(settings)
    try:
        yield fresh
    finally:
        fresh.close()


@pytest.fixture
def client(platform: Platform) -> MemoryClient:
    """A client on `platform`, which closes it."""
    return MemoryClient(platform)


@pytest.fixture(scope="session")
def supabase(home: Path) -> Iterator[Supabase]:
    """Supabase's light server on this run's Postgres, started once: tests may empty the schema, its functions stay."""
    capabilities.need("supabase")
    from memory_pipelines.stores.postgres.migrate import migrate
    from memory_pipelines.wiring import database_url
    from tests import engines, supabase_server

    try:
        supabase_server.installed()
    except RuntimeError as problem:
        if "supabase" in capabilities.required():
            raise
        pytest.skip(f"needs supabase: {problem}")
    url = database_url(engines.settings_for(home))
    migrate(url)
    with supabase_server.running(url) as server:
        yield server


@pytest.fixture
def rest_settings(settings: Settings, supabase: Supabase) -> Settings:
    """The same engines, with the record reached over REST and without its address."""
    from pydantic import SecretStr

    return settings.model_copy(update={"supabase_url": supabase.url, "supabase_key": SecretStr(supabase.secret_key)})
