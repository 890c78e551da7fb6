"""Sensors and runs with the record behind REST: the environment names no database."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
import pytest

from memory_pipelines import MemoryClient
from memory_pipelines.definitions import defs
from memory_pipelines.resources.platform import PlatformResource
from tests.orchestration.conftest import checks_of, metadata_of
from tests.supabase_server import Supabase

Execute = Callable[..., dg.ExecuteInProcessResult]


def test_a_save_is_noticed_drained_and_audited(
    client: MemoryClient,
    supabase: Supabase,
    environment: pytest.MonkeyPatch,
    execute: Execute,
    instance: dg.DagsterInstance,
    resource: dict[str, PlatformResource],
) -> None:
    client.status()  # brings the schema, over the direct address
    environment.setenv("MEMORY_SUPABASE_URL", supabase.url)
    environment.setenv("MEMORY_SUPABASE_KEY", supabase.secret_key)
    with MemoryClient.from_env() as rest:
        rest.save("Ada Lovelace met Charles Babbage in London.")
        with dg.build_sensor_context(instance=instance, resources=resource) as context:
            answer = defs.resolve_sensor_def("graph_queue")(context)
        assert isinstance(answer, dg.SensorResult)
        assert len(answer.run_requests or []) == 1
        done = execute("sync_everything")
        assert metadata_of(done, "knowledge_graph")["still_owed"] == 0
        assert set(checks_of(done).values()) == {True}
        assert rest.audit(deep=True).findings == ()
        assert "Charles Babbage" in {other.name for other in rest.related("Ada Lovelace").neighbours}
