"""`MemoryClient`: the door for agents. One line each into the services; no logic of its own.

A method stands in the file of its kind: `writing`, `files`, `reading`, `naming`, `keeping`, `repairing`, `dead_letters`. Importing it loads
neither Dagster nor pandas nor a model: engines are opened and models loaded when first needed.
"""

from __future__ import annotations

from types import TracebackType

from memory_pipelines import wiring
from memory_pipelines.client.dead_letters import DeadLetters
from memory_pipelines.client.files import Files
from memory_pipelines.client.keeping import Keeping
from memory_pipelines.client.naming import Naming
from memory_pipelines.client.reading import Reading
from memory_pipelines.client.repairing import Repairing
from memory_pipelines.client.writing import Writing
from memory_pipelines.config import Settings, load


class MemoryClient(Writing, Files, Reading, Naming, Keeping, Repairing, DeadLetters):
    """Save, find and forget memories. Safe to share between threads; use it as a context manager, or call `close`.

    Every method raises `MemoryPipelinesError` and nothing else on purpose: see `memory_pipelines.domain.errors`.
    """

    @classmethod
    def from_env(cls, settings: Settings | None = None) -> MemoryClient:
        """Open a client on what the environment names; what has no URL is embedded and started.

        Args:
            settings: instead of the environment.

        Raises:
            ConfigurationError: a setting is wrong, or an engine cannot be embedded here.
        """
        return cls(wiring.open_platform(settings or load()))

    def __enter__(self) -> MemoryClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection. Embedded engines go on running until `memory-pipelines down`."""
        self._platform.close()


__all__ = ["MemoryClient"]
