"""Settings -> open stores -> platform. The only floor that chooses a transport: a file per engine.

To add a transport, see the file of its engine. Must stay out: use cases.
"""

from memory_pipelines.wiring.addresses import embedded_engines, over_rest
from memory_pipelines.wiring.diagnosis import diagnose, rest_checks
from memory_pipelines.wiring.graph import graph_engine
from memory_pipelines.wiring.platform import OpenPlatform, open_platform
from memory_pipelines.wiring.record import bring_schema, database_url

__all__ = [
    "OpenPlatform",
    "bring_schema",
    "database_url",
    "diagnose",
    "embedded_engines",
    "graph_engine",
    "open_platform",
    "over_rest",
    "rest_checks",
]
