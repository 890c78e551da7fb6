"""The embedded engines: Postgres, Redis and FalkorDB from wheels, for whoever has set no URL.

Lives here: starting, finding and stopping them. One server process per engine, shared by every process that asks for the
same home, alive until `down`. They listen on unix sockets that only their owner can reach, never on a network port.

    home/engines.lock            who starts or stops holds it (`engines.py`)
    home/logs/<engine>.log       what the server said
    home/run/<engine>.pid        locked by the server itself for as long as it lives (`process.py`)
    home/<engine>/               data and socket, 0700; a long home has its sockets elsewhere (`sockets.py`)

To add an engine: a subclass of `Server` (`server.py`) in a file of its own, its name in `Engine`, a line in `engines.py`.
Must stay out: schemas, clients and settings of what is stored. The stores own those, and cannot tell whether their URL
leads to an embedded engine or to a hosted one.
"""

from memory_pipelines.embedded.engines import Addresses, EngineStatus, addresses, down, status, unfit, unusable, up
from memory_pipelines.embedded.server import Engine

__all__ = ["Addresses", "Engine", "EngineStatus", "addresses", "down", "status", "unfit", "unusable", "up"]
