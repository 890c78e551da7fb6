// A constraint makes no index here, so each is made by itself. Repeating any of these is silent.

// name: index_memory_id
CREATE INDEX ON :Memory(id)

// name: index_entity_id
CREATE INDEX ON :Entity(id)

// name: index_marker
CREATE INDEX ON :Marker(id)

// name: index_memory_bucket
CREATE INDEX ON :Memory(bucket)

// name: index_entity_bucket
CREATE INDEX ON :Entity(bucket)

// name: unique_memory
CREATE CONSTRAINT ON (m:Memory) ASSERT m.id IS UNIQUE

// name: unique_entity
CREATE CONSTRAINT ON (e:Entity) ASSERT e.id IS UNIQUE

// name: unique_marker
CREATE CONSTRAINT ON (k:Marker) ASSERT k.id IS UNIQUE
