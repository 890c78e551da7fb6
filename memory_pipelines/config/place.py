"""Where a project keeps its memories: which folder's `.memory` and `.env` are meant when nothing names them.

As with git, a command in a subfolder means the project. Looked at are the folder at hand and those above it, up to the one that holds
`.git`; where there is none, up to the user's home folder, which itself counts only when a command is given there.
Must stay out: reading settings (`settings.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

HOME = ".memory"
ENV = ".env"


def home(start: Path | None = None) -> Path:
    """The folder of the memories: the nearest `.memory` that is there, else the one that belongs at the project's root.

    Args:
        start: the folder at hand; the working directory by default.
    """
    here = (start or Path.cwd()).absolute()
    folders = list(_upwards(here))
    for folder in folders:
        if _is_ours(folder / HOME):
            return folder / HOME
    root = next((folder for folder in reversed(folders) if (folder / ".git").exists()), None)
    root = root or next((folder for folder in folders if (folder / "pyproject.toml").is_file() or (folder / ENV).is_file()), here)
    return root / HOME


def env_file(start: Path | None = None) -> Path | None:
    """The nearest `.env`, or None."""
    return next((folder / ENV for folder in _upwards((start or Path.cwd()).absolute()) if (folder / ENV).is_file()), None)


def _upwards(here: Path) -> Iterator[Path]:
    yield here
    top = Path.home() if "HOME" in os.environ else None
    if (here / ".git").exists() or here == top:
        return
    for folder in here.parents:
        if folder in (top, folder.parent):  # the user's home, and the root of all, are nobody's project
            return
        yield folder
        if (folder / ".git").exists():
            return


def _is_ours(folder: Path) -> bool:
    """Whether a store of ours is there. In a folder that everybody can write, somebody else's is not taken for it."""
    try:
        return folder.is_dir() and (not hasattr(os, "geteuid") or folder.stat().st_uid == os.geteuid())
    except OSError:
        return False
