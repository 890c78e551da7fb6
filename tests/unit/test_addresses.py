"""Addresses and places that nothing can be reached by: refused in words, before anything starts, and without what may be a password."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from memory_pipelines.config import Settings, load
from memory_pipelines.dagster_home import prepare_home
from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.services import status
from memory_pipelines.stores.graph.falkor_transport import FalkorTransport
from memory_pipelines.stores.postgres import migrate
from memory_pipelines.stores.postgres.psycopg_transport import PsycopgTransport
from memory_pipelines.wiring import diagnose

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("graph_url", f"falkor://:{SECRET}@h:abc", "port"), ("graph_url", f"falkor://:{SECRET}@h:99999", "port"),
        ("graph_url", f"bolt://u:{SECRET}@h:abc", "port"), ("graph_url", f"bolt://u:{SECRET}@[::1", "no address"),
        ("graph_url", f"bolt://u:{SECRET}#1@h", "%23"), ("graph_url", "bolt://", "no host"), ("graph_url", "unix://", "three slashes"),
        ("graph_url", "unix://tmp/x.sock", "three slashes"), ("supabase_url", "http://h:abc", "port"),
        ("supabase_url", "http://[::1", "no address"),
        ("supabase_url", "https://", "no host"), ("database_url", f"postgresql://u:{SECRET}@[::1/x", "no address"),
    ],
)  # fmt: skip
def test_an_address_that_no_driver_could_take_apart_is_refused(field: str, value: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        load(_env_file=None, **{field: value, "supabase_key": "x"})
    assert (error.value.code, error.value.message.split()[0]) == ("config_invalid", f"MEMORY_{field.upper()}")
    assert said in error.value.message
    assert SECRET not in str(error.value.as_dict())


@pytest.mark.parametrize("host", ["a:1,b:2", "[::1]:5432", "", "%2Ftmp%2Fx"])
def test_what_libpq_takes_is_let_through(host: str) -> None:
    url = f"postgresql://u:p@{host}/x?target_session_attrs=read-write"
    load(_env_file=None, database_url=url)
    PsycopgTransport(url).close()


def test_the_address_of_a_model_is_looked_at_where_one_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "mysql://h")
    load(_env_file=None)  # somebody else's business
    with pytest.raises(ConfigurationError, match=r"^OPENAI_BASE_URL .*mysql.*https://"):
        load(_env_file=None, embedder="openai")


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}@h?nosuch=1",
        f"POSTGRESQL://u:{SECRET}@h/x",
        f"host=h password={SECRET} what",
        f"postgresql://u:{SECRET}@h:abc/x",
    ],
)
def test_what_libpq_cannot_read_is_refused_at_once_and_not_repeated(url: str) -> None:
    for takes in (PsycopgTransport, migrate.migrate, lambda given: diagnose(Settings(_env_file=None, database_url=given))):
        with pytest.raises(ConfigurationError) as error:
            takes(url)
        assert error.value.code == "config_invalid"
        assert "MEMORY_DATABASE_URL" in error.value.message
        assert SECRET not in f"{error.value.as_dict()} {error.value.__cause__!r}"


def test_status_shows_where_a_database_is_and_not_its_password() -> None:
    forms = {
        f"host=db.example password={SECRET}": "db.example",
        f"password='{SECRET} x' host = '/a b'": "/a b",
        f"password={SECRET}": "postgres",
    }
    for text, shown in forms.items():
        assert status._address(SecretStr(text)) == shown


def test_a_sockets_path_may_begin_in_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert FalkorTransport("~/x y.sock", "g")._where == "/somewhere/x y.sock"


def test_dagsters_folder_cannot_be_made_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for home in (file, file / "below"):
        with pytest.raises(ConfigurationError, match="MEMORY_HOME") as error:
            prepare_home(home)
        assert error.value.code == "engine_folder"


def test_doctor_says_that_a_home_cannot_be_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for home, state in ((file, "error"), (file / "below", "error"), (tmp_path / "new" / "home", "ok"), (tmp_path, "ok")):
        found = {check.name: check for check in diagnose(Settings(_env_file=None, home=home))}["settings.home"]
        assert (found.state, str(home) in found.seen, bool(found.fix)) == (state, True, state == "error")
