"""Settings, and the names that others build on: documented, and changed only on purpose."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from pydantic import AliasChoices

import memory_pipelines
from memory_pipelines import MemoryClient, Settings
from memory_pipelines.config import load
from memory_pipelines.domain.errors import ConfigurationError

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"


def variables() -> set[str]:
    """Every environment variable that `Settings` reads."""
    found = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        found.add(str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"MEMORY_{name.upper()}")
    return found


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not (field.description or "").endswith(".")] == []


def test_the_page_for_operators_lists_exactly_the_variables_there_are() -> None:
    listed = re.findall(r"^\|([^|]*)\|", PAGE.read_text("utf-8"), re.MULTILINE)
    named = [name for cell in listed for name in re.findall(r"`((?:MEMORY|OPENAI)_[A-Z_]+)`", cell)]
    assert set(named) == variables()
    assert len(named) == len(set(named))


@pytest.mark.parametrize("name", sorted(variables()))
def test_each_variable_is_read_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in variables():
        monkeypatch.delenv(other, raising=False)
    fields = {"OPENAI_API_KEY": "openai_api_key", "OPENAI_BASE_URL": "openai_base_url"}
    monkeypatch.setenv(name, "987")
    settings = Settings(_env_file=None)
    changed = {field for field in Settings.model_fields if getattr(settings, field) != Settings.model_fields[field].default}
    assert changed == {fields.get(name, name.removeprefix("MEMORY_").lower())}


@pytest.mark.parametrize("name", ["database_url", "supabase_key", "redis_url", "graph_url", "graph_password", "openai_api_key"])
def test_a_secret_is_shown_by_nothing(name: str) -> None:
    settings = Settings(_env_file=None, **{name: "hunter2"})
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_a_wrong_value_is_named_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_BATCH_ROWS", "hunter2")
    with pytest.raises(ConfigurationError) as error:
        load(_env_file=None)
    assert error.value.code == "config_invalid"
    assert "batch_rows" in error.value.message
    assert "hunter2" not in error.value.message


def test_nothing_is_read_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEMORY_HOME", str(tmp_path / "first"))
    assert load(_env_file=None).home_path == tmp_path / "first"
    monkeypatch.setenv("MEMORY_HOME", str(tmp_path / "second"))
    assert load(_env_file=None).home_path == tmp_path / "second"


def test_the_public_names_are_these() -> None:
    assert memory_pipelines.__all__ == ["MemoryClient", "MemoryPipelinesError", "Settings", "__version__"]
    for name in memory_pipelines.__all__:
        assert getattr(memory_pipelines, name)
    with pytest.raises(AttributeError):
        memory_pipelines.anything_else  # noqa: B018  # the access is the test


SIGNATURES = {
    "audit": "deep repair incremental resume",
    "audits": "limit",
    "explain": "id text",
    "aliases": "namespace",
    "entity": "name namespace limit",
    "merge_entities": "source target namespace by",
    "unmerge_entity": "name namespace",
    "close": "",
    "dead_letter": "name",
    "dead_letters": "projection limit cursor",
    "drop_dead": "names",
    "retry_dead": "names projection all_of_them accept_empty",
    "forget": "id key namespace thread metadata before wait timeout",
    "count": "namespace thread metadata before",
    "entities": "namespace type prefix limit cursor",
    "maintain": "",
    "namespaces": "",
    "from_env": "settings",
    "get": "id key namespace",
    "health": "",
    "history": "id key namespace",
    "list": "namespace thread metadata created_after created_before limit cursor",
    "plan_repair": "deep last",
    "policies": "",
    "rebuild": "projection drop",
    "repair": "plan",
    "set_policy": "namespace outside_edits",
    "related": "name namespace limit",
    "save": "text namespace key id thread metadata source created_at expires_at entities relations revive wait timeout",
    "save_many": "items revive wait timeout",
    "import_file": "path namespace mapping on_error revive",
    "import_frame": "frame namespace mapping on_error revive",
    "export_file": "path namespace",
    "search": "query namespace limit thread metadata created_after created_before",
    "status": "",
    "sync": "projections",
    "sync_state": "id",
    "update": "id key namespace expected_version wait timeout changes",
}


def test_the_clients_public_methods_and_their_arguments_are_these() -> None:
    found = {}
    for name, method in inspect.getmembers(MemoryClient, callable):
        if not name.startswith("_"):
            found[name] = " ".join(parameter for parameter in inspect.signature(method).parameters if parameter != "self")
            assert method.__doc__, name
    assert found == SIGNATURES
