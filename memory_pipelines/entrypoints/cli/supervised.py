"""One child process with everything it starts, ended without leaving anything behind.

Lives here: starting it in a session of its own, asking it to stop, and killing what remains of the session. A Ctrl-C in
the terminal reaches only us, and we pass it on in order. Must stay out: what the process is for (`dev.py`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

import psutil

# Sensor ticks wait for events for up to 25 s and the daemon waits for its ticks; nothing is lost by not waiting with it.
# Together with the engines all of it has to end within 10 s of a SIGTERM.
CHILD_SECONDS = 2.0
REST_SECONDS = 4.5


class Supervised:
    """A running child. Use `wait` until something happens, then `stop`."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], log: Path | None) -> None:
        """Start it; its output goes to `log`, or to standard error."""
        # Plain flags: a second signal may come while the first is being heeded, in the same thread, which would wait for ever for an
        # Event's lock that it holds itself.
        self._asked = self._hurry = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        with open(log or "/dev/stderr", "ab") as out:
            self._process = subprocess.Popen(
                arguments, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._hurry = self._asked
        self._asked = True

    @property
    def asked_to_stop(self) -> bool:
        """Whether somebody pressed Ctrl-C or sent SIGTERM."""
        return self._asked

    @property
    def running(self) -> bool:
        """Whether the child itself is alive."""
        return self._process.poll() is None

    def pause(self, seconds: float) -> None:
        """Wait, but not after a signal."""
        self._sleep(lambda: self._asked, seconds)

    def stop(self) -> None:
        """Ask the child to end, then end what is left of its session. A second Ctrl-C meanwhile kills at once."""
        if self.running:
            self._process.send_signal(signal.SIGINT)
        self._wait(lambda: not self.running, CHILD_SECONDS)
        for process in self._family():  # runs that are still at work: they say in their history that they were interrupted
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        self._wait(lambda: not self._family(), REST_SECONDS)
        while family := self._family():
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, timeout=1.0)
            self._process.poll()  # reaps it

    def _wait(self, done: Callable[[], bool], seconds: float) -> None:
        self._sleep(lambda: self._hurry or done(), seconds)

    def _sleep(self, enough: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not enough() and (left := until - time.monotonic()) > 0:
            time.sleep(min(0.1, left))

    def _family(self) -> list[psutil.Process]:
        """Every live process of the child's session, and what the child started in other sessions."""
        leader = self._process.pid
        found: dict[int, psutil.Process] = {}
        with suppress(psutil.NoSuchProcess):  # it may have gone while its session lives on
            found = {process.pid: process for process in psutil.Process(leader).children(recursive=True)}
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = process
            except (ProcessLookupError, PermissionError, psutil.Error):
                continue
        return list(found.values())
