"""The graph projection: named Cypher statements, transports that run them, one store that knows them."""
