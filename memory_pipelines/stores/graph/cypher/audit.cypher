// What an audit reads. Edges are counted in the bucket of the node they start from, so that only nodes need an index.
// What has no place (a bucket of 0 to 4095 and a leaf of 0 to 255), or starts where no such edge may start, is nobody's and
// is asked for apart. An edge that starts there comes without its source: nobody can name it.
// `toInteger`, because a text that somebody put in place of a number would otherwise fail the whole statement: every engine refuses to sum
// it, and Memgraph to compare it with a number, by `<` or `>=`, where others answer null.

// Whether a row has a place, once `bucket` and `leaf` are its numbers.
// part: placed
CASE WHEN bucket = m.bucket AND leaf = m.leaf AND bucket >= 0 AND bucket < 4096 AND leaf >= 0 AND leaf < 256 THEN 1 ELSE 0 END AS placed

// name: sums_memory
MATCH (m:Memory) WHERE m.deleted IS NULL AND m.bucket IS NOT NULL
RETURN m.bucket, count(m), sum(toInteger(m.dh)), sum(toInteger(m.dl))

// name: sums_entity
MATCH (m:Entity) WHERE m.deleted IS NULL AND m.bucket IS NOT NULL
RETURN m.bucket, count(m), sum(toInteger(m.dh)), sum(toInteger(m.dl))

// name: sums_mention
MATCH (m:Memory)-[n:MENTIONS]->() WHERE m.bucket IS NOT NULL
RETURN m.bucket, count(n), sum(toInteger(n.dh)), sum(toInteger(n.dl))

// name: sums_relation
MATCH (m:Entity)-[n:RELATES_TO]->() WHERE n.deleted IS NULL AND m.bucket IS NOT NULL
RETURN m.bucket, count(n), sum(toInteger(n.dh)), sum(toInteger(n.dl))

// name: buckets_memory
UNWIND $buckets AS b
MATCH (m:Memory {bucket: b}) WHERE m.deleted IS NULL
RETURN b, count(m), sum(toInteger(m.dh)), sum(toInteger(m.dl))

// name: buckets_entity
UNWIND $buckets AS b
MATCH (m:Entity {bucket: b}) WHERE m.deleted IS NULL
RETURN b, count(m), sum(toInteger(m.dh)), sum(toInteger(m.dl))

// name: buckets_mention
UNWIND $buckets AS b
MATCH (m:Memory {bucket: b})-[n:MENTIONS]->()
RETURN b, count(n), sum(toInteger(n.dh)), sum(toInteger(n.dl))

// name: buckets_relation
UNWIND $buckets AS b
MATCH (m:Entity {bucket: b})-[n:RELATES_TO]->() WHERE n.deleted IS NULL
RETURN b, count(n), sum(toInteger(n.dh)), sum(toInteger(n.dl))

// name: leaves_memory
UNWIND $buckets AS b
MATCH (m:Memory {bucket: b}) WHERE m.deleted IS NULL
RETURN b, m.leaf, count(m), sum(toInteger(m.dh)), sum(toInteger(m.dl))

// name: leaves_entity
UNWIND $buckets AS b
MATCH (m:Entity {bucket: b}) WHERE m.deleted IS NULL
RETURN b, m.leaf, count(m), sum(toInteger(m.dh)), sum(toInteger(m.dl))

// name: leaves_mention
UNWIND $buckets AS b
MATCH (m:Memory {bucket: b})-[n:MENTIONS]->()
RETURN b, m.leaf, count(n), sum(toInteger(n.dh)), sum(toInteger(n.dl))

// name: leaves_relation
UNWIND $buckets AS b
MATCH (m:Entity {bucket: b})-[n:RELATES_TO]->() WHERE n.deleted IS NULL
RETURN b, m.leaf, count(n), sum(toInteger(n.dh)), sum(toInteger(n.dl))

// name: cells_memory
UNWIND $cells AS c
MATCH (m:Memory {bucket: c.bucket}) WHERE m.leaf = c.leaf AND m.deleted IS NULL
RETURN m.id, properties(m)

// name: cells_entity
UNWIND $cells AS c
MATCH (m:Entity {bucket: c.bucket}) WHERE m.leaf = c.leaf AND m.deleted IS NULL
RETURN m.id, properties(m)

// name: cells_mention
UNWIND $cells AS c
MATCH (m:Memory {bucket: c.bucket})-[n:MENTIONS]->(o) WHERE m.leaf = c.leaf
RETURN m.id, o.id, properties(n)

// name: cells_relation
UNWIND $cells AS c
MATCH (m:Entity {bucket: c.bucket})-[n:RELATES_TO]->(o) WHERE m.leaf = c.leaf AND n.deleted IS NULL
RETURN n.id, m.id, o.id, properties(n)

// name: nobodys_memory
MATCH (m:Memory) WHERE m.deleted IS NULL
WITH m, toInteger(m.bucket) AS bucket, toInteger(m.leaf) AS leaf
WITH m, {{placed}} WHERE placed = 0
RETURN m.id, properties(m) LIMIT $limit

// name: nobodys_entity
MATCH (m:Entity) WHERE m.deleted IS NULL
WITH m, toInteger(m.bucket) AS bucket, toInteger(m.leaf) AS leaf
WITH m, {{placed}} WHERE placed = 0
RETURN m.id, properties(m) LIMIT $limit

// name: nobodys_mention
MATCH (m)-[n:MENTIONS]->(o)
WITH m, n, o, toInteger(m.bucket) AS bucket, toInteger(m.leaf) AS leaf
WITH m, n, o, {{placed}} WHERE placed = 0 OR NOT m:Memory
RETURN CASE WHEN m:Memory THEN m.id END, o.id, properties(n) LIMIT $limit

// name: nobodys_relation
MATCH (m)-[n:RELATES_TO]->(o) WHERE n.deleted IS NULL
WITH m, n, o, toInteger(m.bucket) AS bucket, toInteger(m.leaf) AS leaf
WITH m, n, o, {{placed}} WHERE placed = 0 OR NOT m:Entity
RETURN n.id, CASE WHEN m:Entity THEN m.id END, o.id, properties(n) LIMIT $limit

// name: range_memory
MATCH (m:Memory) WHERE m.bucket >= $from AND m.bucket < $below AND m.deleted IS NULL
RETURN m.id, properties(m)

// name: range_entity
MATCH (m:Entity) WHERE m.bucket >= $from AND m.bucket < $below AND m.deleted IS NULL
RETURN m.id, properties(m)

// name: range_mention
MATCH (m:Memory) WHERE m.bucket >= $from AND m.bucket < $below
MATCH (m)-[n:MENTIONS]->(o)
RETURN m.id, o.id, properties(n)

// name: range_relation
MATCH (m:Entity) WHERE m.bucket >= $from AND m.bucket < $below
MATCH (m)-[n:RELATES_TO]->(o) WHERE n.deleted IS NULL
RETURN n.id, m.id, o.id, properties(n)

// name: ids_memory
UNWIND $ids AS i
MATCH (m:Memory {id: i})
RETURN i, properties(m)

// name: ids_entity
UNWIND $ids AS i
MATCH (m:Entity {id: i})
RETURN i, properties(m)

// An edge dangles where one of its ends is nothing of ours, or a tombstone.
// name: ids_mention
UNWIND $ids AS i
MATCH (m:Memory {id: i.source})-[n:MENTIONS]->(o {id: i.target})
RETURN m.id, o.id, properties(n), CASE WHEN o:Entity AND o.deleted IS NULL AND m.deleted IS NULL THEN 0 ELSE 1 END AS dangling

// name: ids_relation
UNWIND $ids AS i
MATCH (m:Entity {id: i.source})-[n:RELATES_TO]->(o {id: i.target}) WHERE n.id = i.id
RETURN n.id, m.id, o.id, properties(n), CASE WHEN o:Entity AND o.deleted IS NULL AND m.deleted IS NULL THEN 0 ELSE 1 END AS dangling

// name: count_memory
MATCH (m:Memory) WHERE m.deleted IS NULL RETURN count(m)

// name: count_entity
MATCH (m:Entity) WHERE m.deleted IS NULL RETURN count(m)

// name: count_mention
MATCH ()-[n:MENTIONS]->() RETURN count(n)

// name: count_relation
MATCH ()-[n:RELATES_TO]->() WHERE n.deleted IS NULL RETURN count(n)
