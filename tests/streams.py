"""Every transport of the event stream, for the suite that all of them pass, and what can happen to each behind its clients' back.

To add one: a context manager that yields a `Place`, and its line in `TRANSPORTS`. Must stay out: assertions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import redis
from redis.cluster import RedisCluster

from memory_pipelines import embedded
from memory_pipelines.ports import EventStream
from memory_pipelines.stores.redis import keys
from memory_pipelines.stores.redis.streams import RedisStream
from tests import redis_servers
from tests.redis_servers import PASSWORD, SERVICE

PREFIX = "contract"
USER = "carrier"
SECRET = quote(PASSWORD, safe="")


class Behind(Protocol):
    """What a client of ours would never do."""

    def empty(self) -> None:
        """Drop everything."""
        ...

    def forget_group(self, group: str) -> None: ...

    def add(self, fields: Mapping[str | bytes, str | bytes]) -> None:
        """Add an entry of any shape."""
        ...

    def kept(self) -> list[str]:
        """Id of the first subject of each entry that is there, oldest first."""
        ...

    def blocked(self) -> int:
        """How many clients wait for something to come."""
        ...

    def full(self) -> AbstractContextManager[None]:
        """Meanwhile it takes nothing."""
        ...


@dataclass(frozen=True)
class Place:
    """Where a stream is."""

    server: str
    open: Callable[[], EventStream]
    behind: Behind


class BehindRedis:
    """`Behind` of a Redis: `nodes` are its servers, one of which holds the stream."""

    def __init__(self, client: Any, *nodes: redis.Redis) -> None:
        self._client, self._nodes = client, nodes or (client,)
        self._key = keys.stream(PREFIX)

    def empty(self) -> None:
        for node in self._nodes:
            node.flushall()

    def forget_group(self, group: str) -> None:
        self._client.xgroup_destroy(self._key, group)

    def add(self, fields: Mapping[str | bytes, str | bytes]) -> None:
        self._client.xadd(self._key, fields)

    def kept(self) -> list[str]:
        return [json.loads(fields["refs"])[0][1] for _, fields in self._client.xrange(self._key)]

    def blocked(self) -> int:
        return sum(int(node.info("clients")["blocked_clients"]) for node in self._nodes)  # type: ignore[arg-type, index]

    @contextmanager
    def full(self) -> Iterator[None]:
        for node in self._nodes:
            node.config_set("maxmemory", "1")
        try:
            yield
        finally:
            for node in self._nodes:
                node.config_set("maxmemory", "0")


@contextmanager
def by_socket(home: Path) -> Iterator[Place]:
    """The embedded Redis, on its unix socket."""
    url = embedded.up(home, ("redis",)).redis_url
    with redis.Redis.from_url(url, decode_responses=True) as admin:
        yield Place("Redis", lambda: RedisStream(url, PREFIX), BehindRedis(admin))


@contextmanager
def by_network(home: Path) -> Iterator[Place]:
    """TCP, as a user who may do what the stream needs and no more."""
    del home
    with redis_servers.server(*limited()) as server:
        url = f"redis://{USER}:{SECRET}@127.0.0.1:{server.port}"
        yield Place("Redis", lambda: RedisStream(url, PREFIX), BehindRedis(server.admin))


@contextmanager
def by_tls(home: Path) -> Iterator[Place]:
    """TLS with a certificate of one's own, by name, and a database that is not the first."""
    del home
    with redis_servers.server() as server, redis_servers.encrypted(server.port) as (port, certificate):
        url = f"rediss://:{SECRET}@localhost:{port}/3"
        with redis.Redis("127.0.0.1", server.port, db=3, password=PASSWORD, decode_responses=True) as admin:
            yield Place("Redis", lambda: RedisStream(url, PREFIX, certificates=certificate), BehindRedis(admin))


@contextmanager
def by_sentinel(home: Path) -> Iterator[Place]:
    """The master that a Sentinel names; the first Sentinel of the address is not there."""
    del home
    with redis_servers.watched(*limited()) as watched:
        sentinels = f"127.0.0.1:{redis_servers.free_port()},127.0.0.1:{watched.sentinel.port}"
        url = f"redis+sentinel://{USER}:{SECRET}@{sentinels}/{SERVICE}?sentinel_password={SECRET}"
        yield Place("Redis by Sentinel", lambda: RedisStream(url, PREFIX), BehindRedis(watched.master.admin))


@contextmanager
def by_cluster(home: Path) -> Iterator[Place]:
    """Three masters; the first node of the address is not there."""
    del home
    with redis_servers.cluster(*limited()) as nodes:
        places = f"127.0.0.1:{redis_servers.free_port()},127.0.0.1:{nodes[0].port}"
        url = f"redis+cluster://{USER}:{SECRET}@{places}"
        admin = RedisCluster(host="127.0.0.1", port=nodes[0].port, password=PASSWORD, decode_responses=True)
        try:
            yield Place("Redis Cluster", lambda: RedisStream(url, PREFIX), BehindRedis(admin, *(node.admin for node in nodes)))
        finally:
            admin.close()


def limited() -> list[str]:
    """Options of a server that knows a user for the stream of these tests alone."""
    return redis_servers.account(USER, keys.stream(PREFIX))


TRANSPORTS: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {
    "socket": by_socket,
    "network": by_network,
    "tls": by_tls,
    "sentinel": by_sentinel,
    "cluster": by_cluster,
}
