"""What every part of the client stands on: the platform."""

from __future__ import annotations

from memory_pipelines.services.platform import Platform


class Door:
    """Holds the platform that each method hands to a service."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
