"""Opening the platform for one command, from the settings of this process.

Lives here: nothing but opening and closing. Modules are loaded inside the functions, so that `--help` stays quick.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memory_pipelines.client import MemoryClient
    from memory_pipelines.services.platform import Platform


@contextmanager
def open_platform() -> Iterator[Platform]:
    """The platform, closed at the end; what has no URL is embedded, and starts when it is first used."""
    from memory_pipelines import wiring
    from memory_pipelines.config import load

    platform = wiring.open_platform(load())
    try:
        yield platform
    finally:
        platform.close()


@contextmanager
def open_client() -> Iterator[MemoryClient]:
    """The client that programs use, on the same platform."""
    from memory_pipelines.client import MemoryClient

    with MemoryClient.from_env() as client:
        yield client
