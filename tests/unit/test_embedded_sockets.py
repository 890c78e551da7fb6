"""Where the sockets lie, and who is let near them; needs folders, no servers."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.embedded import addresses, sockets
from memory_pipelines.embedded.account import Account, let_through

LONG = Path("/nowhere") / ("x" * 120)


def test_a_short_home_holds_its_own_sockets() -> None:
    home = Path("/nowhere/home")
    assert sockets.base(home) == home


@pytest.mark.parametrize("home", [LONG, Path("/nowhere") / ("ä" * 50), Path("/nowhere/a,b"), Path('/nowhere/a"b')])
def test_a_home_that_cannot_hold_sockets_has_them_in_a_short_folder_of_its_own(home: Path) -> None:
    short = sockets.base(home)
    assert short != home
    assert short == sockets.base(home)
    assert short != sockets.base(home / "other")
    assert len(os.fsencode(short / "postgres" / ".s.PGSQL.5432")) <= sockets.PATH_LIMIT


def test_the_longest_home_that_holds_its_sockets_stays_within_the_limit() -> None:
    homes = [Path("/" + "x" * length) for length in range(1, 120)]
    paths = [os.fsencode(sockets.base(home) / "postgres" / ".s.PGSQL.5432") for home in homes]
    assert max(map(len, paths)) == sockets.PATH_LIMIT


def test_addresses_start_nothing_and_quote_the_path(tmp_path: Path) -> None:
    home = tmp_path / "a b#c?d%e"
    found = addresses(home)
    assert not home.exists()
    assert unquote(urlsplit(found.redis_url).path) == str(sockets.base(home.resolve()) / "redis" / "redis.sock")
    assert not urlsplit(found.graph_url).fragment
    assert found.database_url.startswith("postgresql://postgres@/memory?host=/")


def test_every_way_of_writing_a_home_leads_to_the_same_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    assert addresses(Path("home")) == addresses(tmp_path / "home") == addresses(tmp_path / "x" / ".." / "link")


def test_a_private_folder_is_closed_to_others_even_if_it_was_open(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    sockets.private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_link_in_place_of_a_private_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(ConfigurationError) as caught:
        sockets.private_folder(tmp_path / "link")
    assert caught.value.code == "engine_folder"


@pytest.mark.parametrize("spoil", ["link", "open", "file"])
def test_a_short_folder_that_others_could_have_made_is_refused_before_connecting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    short = tmp_path / "short"
    monkeypatch.setattr(sockets, "base", lambda _home: short)
    sockets.refuse_foreign(LONG)  # missing is fine: it will be made
    if spoil == "link":
        short.symlink_to(tmp_path)
    elif spoil == "open":
        short.mkdir()
        short.chmod(0o755)
    else:
        short.touch()
    with pytest.raises(ConfigurationError) as caught:
        sockets.refuse_foreign(LONG)
    assert caught.value.code == "engine_folder"


def test_only_the_traverse_bit_is_added_and_only_where_it_is_missing(tmp_path: Path) -> None:
    target = tmp_path / "closed" / "open" / "target"
    target.mkdir(parents=True)
    modes = {tmp_path / "closed": 0o700, tmp_path / "closed" / "open": 0o750, target: 0o700}
    for folder, mode in modes.items():
        folder.chmod(mode)
    stranger = 54321
    let_through(Account(stranger, stranger), target)
    found = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in modes}
    assert found == {tmp_path / "closed": 0o701, tmp_path / "closed" / "open": 0o751, target: 0o700}


@pytest.mark.skipif(sockets.caller() != 0, reason="only root can give a folder away")
def test_a_closed_folder_of_somebody_else_is_named_not_changed(tmp_path: Path) -> None:
    target = tmp_path / "theirs" / "target"
    target.mkdir(parents=True)
    target.parent.chmod(0o700)
    os.chown(target.parent, 12345, 12345)
    with pytest.raises(ConfigurationError, match="theirs"):
        let_through(Account(54321, 54321), target)
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700
