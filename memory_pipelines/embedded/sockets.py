"""Where the unix sockets lie, who may reach them, and how to knock.

Must stay out: what an engine says through its socket; that is the engine's file.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from memory_pipelines.domain.errors import ConfigurationError

# The kernel keeps a socket's path in 108 bytes (Linux) or 104 (macOS), its end marker included.
PATH_LIMIT = 100
_LONGEST = "/postgres/.s.PGSQL.5432"
# Lists of folders are split at these by libpq and by Postgres.
_UNSAFE = set(',"\\\n')
# Traversing may have been opened for the account that runs Postgres (account.py); reading and writing never.
_OTHERS = 0o066


def base(home: Path) -> Path:
    """The folder that holds each engine's folder with its socket: `home`, or a short one where home's path is too long."""
    if len(os.fsencode(home)) + len(_LONGEST) <= PATH_LIMIT and not _UNSAFE & set(str(home)):
        return home
    return short(home)


def short(home: Path) -> Path:
    """A folder with a short and plain path that stands for `home`.

    It depends on nothing but the home and the user, because every process must come to the same answer. That is why it
    is below /tmp itself: TMPDIR and XDG_RUNTIME_DIR differ between a terminal, cron and a service, and the
    latter vanishes at logout while the servers live on.
    """
    return Path("/tmp") / f"memory-pipelines-{caller()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"


def caller() -> int:
    """The user id we run as; 0 where there is no such thing."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def private_folder(path: Path, owner: int | None = None) -> None:
    """Make `path` if missing, for its owner only, and refuse one that somebody else could have prepared for us.

    Args:
        path: the folder; its parent exists.
        owner: user id to give it to; None keeps it ours.

    Raises:
        ConfigurationError: `engine_folder`: it is a link, not a folder, or another user's.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    wanted = caller() if owner is None else owner
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {caller(), wanted}:
        raise _not_ours(path, wanted)
    if found.st_uid != wanted:
        os.chown(path, wanted, -1)
    if found.st_mode & _OTHERS:
        path.chmod(0o700)


def refuse_foreign(home: Path) -> None:
    """Refuse a short socket folder that another user put where ours would be. Every process checks before it connects.

    Raises:
        ConfigurationError: `engine_folder`.
    """
    aside = base(home)
    if aside == home:
        return
    with suppress(FileNotFoundError):
        found = aside.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != caller() or found.st_mode & _OTHERS:
            raise _not_ours(aside, caller())


def knock(path: Path, message: bytes = b"", seconds: float = 1.0) -> bytes | None:
    """Connect, say `message` and return the first bytes of the reply; b"" when there is nothing to say or no reply in time.

    Returns:
        None when nobody listens.

    Raises:
        ConfigurationError: `engine_denied`: the server belongs to another user.
    """
    if not hasattr(socket, "AF_UNIX"):
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(seconds)
        try:
            client.connect(os.fspath(path))
            if not message:
                return b""
            client.sendall(message)
            return client.recv(64)
        except PermissionError as error:
            raise ConfigurationError(
                "engine_denied", f"{path} belongs to another user. Run as the user who started the engines, or choose another MEMORY_HOME."
            ) from error
        except (TimeoutError, BlockingIOError):  # connected or queued, but no answer: busy
            return b""
        except OSError:  # no socket, a leftover one, or its server went away while we spoke
            return None


def _not_ours(path: Path, owner: int) -> ConfigurationError:
    return ConfigurationError(
        "engine_folder",
        f"{path} must be a folder of user {owner} that nobody else can read, and is not. Remove it, or choose another MEMORY_HOME.",
    )
