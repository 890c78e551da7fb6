// Indexes first: without one on id, a batch slows with the size of the graph (500 memories/s at 4,000).

// name: index_memory_id
CREATE INDEX FOR (m:Memory) ON (m.id)

// name: index_entity_id
CREATE INDEX FOR (e:Entity) ON (e.id)

// name: index_memory_bucket
CREATE INDEX FOR (m:Memory) ON (m.bucket)

// name: index_entity_bucket
CREATE INDEX FOR (e:Entity) ON (e.bucket)

// name: index_marker
CREATE INDEX FOR (k:Marker) ON (k.id)

// A statement looks its edge types up when it is planned, before it holds the lock. The first batch of a type would be followed by one
// that knew of no such type, saw none of the edges that the first had just drawn, and drew them again: 15 of 100 races.

// name: type_relates_to
CREATE (a)-[edge:RELATES_TO]->(b) DELETE edge, a, b

// name: type_mentions
CREATE (a)-[edge:MENTIONS]->(b) DELETE edge, a, b
