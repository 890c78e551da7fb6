"""The platform as a Dagster resource: opened through `wiring` once per run or sensor tick, and closed with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import dagster as dg
from pydantic import PrivateAttr

from memory_pipelines.config import Settings, load
from memory_pipelines.services.platform import Platform
from memory_pipelines.wiring import open_platform


class PlatformResource(dg.ConfigurableResource[Any]):
    """Everything a use case needs, behind one name.

    Addresses and keys come from the environment (`MEMORY_*`) when the platform is opened, or were given to `platform_resource`; never from
    run configuration: that is stored in Dagster's history and shown in its UI. What has no address is embedded and started.
    """

    given: ClassVar[Settings | None] = None
    _platform: Platform | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["PlatformResource"]:  # noqa: ARG002  # Dagster's signature
        """Open for one run or one tick. Engines connect on first use."""
        self._platform = open_platform(self.given or load())
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


def platform_resource(settings: Settings | None = None) -> PlatformResource:
    """The platform of some settings; of the environment's, read at each opening, by default.

    They are kept by a class of their own: Dagster makes resources anew for every run, from their configuration and nothing else.
    """
    if settings is None:
        return PlatformResource()
    whole = settings.model_copy(update={"home": settings.home_path})  # a run may have another working directory

    class GivenPlatformResource(PlatformResource):
        __doc__ = PlatformResource.__doc__
        given = whole

    return GivenPlatformResource()
