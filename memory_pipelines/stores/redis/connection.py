"""Opens clients of a Redis, whatever its topology. Nothing connects before the first command.

A cluster's client asks for the topology when it is made, and a Sentinel's with each new connection; both may hang on a
node that is silent, so a client is made on first use, by whoever can wait for it. To add a topology: a branch in `_made`.
Must stay out: what is said to the server.
"""

from __future__ import annotations

import threading
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException
from redis.retry import Retry
from redis.sentinel import Sentinel

from memory_pipelines.stores.redis.address import Address

ERRORS = (redis.RedisError, RedisClusterException)  # the latter is none of the former
_CONNECTING_SECONDS = 2.0


class Connection:
    """A client that is made on first use, once; threads may share it.

    Args:
        address: where the server is.
        timeout: seconds that an answer may take.
        connecting: seconds that a connection may take.
        again: how often a command is sent once more after its connection was found closed.
    """

    def __init__(self, address: Address, *, timeout: float, connecting: float = _CONNECTING_SECONDS, again: int = 1) -> None:
        self._address, self._again = address, again
        # Bytes that are no text are somebody else's entry, malformed; they must not be an exception.
        self._text: dict[str, Any] = {"decode_responses": True, "encoding_errors": "replace", "protocol": 2}
        self._times: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": connecting}
        self._lock = threading.Lock()
        self._client: Any = None

    @property
    def client(self) -> Any:
        """The client: `redis.Redis`, or `RedisCluster`, which has the same methods.

        Raises:
            one of `ERRORS`: it could not find out the topology.
        """
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._made()
        return self._client

    def info(self, section: str, key: str) -> dict[str, Any]:
        """A section of `INFO`; of a cluster, from the node that holds `key`."""
        client = self.client
        if isinstance(client, RedisCluster):
            return dict(client.info(section, target_nodes=client.get_node_from_key(key)))  # type: ignore[no-untyped-call]
        return dict(client.info(section))

    def close(self) -> None:
        """Close the connections; the next use opens them again. A client that is being made is not waited for."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._client is not None:
                self._client.close()
                self._client = None
        finally:
            self._lock.release()

    def _made(self) -> Any:
        address = self._address
        common: dict[str, Any] = {**self._text, **self._times, "username": address.user, "password": address.password}
        encrypted: dict[str, Any] = {"ssl": True, **dict(address.tls_options)} if address.tls else {}
        again = Retry(NoBackoff(), self._again, supported_errors=(redis.ConnectionError,))  # a connection that a restart has closed
        if address.topology == "cluster":
            nodes = [ClusterNode(host, port) for host, port in address.hosts]  # type: ignore[no-untyped-call]
            # Its first repetition is what follows a node that moved or died: the topology is asked for in between.
            return RedisCluster(startup_nodes=nodes, retry=again, **common, **encrypted)
        if address.topology == "sentinel":
            of_sentinels = {
                **self._times, **encrypted, "username": address.sentinel_user, "password": address.sentinel_password,
                "protocol": 2, "retry": Retry(NoBackoff(), 0),
            }  # fmt: skip
            sentinels = Sentinel(address.hosts, sentinel_kwargs=of_sentinels)  # type: ignore[no-untyped-call]
            of_master = {**common, **encrypted, "db": address.db, "retry": again}
            return sentinels.master_for(address.service, **of_master)  # type: ignore[no-untyped-call]
        if address.path is not None:
            return redis.Redis(unix_socket_path=address.path, db=address.db, retry=again, **common)
        ((host, port),) = address.hosts
        return redis.Redis(host, port, db=address.db, retry=again, **common, **encrypted)
