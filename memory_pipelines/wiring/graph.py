"""The graph: over which transport it is reached.

To add a transport, add its schemes to `graph_transport`. Must stay out: use cases.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from memory_pipelines.config import Settings
from memory_pipelines.domain.errors import ConfigurationError
from memory_pipelines.ports import GraphStore, GraphTransport
from memory_pipelines.wiring.addresses import started


def open_graph(settings: Settings) -> GraphStore:
    """The graph, over the transport that its address asks for; an embedded one is started."""
    url = started(settings, "graph").graph_url if settings.graph_url is None else settings.graph_url.get_secret_value()
    from memory_pipelines.stores.graph.store import CypherGraph

    return CypherGraph(graph_transport(settings, url))


def graph_engine(settings: Settings) -> str:
    """Which engine holds the graph, as far as its address tells: `falkordb`, `neo4j`, or `bolt` (Neo4j or Memgraph). Nothing is opened."""
    scheme = urlsplit(settings.graph_url.get_secret_value()).scheme if settings.graph_url else ""
    engines = {"": "falkordb", "unix": "falkordb", "falkor": "falkordb", "falkors": "falkordb"}
    return engines.get(scheme, scheme.partition("+")[0])


def graph_transport(settings: Settings, url: str) -> GraphTransport:
    """The transport that an address asks for.

    Raises:
        ConfigurationError: `config_invalid`.
    """
    scheme = urlsplit(url).scheme
    password = settings.graph_password.get_secret_value() if settings.graph_password else None
    if scheme in {"falkor", "falkors", "unix", ""}:
        from memory_pipelines.stores.graph.falkor_transport import FalkorTransport

        return FalkorTransport(url, settings.graph_name, user=settings.graph_user, password=password)
    if scheme in {"bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"}:
        from memory_pipelines.stores.graph.bolt_transport import BoltTransport

        return BoltTransport(
            url, database=settings.graph_database, user=settings.graph_user, password=password, certificates=settings.graph_certificates
        )
    raise ConfigurationError("config_invalid", "MEMORY_GRAPH_URL is of no form that the graph is reached by: see docs/operating.md.")
