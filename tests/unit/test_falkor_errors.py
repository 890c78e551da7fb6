"""Each error that a FalkorDB sends, as the error of ours that it becomes: an outage is charged to nobody, a refusal to its row."""

from __future__ import annotations

import pytest
import redis

from memory_pipelines.domain.errors import ConfigurationError, MemoryPipelinesError, Refused, Unavailable
from memory_pipelines.stores.graph.falkor_transport import FalkorTransport


@pytest.mark.parametrize(
    ("sent", "kind", "ours"),
    [
        (redis.ConnectionError("x"), Unavailable, "graph_unavailable"),
        (redis.BusyLoadingError("Redis is loading the dataset in memory"), Unavailable, "graph_unavailable"),
        (redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), Unavailable, "graph_unavailable"),
        (redis.ReadOnlyError("You can't write against a read only replica."), Unavailable, "graph_unavailable"),
        (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), Unavailable, "graph_unavailable"),
        (redis.ResponseError("MISCONF Redis is configured to save RDB snapshots"), Unavailable, "graph_unavailable"),
        # It became a replica while a statement waited for its turn.
        (
            redis.ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"),
            Unavailable, "graph_unavailable",
        ),
        (redis.AuthenticationError("invalid username-password pair"), ConfigurationError, "graph_unauthorised"),
        (redis.ResponseError("unique constraint violation"), Refused, "graph_error"),
        (redis.ResponseError("errMsg: Invalid input 'M'"), Refused, "graph_error"),
    ],
)  # fmt: skip
def test_what_a_server_says_becomes_an_error_of_ours(sent: redis.RedisError, kind: type[MemoryPipelinesError], ours: str) -> None:
    error = FalkorTransport("falkor://graph.test:6379", "memory")._translate(sent)
    assert isinstance(error, kind)
    assert error.code == ours
