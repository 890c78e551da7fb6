// The marker node outside of batches.

// name: marker
MATCH (k:Marker {id: 'graph'}) RETURN coalesce(k.counter, 0), coalesce(k.claim, 0), coalesce(k.fence, 0)

// After a rollback, and only once everything lost is owed again: back to where the counter was.
// name: raise_marker
MERGE (k:Marker {id: 'graph'})
SET k.counter = CASE WHEN coalesce(k.counter, 0) < $counter THEN $counter ELSE k.counter END
RETURN k.counter

// Before tombstones are purged: workers that claimed before this write nothing any more.
// name: raise_fence
MERGE (k:Marker {id: 'graph'})
SET k.fence = CASE WHEN coalesce(k.fence, 0) < $claim THEN $claim ELSE k.fence END,
    k.claim = CASE WHEN coalesce(k.claim, 0) < $claim THEN $claim ELSE k.claim END
RETURN k.fence

// Where the graph has met claims that the record never issued, nothing is written until it is dropped. A graph that was dropped meanwhile has
// met none any more, and stays open.
// name: shut
MATCH (k:Marker {id: 'graph'}) WHERE coalesce(toInteger(k.claim), 0) > $issued OR coalesce(toInteger(k.fence), 0) > $issued
SET k.fence = $never, k.claim = $never
RETURN k.fence

// Tombstones to purge are listed before the fence is raised and deleted after: whoever claims behind that fence has read
// the record when these were tombstones already. One without an id can be named by nobody and is left where it is.

// name: tombs_relation
MATCH (m:Entity)-[n:RELATES_TO]->(o:Entity) WHERE n.deleted = true AND n.id IS NOT NULL AND m.id IS NOT NULL AND o.id IS NOT NULL
RETURN n.id, m.id, o.id LIMIT $limit

// name: tombs_memory
MATCH (m:Memory) WHERE m.deleted = true AND m.id IS NOT NULL
RETURN m.id LIMIT $limit

// An entity's tombstone goes only when no edge hangs on it.
// name: tombs_entity
MATCH (e:Entity) WHERE e.deleted = true AND e.id IS NOT NULL
OPTIONAL MATCH (e)-[n]-()
WITH e, count(n) AS edges WHERE edges = 0
RETURN e.id LIMIT $limit

// name: purge_relation
UNWIND $rows AS r
MATCH (m:Entity {id: r.source})-[n:RELATES_TO]->(o:Entity {id: r.target}) WHERE n.id = r.id AND n.deleted = true
DELETE n

// name: purge_memory
UNWIND $rows AS r
MATCH (m:Memory {id: r.id}) WHERE m.deleted = true
DETACH DELETE m

// name: purge_entity
UNWIND $rows AS r
MATCH (e:Entity {id: r.id}) WHERE e.deleted = true
OPTIONAL MATCH (e)-[n]-()
WITH e, count(n) AS edges WHERE edges = 0
DELETE e

// Dropping the projection, page by page: nodes that are ours, and the marker last. They are counted while they are there: what an engine
// makes of a deleted node in an aggregate differs.
// name: drop_memories
MATCH (n:Memory) WITH n LIMIT $limit
WITH collect(n) AS found, count(n) AS gone
FOREACH (x IN found | DETACH DELETE x)
RETURN gone

// name: drop_entities
MATCH (n:Entity) WITH n LIMIT $limit
WITH collect(n) AS found, count(n) AS gone
FOREACH (x IN found | DETACH DELETE x)
RETURN gone

// name: drop_marker
MATCH (n:Marker) WITH n LIMIT $limit
WITH collect(n) AS found, count(n) AS gone
FOREACH (x IN found | DETACH DELETE x)
RETURN gone
