"""Holding a lease while something is done: taken, renewed from a thread of its own, given back.

What is done hands the lease to the function that stores it, and is refused there once another was granted it. So a process that was
paused past its lease, and does not know, changes nothing. To guard something new: `with hold(platform, "subject") as lease`, and
`memory.check_lease` in the function that stores. Must stay out: anything that trusts a lease without presenting it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uuid_utils
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from memory_pipelines.domain.errors import Conflict, Unavailable
from memory_pipelines.domain.models import Lease
from memory_pipelines.services.platform import Platform

MAINTENANCE = "maintenance"
RESTORE = "restore"


def merging(namespace: str) -> str:
    """The lease under which entities of a namespace are merged."""
    return f"entities of {namespace}"


@contextmanager
def hold(platform: Platform, name: str, *, wait_seconds: float = 0.0) -> Iterator[Lease]:
    """Hold a lease for as long as the block runs, however long that is.

    Args:
        name: what is held; one holder a name and record.
        wait_seconds: how long to wait for another holder. A process that was killed holds its lease for `MEMORY_LEASE_SECONDS` more.

    Raises:
        Conflict: `lease_held`; and, from whatever stores under the lease, `lease_lost`.
        Unavailable: the record did not answer.
    """
    seconds = platform.settings.lease_seconds
    holder = str(uuid_utils.uuid7())
    lease = Retrying(retry=retry_if_exception(is_held), stop=stop_after_delay(wait_seconds), wait=wait_random(0.05, 0.25), reraise=True)(
        platform.record.acquire_lease, name, holder, lease_seconds=seconds
    )
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(platform, lease, seconds, done), name=f"lease-{name}", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        done.set()
        renewing.join()
        platform.record.release_lease(lease)


def is_held(error: BaseException) -> bool:
    """Whether another holder has the lease."""
    return isinstance(error, Conflict) and error.code == "lease_held"


def is_lost(error: BaseException) -> bool:
    """Whether a lease was granted to another holder meanwhile."""
    return isinstance(error, Conflict) and error.code == "lease_lost"


def _renew(platform: Platform, lease: Lease, seconds: float, done: threading.Event) -> None:
    while not done.wait(seconds / 3):
        try:
            platform.record.renew_lease(lease, lease_seconds=seconds)
        except Unavailable:
            continue  # the next time; whoever stores meanwhile is judged by the record
        except Conflict:
            return  # lost: the next thing that is stored under it is refused, and says so
