"""Signals as flags: first a flag, then, if it is not heeded, what they would have been."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from memory_pipelines.services.sync.stopping import listening, never


class Told(BaseException):
    """What the handler before us makes of a signal."""


@pytest.fixture(autouse=True)
def telling() -> Iterator[None]:
    """A handler that was there before."""

    def tell(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the signature of a handler
        raise Told(number)

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def signalled(*numbers: signal.Signals, grace_seconds: float = 60.0, waits: float = 0.0) -> list[str]:
    """Get signals inside of a block that listens; what it noticed before it ended by itself."""
    steps = []
    with listening(grace_seconds) as asked:
        steps.append(f"before {asked()}")
        for number in numbers:
            signal.raise_signal(number)
        threading.Event().wait(waits)
        steps.append(f"after {asked()}")
        print(steps)
    return steps


def test_a_first_signal_is_a_flag_and_is_delivered_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Told) as told:
        signalled(signal.SIGTERM)
    assert told.value.args == (signal.SIGTERM,)
    assert "['before False', 'after True']" in capsys.readouterr().out


def test_a_second_signal_interrupts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Told) as told:
        signalled(signal.SIGTERM, signal.SIGINT)
    assert told.value.args == (signal.SIGTERM,)
    assert capsys.readouterr().out == ""


def test_the_end_of_the_grace_interrupts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Told):
        signalled(signal.SIGTERM, grace_seconds=0.05, waits=30)
    assert capsys.readouterr().out == ""


def failing() -> None:
    """A block that fails by itself after a signal."""
    with listening(60):
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("its own")


def test_an_error_of_the_block_is_not_hidden_by_the_signal() -> None:
    with pytest.raises(ValueError, match="its own"):
        failing()


def test_without_a_signal_nothing_is_changed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with listening() as asked:
        assert signal.getsignal(signal.SIGTERM) is not before
        assert not asked()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_thread_hears_nothing() -> None:
    heard = []

    def listen() -> None:
        with listening() as asked:
            heard.append(asked)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join(10)
    assert heard == [never]
