"""The processes of a trial: forked from one that has imported everything, watched, woken and replaced.

A child takes nothing along but what was imported: it opens its own connections, and ends by `os._exit` or by a signal, never by running
what its parent would run. What it tells its parent goes through a piece of shared memory. To add a role: a function that takes a `Seat`.
Must stay out: what a role does (`roles.py`), and when something befalls it (`scenarios`).
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

SEATS = 16
_WORDS = 6  # of 8 bytes, a seat: progress, rounds, jump of the clock in ms, failures, stop, spare


class Board:
    """Shared memory: a few numbers a seat, written by one process and read by others."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, SEATS * _WORDS * 8)
        self.numbers = memoryview(self._map).cast("q")

    def clear(self) -> None:
        """All zero."""
        for n in range(len(self.numbers)):
            self.numbers[n] = 0


def _word(offset: int) -> Any:
    def get(seat: Seat) -> int:
        return int(seat.board.numbers[seat.number * _WORDS + offset])

    def put(seat: Seat, value: int) -> None:
        seat.board.numbers[seat.number * _WORDS + offset] = value

    return property(get, put)


@dataclass
class Seat:
    """A child's place on the board."""

    board: Board
    number: int

    progress = _word(0)
    """Deeds done, of a writer."""
    rounds = _word(1)
    """Times that a worker has looked at every projection."""
    jump_ms = _word(2)
    """How far this process's own clocks are off."""
    failures = _word(3)
    """Rounds that ended in an error."""
    stop = _word(4)
    """The parent asks it to end."""


Role = Callable[[Seat], None]


@dataclass
class Child:
    """A process of the trial."""

    name: str
    role: Role
    seat: Seat
    pid: int
    frozen: bool = False
    ended: int | None = None
    """How it ended: an exit code, or minus the signal."""
    hit: bool = False
    """Whether it came to the point that it was armed with."""

    @property
    def alive(self) -> bool:
        return self.ended is None


@dataclass
class Crew:
    """All children of a trial."""

    board: Board = field(default_factory=Board)
    children: list[Child] = field(default_factory=list)

    def start(self, name: str, role: Role) -> Child:
        """Fork a child that plays a role."""
        seat = Seat(self.board, len(self.children))
        assert seat.number < SEATS, "a trial has so many children at most"
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                role(seat)
                code = 0
            except BaseException:  # noqa: BLE001  # whatever it is ends this process, and its parent sees the code
                traceback.print_exc(file=sys.stderr)
                sys.stderr.flush()
            finally:
                os._exit(code)
        child = Child(name, role, seat, pid)
        self.children.append(child)
        return child

    def look(self) -> list[Child]:
        """Take note of who has ended or stands still; returns those of whom that is news."""
        news = []
        for child in self.children:
            if not child.alive:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if pid == 0:
                continue
            if os.WIFSTOPPED(status):
                child.frozen = child.hit = True
            elif os.WIFCONTINUED(status):
                child.frozen = False
            else:
                child.ended, child.frozen = os.waitstatus_to_exitcode(status), False
                child.hit |= child.ended == -signal.SIGKILL
            news.append(child)
        return news

    def named(self, beginning: str) -> list[Child]:
        """Children whose names begin so."""
        return [child for child in self.children if child.name.startswith(beginning)]

    def kill(self, child: Child) -> None:
        """`kill -9`."""
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)

    def end(self) -> None:
        """End whoever is left, at once."""
        for child in self.children:
            if child.alive:
                self.kill(child)
        for child in self.children:
            if child.alive:
                _, status = os.waitpid(child.pid, 0)
                child.ended = os.waitstatus_to_exitcode(status)
