// Traversal, for `related`. Tombstones are never neighbours, and nobody is a neighbour of itself: what was merged into an entity may
// have been related to it, and that edge stays, because a merge can be undone.
// Memories are walked from the entity asked for, never from a neighbour: one that a hundred thousand memories mention costs no more.

// What is related comes first: so that any limit takes the head of the same list.
// name: mentioned_with
MATCH (e:Entity {id: $id})<-[:MENTIONS]-(m:Memory)-[:MENTIONS]->(o:Entity)
WITH e, m, o WHERE m.deleted IS NULL AND o.deleted IS NULL AND o.name IS NOT NULL AND o.id <> $id
WITH e, o, count(DISTINCT m) AS memories, max(toInteger(m.created_at)) AS newest
OPTIONAL MATCH (e)-[n:RELATES_TO]-(o)
WITH o, memories, newest, sum(CASE WHEN n IS NULL OR n.deleted IS NOT NULL OR n.predicate IS NULL THEN 0 ELSE 1 END) AS relations
WITH o, memories, newest, CASE WHEN relations > 0 THEN 1 ELSE 0 END AS related
RETURN o.id, o.name, o.type, related, memories, newest ORDER BY related DESC, memories DESC, newest DESC, toString(o.name), toString(o.id) LIMIT $limit

// Also those that no memory mentions together with it.
// name: related_to
MATCH (e:Entity {id: $id})-[n:RELATES_TO]-(o:Entity)
WITH n, o WHERE n.deleted IS NULL AND n.predicate IS NOT NULL AND o.deleted IS NULL AND o.name IS NOT NULL AND o.id <> $id
WITH DISTINCT o
RETURN o.id, o.name, o.type ORDER BY toString(o.name), toString(o.id) LIMIT $limit

// name: predicates_to
MATCH (e:Entity {id: $id})
UNWIND $others AS other
MATCH (o:Entity {id: other})
MATCH (e)-[n:RELATES_TO]->(o)
WITH other, n WHERE n.deleted IS NULL AND n.predicate IS NOT NULL
RETURN other, collect(DISTINCT n.predicate)

// name: predicates_from
MATCH (e:Entity {id: $id})
UNWIND $others AS other
MATCH (o:Entity {id: other})
MATCH (e)<-[n:RELATES_TO]-(o)
WITH other, n WHERE n.deleted IS NULL AND n.predicate IS NOT NULL
RETURN other, collect(DISTINCT n.predicate)

// name: memories_of
MATCH (e:Entity {id: $id})<-[:MENTIONS]-(m:Memory)
WITH m WHERE m.deleted IS NULL
RETURN m.id ORDER BY toInteger(m.created_at) DESC LIMIT $limit
