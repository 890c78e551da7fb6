// A uniqueness constraint brings its index. What was just made is waited for: a batch without an index on id is slow.

// name: unique_memory
CREATE CONSTRAINT memory_id IF NOT EXISTS FOR (m:Memory) REQUIRE m.id IS UNIQUE

// name: unique_entity
CREATE CONSTRAINT entity_id IF NOT EXISTS FOR (e:Entity) REQUIRE e.id IS UNIQUE

// name: unique_marker
CREATE CONSTRAINT marker_id IF NOT EXISTS FOR (k:Marker) REQUIRE k.id IS UNIQUE

// name: index_memory_bucket
CREATE INDEX memory_bucket IF NOT EXISTS FOR (m:Memory) ON (m.bucket)

// name: index_entity_bucket
CREATE INDEX entity_bucket IF NOT EXISTS FOR (e:Entity) ON (e.bucket)

// name: wait
CALL db.awaitIndexes(60)
