"""Every Redis key and lifetime, in one place. All keys share a hash tag, so that a cluster keeps them on one node."""

from __future__ import annotations

STREAM_LENGTH = 1_000_000  # entries; a last bound on memory. What is trimmed is still owed in the ledger.
PUBLISH_SECONDS = 0.1  # a save waits for Redis at most so long
PROBE_SECONDS = 1.0  # an event on its way over a network, which no save waits for any more, is given up after so long without an answer
BREAKER_SECONDS = 5.0  # after that Redis counts as away, and is tried again so often, by the way
SILENCE_SECONDS = 3.0  # a Redis that says nothing for so long, beyond what it was asked to wait, is away
LONGEST_BLOCK_SECONDS = 5.0  # a reader that waits looks up so often
DEAD_CONSUMER_SECONDS = 30.0  # an entry unacknowledged for so long belongs to a consumer that died


def stream(prefix: str) -> str:
    """The stream of changed subjects, one consumer group per projection. Lives until trimmed behind all groups."""
    return f"{{{prefix}}}:events"
