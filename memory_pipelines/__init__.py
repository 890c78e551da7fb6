"""Memory for AI agents: text with vectors and a graph of entities, kept equal and proven so.

    from memory_pipelines import MemoryClient

    with MemoryClient.from_env() as memory:
        memory.save("Mara moved to Lisbon in May.", namespace="mara")
        for hit in memory.search("where does Mara live?", namespace="mara"):
            print(hit.passage)

Only what `__all__` names is public. It is loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memory_pipelines.client import MemoryClient
    from memory_pipelines.config import Settings
    from memory_pipelines.domain.errors import MemoryPipelinesError

__all__ = ["MemoryClient", "MemoryPipelinesError", "Settings", "__version__"]
__version__ = "0.1.0"

_HOMES = {
    "MemoryClient": "memory_pipelines.client",
    "MemoryPipelinesError": "memory_pipelines.domain.errors",
    "Settings": "memory_pipelines.config",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
