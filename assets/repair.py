"""Whether a repair is wanted: by level again, from the newest stored verdict. Must stay out: the repair itself (`services.audit`)."""

import time
from collections.abc import Mapping, Sequence
from json import dumps, loads
from typing import Any, NamedTuple

GRACE_SECONDS = 900.0


class Decision(NamedTuple):
    """`cursor` is the sensor's memo: which verdict it has requested a repair for, and when."""

    wanted: bool
    reason: str
    cursor: str | None


def decide(history: Sequence[Mapping[str, Any]], cursor: str | None, *, now: float | None = None) -> Decision:
    """Is the newest verdict unclean, and has nobody tried to repair it?

    A verdict that is unclean *after* a repair is left to a person; the next audit decides anew. A requested repair that died before it
    stored a verdict is requested again after a grace.

    Args:
        history: stored verdicts, newest first.
    """
    now = time.time() if now is None else now
    if not history:
        return Decision(False, "There has been no audit yet.", cursor)
    newest = history[0]
    at = str(newest["at"])
    if newest["clean"]:
        return Decision(False, f"The newest verdict ({at}) is clean.", cursor)
    if newest.get("repaired"):
        return Decision(False, f"The newest verdict ({at}) is unclean even after a repair: somebody should look.", cursor)
    if set(newest.get("kinds", {})) == {"given_up"}:
        return Decision(False, f"The newest verdict ({at}) names only debts that were given up knowingly.", cursor)
    memo = loads(cursor) if cursor else {}
    if memo.get("verdict") == at and now - memo["requested_at"] < GRACE_SECONDS:
        return Decision(False, f"A repair of the verdict of {at} was requested {now - memo['requested_at']:.0f} s ago.", cursor)
    return Decision(True, f"The newest verdict ({at}) is unclean.", dumps({"verdict": at, "requested_at": now}))
