"""The folder of Dagster's history and settings (`DAGSTER_HOME`), beside the embedded engines' data.

Lives here: laying out that folder. To change a setting for everyone, edit `dagster.yaml` beside this file.
Must stay out: Dagster itself; whoever only wants the folder should not pay for the import.
"""

import os
from importlib.resources import files
from pathlib import Path

from memory_pipelines.embedded import sockets, unusable

NAME = "dagster.yaml"
SHIPPED = ".dagster.yaml.shipped"
_UNSAFE = frozenset("?#%")  # Dagster puts the path into addresses of SQLite files as it stands


def prepare_home(home: Path) -> Path:
    """Lay out `<home>/dagster` with our settings and return it, to be used as `DAGSTER_HOME`; where Dagster could not use its path, a
    link to it with a plain one.

    A `dagster.yaml` that somebody edited is left alone; one that is still as we wrote it follows the installed version.

    Args:
        home: the folder of the embedded data, `settings.home_path`.

    Raises:
        ConfigurationError: `engine_folder`: nothing can be made in the home, or somebody else has made the folder of that link.
    """
    folder = home.expanduser().absolute() / "dagster"
    try:
        return _laid_out(folder)
    except OSError as error:
        raise unusable(folder.parent, error) from error


def _laid_out(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    shipped = files("memory_pipelines").joinpath(NAME).read_text(encoding="utf-8")
    present, known = _read(folder / NAME), _read(folder / SHIPPED)
    if present is None or present == known:
        _write(folder / SHIPPED, shipped)
        _write(folder / NAME, shipped)
    return _linked(folder) if _UNSAFE & set(str(folder)) else folder


def _linked(folder: Path) -> Path:
    """A link to the folder, in the one of its home's that has a plain path."""
    aside = sockets.short(folder.parent.resolve())
    sockets.private_folder(aside)
    link = aside / "dagster"
    if not link.is_symlink() or link.readlink() != folder:
        partial = aside / f"dagster.{os.getpid()}"
        partial.unlink(missing_ok=True)
        partial.symlink_to(folder)
        partial.replace(link)
    return link


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _write(path: Path, text: str) -> None:
    """Whole or not at all: `dev` and `demo` may lay out the same folder at the same time."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
