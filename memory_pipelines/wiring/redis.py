"""What Redis carries: the stream of events, and the breakers that processes share.

To add something that it carries, add an `open_…` function. Must stay out: use cases.
"""

from __future__ import annotations

from memory_pipelines.config import Settings
from memory_pipelines.domain.errors import MemoryPipelinesError
from memory_pipelines.ports import BreakerStore, EventStream
from memory_pipelines.wiring.addresses import started


def open_stream(settings: Settings) -> EventStream:
    """The event stream; an embedded Redis is started."""
    from memory_pipelines.stores.redis.streams import RedisStream

    url = started(settings, "redis").redis_url if settings.redis_url is None else settings.redis_url.get_secret_value()
    return RedisStream(url, settings.stream_name, certificates=settings.redis_certificates if settings.redis_url else None)


def open_local_breakers() -> BreakerStore:
    """The state of breakers that are this process's alone."""
    from memory_pipelines.stores.local.breakers import LocalBreakers

    return LocalBreakers()


def open_breakers(settings: Settings) -> BreakerStore:
    """The state of breakers that processes share; local where Redis cannot run here, for a breaker never stands in the way."""
    from memory_pipelines.stores.local.breakers import LocalBreakers
    from memory_pipelines.stores.redis.breakers import RedisBreakers

    if settings.redis_url is None:
        try:
            url = started(settings, "redis").redis_url
        except MemoryPipelinesError:  # it cannot run here; a breaker never stands in the way
            return LocalBreakers()
    else:
        url = settings.redis_url.get_secret_value()
    return RedisBreakers(url, settings.stream_name, certificates=settings.redis_certificates if settings.redis_url else None)
