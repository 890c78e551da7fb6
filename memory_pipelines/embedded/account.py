"""Whom Postgres runs as. It refuses root, and root is the normal user in a container.

Lives here: the unprivileged account, and opening the way to what it must reach. Must stay out: everything else; Redis and
FalkorDB run as the caller, and without root so does Postgres.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.embedded.sockets import caller

NAME = "memory-pipelines"


@dataclass(frozen=True, slots=True)
class Account:
    """A system account: no password, no shell, no home."""

    uid: int
    gid: int


def unprivileged() -> Account | None:
    """The account for a server that refuses root, made on first need; None when we are not root.

    Raises:
        ConfigurationError: `engine_account`: it is missing and cannot be made.
    """
    if caller() != 0:
        return None
    if found := _find():
        return found
    problem = "there is no useradd"
    if useradd := shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin"):
        made = subprocess.run(
            [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/false", NAME],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        problem = made.stderr.strip()
    if found := _find():  # also when another process made it a moment ago, and useradd therefore failed
        return found
    raise ConfigurationError(
        "engine_account",
        f"Postgres refuses to run as root, and the system account {NAME} could not be made: {problem}. "
        "Make it, run as another user, or set MEMORY_DATABASE_URL.",
    )


def let_through(account: Account, target: Path) -> None:
    """Let `account` reach `target` through the folders above it.

    They may include one that is closed to everybody else, such as a virtual environment or a home below `mktemp -d`. Only
    the traverse bit (o+x) is added, only where it is missing, and only to folders of ours. It lets nobody list, read or
    write anything there: names must be known, and files keep their own permissions.

    Raises:
        ConfigurationError: `engine_account`: a folder on the way is closed and not ours to open.
    """
    for folder in reversed(target.resolve().parents):
        found = folder.stat()
        bit = stat.S_IXUSR if found.st_uid == account.uid else stat.S_IXGRP if found.st_gid == account.gid else stat.S_IXOTH
        if found.st_mode & bit:
            continue
        if found.st_uid != caller():
            raise ConfigurationError(
                "engine_account",
                f"The account {NAME}, which runs Postgres, cannot pass through {folder}, and it is not ours to change. "
                "Allow it (chmod o+x), choose another MEMORY_HOME, or set MEMORY_DATABASE_URL.",
            )
        folder.chmod(stat.S_IMODE(found.st_mode) | bit)


def hand_over(account: Account, folder: Path) -> None:
    """Make `folder` and all in it `account`'s: a rebuilt container may have given the account another number.

    The folder itself comes last, so that an interrupted handing over is noticed and finished.
    """
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in folders + files:
            os.chown(os.path.join(parent, name), account.uid, account.gid, follow_symlinks=False)
    os.chown(folder, account.uid, account.gid)


def _find() -> Account | None:
    import pwd  # not on Windows

    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid)
