// Traversal, for `related`. Tombstones are never neighbours.

// name: relations_of
MATCH (e:Entity {id: $id})-[n:RELATES_TO]->(o:Entity)
WITH n, o WHERE n.deleted IS NULL AND o.deleted IS NULL AND o.name IS NOT NULL
RETURN o.id, o.name, o.type, n.predicate, 'out' ORDER BY toString(o.name), toString(n.predicate) LIMIT $limit

// name: relations_to
MATCH (e:Entity {id: $id})<-[n:RELATES_TO]-(o:Entity)
WITH n, o WHERE n.deleted IS NULL AND o.deleted IS NULL AND o.name IS NOT NULL
RETURN o.id, o.name, o.type, n.predicate, 'in' ORDER BY toString(o.name), toString(n.predicate) LIMIT $limit

// name: together_with
MATCH (e:Entity {id: $id})<-[:MENTIONS]-(m:Memory)-[:MENTIONS]->(o:Entity)
WITH o, count(DISTINCT m) AS shared WHERE o.deleted IS NULL AND o.name IS NOT NULL AND o.id <> $id
RETURN o.id, o.name, o.type, shared ORDER BY shared DESC, toString(o.name) LIMIT $limit

// name: memories_of
MATCH (e:Entity {id: $id})<-[:MENTIONS]-(m:Memory)
WITH m WHERE m.deleted IS NULL
RETURN m.id ORDER BY toInteger(m.created_at) DESC LIMIT $limit
