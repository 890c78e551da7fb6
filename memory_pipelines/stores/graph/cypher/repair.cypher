// What a repair reads beside what audits do. Parameters only, in the openCypher subset that all engines share.

// Relations between two entities as they stand, also those without an id.
// name: between
UNWIND $pairs AS p
MATCH (s:Entity {id: p.source})-[n:RELATES_TO]->(t:Entity {id: p.target}) WHERE n.deleted IS NULL
RETURN s.id, t.id, properties(n)

// What `remove_strays` would remove, counted.
// name: stray_nodes
MATCH (n) WHERE (n:Memory OR n:Entity) AND (coalesce(n.id, '') = '' OR toString(n.id) <> n.id)
RETURN count(n)

// name: stray_relations
MATCH (a)-[n:RELATES_TO]->(b)
WHERE coalesce(n.id, '') = '' OR toString(n.id) <> n.id OR NOT a:Entity OR coalesce(a.id, '') = '' OR toString(a.id) <> a.id OR coalesce(b.id, '') = '' OR toString(b.id) <> b.id
RETURN count(n)

// Those of them that lie between two entities of ours: somebody may have drawn them on purpose.
// name: stray_between
MATCH (a:Entity)-[n:RELATES_TO]->(b:Entity)
WHERE (coalesce(n.id, '') = '' OR toString(n.id) <> n.id) AND toString(a.id) = a.id AND toString(b.id) = b.id
RETURN DISTINCT a.id, b.id

// name: stray_mentions
MATCH (a)-[n:MENTIONS]->(b)
WHERE NOT a:Memory OR coalesce(a.id, '') = '' OR toString(a.id) <> a.id OR coalesce(b.id, '') = '' OR toString(b.id) <> b.id
RETURN count(n)
