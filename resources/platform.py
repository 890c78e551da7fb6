"""The platform as a Dagster resource: opened through `wiring` once per run or sensor tick, and closed with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from memory_pipelines.config import load
from memory_pipelines.services.platform import Platform
from memory_pipelines.wiring import open_platform


class PlatformResource(dg.ConfigurableResource[Any]):
    """Everything a use case needs, behind one name.

    Addresses and keys come from the environment (`MEMORY_*`) when the platform is opened, never from run configuration:
    that is stored in Dagster's history and shown in its UI. What has no address is embedded and started.
    """

    _platform: Platform | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["PlatformResource"]:  # noqa: ARG002  # Dagster's signature
        """Open for one run or one tick. Engines connect on first use."""
        self._platform = open_platform(load())
        try:
            yield self
        finally:
            self._platform.close()
            self._platform = None

    def get(self) -> Platform:
        """The open platform.

        Raises:
            RuntimeError: used outside a run or tick.
        """
        if self._platform is None:
            raise RuntimeError("The platform resource is open only during a run or a sensor tick.")
        return self._platform
