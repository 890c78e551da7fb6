"""Where a project keeps its memories: which folder's `.memory` and `.env` are meant when nothing names them.

As with git, a command in a subfolder means the project. Looked at are the folder at hand and those above it, up to the one that holds
`.git`; where there is none, up to the user's home folder, which itself counts only when a command is given there.
Must stay out: reading settings (`settings.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from memory_pipelines.domain.errors import ConfigurationError

HOME = ".memory"
ENV = ".env"


def here() -> Path | None:
    """The folder at hand; None where it has been removed meanwhile."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def named(path: Path, start: Path | None) -> Path:
    """A path as a setting names it, absolute.

    Args:
        path: `~` and `~user` may stand at its beginning.
        start: the folder that a relative one is meant from; None where that is gone.

    Raises:
        ConfigurationError: `config_invalid`: there is no such user, or no such folder.
    """
    try:
        path = path.expanduser()
    except RuntimeError:
        raise ConfigurationError("config_invalid", f"MEMORY_HOME begins with {path.parts[0]}, and there is no such user.") from None
    if path.is_absolute():
        return path
    return _there(start) / path


def home(start: Path | None) -> Path:
    """The folder of the memories: the nearest `.memory` that is there, else the one that belongs at the project's root.

    Args:
        start: the folder at hand; None where that is gone.

    Raises:
        ConfigurationError: `config_invalid`: it is gone.
    """
    start = _there(start)
    folders = list(_upwards(start))
    for folder in folders:
        if (folder / HOME).is_dir() and _is_ours(folder / HOME):
            return folder / HOME
    root = next((folder for folder in reversed(folders) if (folder / ".git").exists()), None)
    root = root or next((folder for folder in folders if (folder / "pyproject.toml").is_file() or (folder / ENV).is_file()), start)
    return root / HOME


def env_file(start: Path | None = None) -> Path | None:
    """The nearest `.env`, or None. In the folder at hand, whoever's it is; above that, only one of ours.

    Args:
        start: the folder at hand; the working folder by default.
    """
    if (start := start or here()) is None:
        return None
    files = ((folder, folder / ENV) for folder in _upwards(start))
    return next((file for folder, file in files if file.is_file() and (folder == start or _is_ours(file))), None)


def _there(start: Path | None) -> Path:
    if start is None:
        raise ConfigurationError("config_invalid", "The working folder is gone: go to another one, or name a whole path in MEMORY_HOME.")
    return start


def _upwards(start: Path) -> Iterator[Path]:
    yield start
    top = Path.home() if "HOME" in os.environ else None
    if (start / ".git").exists() or start == top:
        return
    for folder in start.parents:
        if folder in (top, folder.parent):  # the user's home, and the root of all, are nobody's project
            return
        yield folder
        if (folder / ".git").exists():
            return


def _is_ours(path: Path) -> bool:
    """Whether it is there, and ours. In a folder that everybody can write, somebody else's is not taken for it."""
    try:
        return path.exists() and (not hasattr(os, "geteuid") or path.stat().st_uid == os.geteuid())
    except OSError:
        return False
