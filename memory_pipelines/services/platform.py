"""What a service is given: the open stores, the models and the settings. Built by `wiring`, by nobody else.

Attributes open on first use (a client that only saves never opens the graph or loads a model), so this is a
Protocol with properties rather than a bag of open connections.
"""

from __future__ import annotations

from typing import Protocol

from memory_pipelines.config import Settings
from memory_pipelines.ports import BreakerStore, Embedder, EventStream, Extractor, GraphStore, RecordStore


class Platform(Protocol):
    """Everything a use case needs."""

    @property
    def settings(self) -> Settings: ...

    @property
    def record(self) -> RecordStore: ...

    @property
    def graph(self) -> GraphStore: ...

    @property
    def stream(self) -> EventStream: ...

    @property
    def embedder(self) -> Embedder: ...

    @property
    def extractor(self) -> Extractor: ...

    @property
    def breakers(self) -> BreakerStore: ...

    @property
    def local_breakers(self) -> BreakerStore: ...

    def close(self) -> None: ...
