"""The seams: what services ask of the stores and the models, as Protocols, a file for each kind of thing that can be exchanged.

To add a transport, write one class that satisfies a Protocol and one branch in `wiring/`. Must stay out: drivers, defaults,
behaviour.
"""

from memory_pipelines.ports.breakers import Breaker, BreakerStore
from memory_pipelines.ports.examiner import Examiner
from memory_pipelines.ports.graph import Applied, GraphStore, Marker
from memory_pipelines.ports.leases import Leases
from memory_pipelines.ports.models import Embedder, Extraction, Extractor
from memory_pipelines.ports.record import RecordStore
from memory_pipelines.ports.stream import EventStream, StreamEntry
from memory_pipelines.ports.transports import GraphTransport, Layout, RecordTransport, Vectors

__all__ = [
    "Applied",
    "Breaker",
    "BreakerStore",
    "Embedder",
    "EventStream",
    "Examiner",
    "Extraction",
    "Extractor",
    "GraphStore",
    "GraphTransport",
    "Layout",
    "Leases",
    "Marker",
    "RecordStore",
    "RecordTransport",
    "StreamEntry",
    "Vectors",
]
