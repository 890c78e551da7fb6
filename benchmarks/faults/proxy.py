"""A proxy before each engine, in a process of its own: networks that are slow, cut, silent, or that lose an answer.

It listens on loopback TCP ports and speaks to the engines' unix sockets, which Toxiproxy does not reach. What it does to the bytes is
told to it, one JSON object a line, over a pipe; each is answered when it holds. To add a deed: a field of `Weather` and what `_pump` makes
of it. Must stay out: what the bytes mean.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ENGINES = ("postgres", "redis", "graph")


@dataclass
class Weather:
    """What befalls the bytes of one engine."""

    delay: tuple[float, float] = (0.0, 0.0)  # seconds that each piece is held back, at least and at most
    cut: bool = False  # connections are reset, new ones too
    silent: bool = False  # nothing passes, nothing is refused; what was held back passes later
    lose: float = 0.0  # how likely a request's connection is reset, by halves before it arrives and after it was answered
    open: set[asyncio.StreamWriter] = field(default_factory=set)


class Proxy:
    """The handle of a running proxy: its ports, and what to tell it."""

    def __init__(self, sockets: Mapping[str, Path]) -> None:
        listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in sockets}
        self.ports = {name: int(listener.getsockname()[1]) for name, listener in listeners.items()}
        here, there = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            here.close()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                asyncio.run(_serve(there, listeners, sockets))
            finally:
                os._exit(0)
        there.close()
        for listener in listeners.values():
            listener.close()
        self._pipe = here

    def tell(self, engine: str, **weather: Any) -> None:
        """Change the weather of one engine; returns when it has changed."""
        self._pipe.sendall(json.dumps([engine, weather]).encode() + b"\n")
        assert self._pipe.recv(1) == b"k", "the proxy has ended"

    def calm(self) -> None:
        """Let everything pass again."""
        for engine in self.ports:
            self.tell(engine, delay=(0.0, 0.0), cut=False, silent=False, lose=0.0)

    def close(self) -> None:
        """End it."""
        self._pipe.close()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


async def _serve(pipe: socket.socket, listeners: Mapping[str, socket.socket], sockets: Mapping[str, Path]) -> None:
    weather = {name: Weather() for name in listeners}
    for name, listener in listeners.items():
        await asyncio.start_server(_relay(weather[name], sockets[name]), sock=listener)
    reader, writer = await asyncio.open_connection(sock=pipe)
    while line := await reader.readline():
        name, changes = json.loads(line)
        for what, value in changes.items():
            setattr(weather[name], what, value)
        if weather[name].cut:
            for end in tuple(weather[name].open):
                _reset(end)
        writer.write(b"k")
        await writer.drain()


def _relay(weather: Weather, path: Path) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if weather.cut:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(str(path))
        except OSError:
            _reset(writer)
            return
        weather.open.add(writer)
        lost = asyncio.Event()
        tasks = [
            asyncio.create_task(_pump(weather, reader, far_writer, lost, request=True)),
            asyncio.create_task(_pump(weather, far_reader, writer, lost, request=False)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        weather.open.discard(writer)
        _reset(writer) if lost.is_set() else writer.close()
        far_writer.close()

    return relay


async def _pump(
    weather: Weather, source: asyncio.StreamReader, target: asyncio.StreamWriter, lost: asyncio.Event, *, request: bool
) -> None:
    with suppress(OSError):
        while piece := await source.read(65536):
            while weather.silent:
                await asyncio.sleep(0.005)
            if weather.delay[1]:
                await asyncio.sleep(random.uniform(*weather.delay))
            if request and weather.lose and random.random() < weather.lose:
                lost.set()
                if random.random() < 0.5:
                    return  # the request never arrives
            elif not request and lost.is_set():
                return  # it arrived and was done, and nobody hears of it
            target.write(piece)
            await target.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, as a network does that has forgotten a connection."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
