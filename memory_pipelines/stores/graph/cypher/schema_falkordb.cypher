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
