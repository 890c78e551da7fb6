"""Every Redis key and lifetime, in one place. All keys share a hash tag, so that a cluster keeps them on one node."""

from __future__ import annotations

STREAM_LENGTH = 1_000_000  # entries; a last bound on memory. At it, publishing pauses: nothing unsettled is trimmed, and the ledger owes.
STREAM_LOOK_EVERY = 1000  # events that a process publishes between two looks at the stream's length
PUBLISH_SECONDS = 0.1  # a save waits for Redis at most so long
BREAKER_ANSWER_SECONDS = 0.5  # whoever asks for the shared state of a breaker waits at most so long, then goes by its own
PROBE_SECONDS = 1.0  # an event on its way over a network, which no save waits for any more, is given up after so long without an answer
BREAKER_SECONDS = 5.0  # after that Redis counts as away, and is tried again so often, by the way
SILENCE_SECONDS = 3.0  # a Redis that says nothing for so long, beyond what it was asked to wait, is away
LONGEST_BLOCK_SECONDS = 5.0  # a reader that waits looks up so often
DEAD_CONSUMER_SECONDS = 30.0  # an entry unacknowledged for so long belongs to a consumer that died

FULL = (
    "The stream is at its bound because a group has not settled what is in it: nothing more is published, nothing is lost, and changes are"
    " found in the ledger, more slowly. Let every projection's drain run; delete groups that nobody reads (XGROUP DESTROY)."
)


def stream(prefix: str) -> str:
    """The stream of changed subjects, one consumer group per projection. Lives until trimmed behind all groups."""
    return f"{{{prefix}}}:events"


def breaker(prefix: str, name: str) -> str:
    """The state of a dependency's breaker, a hash. Lives until the breaker closes, or a failure is followed by a success."""
    return f"{{{prefix}}}:breaker:{name}"


def breaker_pause(prefix: str, name: str) -> str:
    """There while nobody may probe a dependency whose breaker is open. Lives for the breaker's period."""
    return f"{{{prefix}}}:breaker:{name}:pause"
