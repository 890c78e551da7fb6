"""Where `.memory` and `.env` are looked for, which addresses are refused, and variables that are no settings."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from memory_pipelines import wiring
from memory_pipelines.config import Settings, load, misspelt, place, settings
from memory_pipelines.config.settings import known
from memory_pipelines.domain.errors import ConfigurationError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a folder in it, where the user's home is the folder around it."""
    for name in known():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    top = tmp_path / "project"
    (top / "src" / "deep").mkdir(parents=True)
    (top / ".git").mkdir()
    monkeypatch.chdir(top / "src" / "deep")
    return top


def test_a_command_in_a_subfolder_means_the_projects_store(project: Path) -> None:
    assert load().home_path == project / ".memory"
    (project / "pyproject.toml").touch()
    (project / "src" / "pyproject.toml").touch()
    assert load().home_path == project / ".memory", "the repository's root, not that of a package in it"
    (project / "src" / ".memory").mkdir()
    assert load().home_path == project / "src" / ".memory", "one that is there"


def test_nothing_is_looked_for_above_the_checkout_or_in_the_users_home(project: Path, tmp_path: Path) -> None:
    (tmp_path / ".memory").mkdir()
    (tmp_path / ".env").write_text("MEMORY_STREAM_NAME=foreign\n")
    assert (load().home_path, load().stream_name) == (project / ".memory", "memory")
    (project / ".git").rmdir()
    assert (load().home_path, load().stream_name) == (project / "src" / "deep" / ".memory", "memory")


def test_without_git_a_package_or_an_env_file_is_the_root(project: Path) -> None:
    (project / ".git").rmdir()
    (project / "pyproject.toml").touch()
    assert load().home_path == project / ".memory"


def test_the_projects_env_file_is_read_and_its_paths_are_meant_from_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".env").write_text("MEMORY_HOME=data/store\nMEMORY_BATCH_ROWS=7\n")
    assert (load().home_path, load().batch_rows) == (project / "data" / "store", 7)
    assert Settings().home_path == project / "data" / "store"
    assert load(_env_file=None).batch_rows == 1000
    monkeypatch.setenv("MEMORY_HOME", "elsewhere")
    assert load().home_path == project / "src" / "deep" / "elsewhere", "the environment wins, from the folder at hand"


def test_a_store_of_somebody_else_is_not_taken(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".memory").mkdir()
    monkeypatch.setattr("os.geteuid", lambda: project.stat().st_uid + 1)
    assert place.home(project / "src") == project / ".memory", "as the place for one"
    assert place._is_ours(project / ".memory") is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("database_url", "mysql://u:hunter2@h/db"), ("database_url", "postgresql//u:hunter2@h"), ("redis_url", "http://hunter2@h"),
        ("graph_url", "https://hunter2@h"), ("graph_url", "hunter2"), ("supabase_url", "ftp://hunter2"),
        ("supabase_url", "hunter2.supabase.co"), ("database_url", "sqlite:///hunter2"),
    ],
)  # fmt: skip
def test_an_address_of_no_known_form_is_refused_at_once_and_not_repeated(field: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        load(_env_file=None, **{field: value, "supabase_key": "x"})
    assert error.value.code == "config_invalid"
    assert f"MEMORY_{field.upper()}" in error.value.message
    assert "://" in error.value.message
    assert "hunter2" not in str(error.value.as_dict())


@pytest.mark.parametrize("field", ["database_url", "redis_url", "graph_url"])
@pytest.mark.parametrize("value", ["memory://x", "memory://", "MEMORY://x"])
def test_an_address_in_memory_is_told_what_takes_its_place(field: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        load(_env_file=None, **{field: value})
    assert error.value.code == "config_invalid"
    for told in (f"MEMORY_{field.upper()} is", "variable unset", "embedded", "temporary folder as MEMORY_HOME"):
        assert told in error.value.message


def test_settings_made_by_hand_are_refused_wherever_they_are_used() -> None:
    made = Settings(_env_file=None, graph_url="memory://x")  # type: ignore[call-arg]  # pydantic's own
    for use in (wiring.open_platform, wiring.diagnose):
        with pytest.raises(ConfigurationError, match="MEMORY_GRAPH_URL is `memory://`"):
            use(made)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("database_url", "host=/tmp dbname=x"), ("database_url", "postgres://h/x"), ("graph_url", "/tmp/x y.sock"), ("graph_url", "bolt+ssc://h"),
        ("redis_url", "redis+sentinel://a,b/s"), ("supabase_url", "http://127.0.0.1:8000"),
    ],
)  # fmt: skip
def test_every_form_that_there_is_is_let_through(field: str, value: str) -> None:
    assert load(_env_file=None, **{field: value})


def test_a_misspelt_variable_is_named_with_the_near_one_once(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings._tell.cache_clear()
    monkeypatch.setenv("MEMORY_DATABSE_URL", "x")
    monkeypatch.setenv("MEMORY_TESTS_REQUIRE", "x")
    (project / ".env").write_text("MEMORY_GRAPH_PASWORD=hunter2\nMEMORY_SERVICE_PASSWORD=hunter2\nOTHER=1\n")
    with caplog.at_level(logging.WARNING):
        load()
        load()
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "MEMORY_DATABSE_URL is no setting: is MEMORY_DATABASE_URL meant?",
        "MEMORY_GRAPH_PASWORD is no setting: is MEMORY_GRAPH_PASSWORD meant?",
    ]
    assert misspelt(known(), {"MEMORY_COLOUR_OF_THE_SKY": "blue"}) == {"MEMORY_COLOUR_OF_THE_SKY": None}


def test_a_variable_that_is_set_to_nothing_is_not_set(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MEMORY_HOME", "MEMORY_REDIS_URL", "MEMORY_BATCH_ROWS"):
        monkeypatch.setenv(name, "")
    assert (load().home_path, load().redis_url, load().batch_rows) == (project / ".memory", None, 1000)


def test_a_home_stays_what_it_was_when_the_program_changes_its_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, named = load(), load(home=Path("here"))
    monkeypatch.chdir("/")
    assert found.home_path == project / ".memory"
    assert named.home_path == project / "src" / "deep" / "here"


def test_an_env_file_above_that_is_somebody_elses_is_not_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".env").write_text("MEMORY_STREAM_NAME=theirs\n")
    monkeypatch.setattr("os.geteuid", lambda: project.stat().st_uid + 1)
    assert load().stream_name == "memory"
    monkeypatch.chdir(project)
    assert load().stream_name == "theirs", "in the folder at hand it is what the user sees"


def test_an_env_file_that_cannot_be_read_is_named(project: Path) -> None:
    (project / ".env").write_bytes(b"MEMORY_GRAPH_NAME=\xe9\n")
    with pytest.raises(ConfigurationError, match="UTF-8") as error:
        load()
    assert error.value.code == "config_invalid"
    assert str(project / ".env") in error.value.message


def test_a_home_of_a_user_that_there_is_not_is_named(project: Path) -> None:
    with pytest.raises(ConfigurationError, match="MEMORY_HOME") as error:
        load(home=Path("~nobody-of-that-name/x"))
    assert error.value.code == "config_invalid"
    (project / ".env").write_text("MEMORY_HOME=~nobody-of-that-name/x\n")
    with pytest.raises(ConfigurationError, match="MEMORY_HOME"):
        load()


def test_a_folder_at_hand_that_is_gone_is_named(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        for given in ({}, {"home": Path("relative")}):
            with pytest.raises(ConfigurationError, match="working folder") as error:
                load(**given)
            assert error.value.code == "config_invalid"
        assert load(home=tmp_path / "home").home_path == tmp_path / "home"
    finally:
        monkeypatch.chdir(project)


def test_variables_of_others_with_our_prefix_are_left_alone() -> None:
    theirs = ("MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "MEMORY_FAILPOINT", "MEMORY_TESTS_REQUIRE", "MEMORY_SERVICE_PASSWORD")
    assert misspelt(known(), dict.fromkeys(theirs, "x")) == {}
