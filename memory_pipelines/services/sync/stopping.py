"""A process that is asked to stop finishes the batch at hand and gives its leases back, instead of dropping both.

Lives here: turning a signal into a flag that work looks at between its batches. Must stay out: what is done on the flag (`drains.py`),
and ending other processes (`entrypoints/cli/supervised.py`).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_SECONDS = 3.0

ShouldStop = Callable[[], bool]


def never() -> bool:
    """For work that nobody asks to stop."""
    return False


@contextmanager
def listening(grace_seconds: float = GRACE_SECONDS) -> Iterator[ShouldStop]:
    """While the block runs, a first SIGTERM or Ctrl-C is a flag; a second one, or the end of the grace, interrupts as it would without us.

    When the block ends by itself after a signal, that signal is delivered then: whoever handled it before decides what it means.
    In a thread that is not the main one signals cannot be taken, and the flag stays down.

    Args:
        grace_seconds: how long the block may take to notice.

    Yields:
        Whether somebody has asked to stop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield never
        return
    asked: list[int] = []
    interrupter: list[threading.Timer] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    taken = {number: handler for number, handler in before.items() if handler is not None and handler != signal.SIG_IGN}

    def give_back() -> None:
        for number, handler in taken.items():
            signal.signal(number, handler)

    def heed(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the signature of a handler
        if asked:
            give_back()
            signal.raise_signal(asked[0])
            return
        asked.append(number)
        timer = threading.Timer(grace_seconds, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()
        interrupter.append(timer)

    for number in taken:
        signal.signal(number, heed)
    completed = False
    try:
        yield lambda: bool(asked)
        completed = True
    finally:
        for timer in interrupter:
            timer.cancel()
        give_back()
    if completed and asked:
        signal.raise_signal(asked[0])
