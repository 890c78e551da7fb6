// Traversal, for `related`. Tombstones are never neighbours, and nobody is a neighbour of itself: what was merged into an entity may
// have been related to it, and that edge stays, because a merge can be undone.

// name: relations_of
MATCH (e:Entity {id: $id})-[n:RELATES_TO]->(o:Entity)
WITH n, o WHERE n.deleted IS NULL AND o.deleted IS NULL AND o.name IS NOT NULL AND o.id <> $id
WITH o, collect(DISTINCT n.predicate) AS predicates
RETURN o.id, o.name, o.type, predicates ORDER BY toString(o.name) LIMIT $limit

// name: relations_to
MATCH (e:Entity {id: $id})<-[n:RELATES_TO]-(o:Entity)
WITH n, o WHERE n.deleted IS NULL AND o.deleted IS NULL AND o.name IS NOT NULL AND o.id <> $id
WITH o, collect(DISTINCT n.predicate) AS predicates
RETURN o.id, o.name, o.type, predicates ORDER BY toString(o.name) LIMIT $limit

// name: together_with
MATCH (e:Entity {id: $id})<-[:MENTIONS]-(m:Memory)-[:MENTIONS]->(o:Entity)
WITH m, o WHERE m.deleted IS NULL AND o.deleted IS NULL AND o.name IS NOT NULL AND o.id <> $id
WITH o, count(DISTINCT m) AS memories, max(toInteger(m.created_at)) AS newest
RETURN o.id, o.name, o.type, memories, newest ORDER BY memories DESC, newest DESC, toString(o.name) LIMIT $limit

// The same of some that are known, whatever their place in that order.
// name: together_with_these
UNWIND $others AS other
MATCH (o:Entity {id: other})<-[:MENTIONS]-(m:Memory)-[:MENTIONS]->(e:Entity)
WITH other, m, e WHERE e.id = $id AND m.deleted IS NULL
RETURN other, count(DISTINCT m) AS memories, max(toInteger(m.created_at)) AS newest

// name: memories_of
MATCH (e:Entity {id: $id})<-[:MENTIONS]-(m:Memory)
WITH m WHERE m.deleted IS NULL
RETURN m.id ORDER BY toInteger(m.created_at) DESC LIMIT $limit
