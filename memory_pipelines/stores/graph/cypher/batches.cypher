// Batches under the marker. Parameters only, in the openCypher subset that Memgraph, Neo4j and FalkorDB share.
//
// Every batch first writes the marker node, which is the lock: Neo4j is read-committed, and a version guard alone let
// the older revision win in 99 of 300 measured races, with the lock in none. Then the marker decides:
//   counter >= $settled   else the graph was rolled back below what the record has settled
//   fence   <= $claim     else this worker slept while tombstones were purged
//   claim   <= $issued    else the record was rolled back: the graph has met claims it never issued
// A refused batch raises no counter, writes no row and returns no row. An accepted one returns one row with the ids that
// it refused, so that "marker refused" and "rows refused" cannot be confused.
//
// A row is written when the target is not newer; an equal one is written again, whole. `expect` is the revision of a
// target ahead of the record that a repair has seen (-2 for none). A revision that is no number is older than any: Memgraph would refuse
// the whole batch for a text that stands there.

// part: guard
MERGE (k:Marker {id: 'graph'})
SET k.claim = CASE WHEN coalesce(k.claim, 0) < $claim THEN $claim ELSE k.claim END
WITH k, CASE WHEN coalesce(k.counter, 0) >= $settled AND coalesce(k.fence, 0) <= $claim AND k.claim <= $issued THEN 1 ELSE 0 END AS accepted
SET k.counter = coalesce(k.counter, 0) + accepted
WITH k, accepted
UNWIND CASE WHEN accepted = 1 THEN $rows ELSE [] END AS r

// name: apply_memory
{{guard}}
MERGE (m:Memory {id: r.id})
WITH k, m, r, (coalesce(toInteger(m.revision), -1) <= r.revision OR m.revision = r.expect) AS fresh
OPTIONAL MATCH (m)-[old:MENTIONS]->()
WITH k, m, r, fresh, collect(old) AS olds
FOREACH (o IN CASE WHEN fresh THEN olds ELSE [] END | DELETE o)
FOREACH (one IN CASE WHEN fresh THEN [1] ELSE [] END | SET m = r.props)
FOREACH (e IN CASE WHEN fresh THEN r.mentions ELSE [] END |
  MERGE (x:Entity {id: e.entity})
  CREATE (m)-[:MENTIONS {dh: e.dh, dl: e.dl}]->(x))
RETURN k.counter AS marker, count(r) AS offered, collect(CASE WHEN fresh THEN null ELSE r.id END) AS refused

// name: apply_entity
{{guard}}
MERGE (e:Entity {id: r.id})
WITH k, e, r, (coalesce(toInteger(e.revision), -1) <= r.revision OR e.revision = r.expect) AS fresh
FOREACH (one IN CASE WHEN fresh THEN [1] ELSE [] END | SET e = r.props)
RETURN k.counter AS marker, count(r) AS offered, collect(CASE WHEN fresh THEN null ELSE r.id END) AS refused

// name: apply_relation
{{guard}}
MERGE (s:Entity {id: r.source})
MERGE (t:Entity {id: r.target})
WITH k, s, t, r
OPTIONAL MATCH (s)-[old:RELATES_TO {id: r.id}]->(t)
WITH k, s, t, r, collect(old) AS olds, max(coalesce(toInteger(old.revision), -1)) AS newest
WITH k, s, t, r, olds, (newest <= r.revision OR newest = toInteger(r.expect)) AS fresh
FOREACH (o IN CASE WHEN fresh THEN olds ELSE [] END | DELETE o)
FOREACH (one IN CASE WHEN fresh THEN [1] ELSE [] END |
  CREATE (s)-[n:RELATES_TO]->(t)
  SET n = r.props)
RETURN k.counter AS marker, count(r) AS offered, collect(CASE WHEN fresh THEN null ELSE r.id END) AS refused

// A tombstone of a relation is kept on the edge, and must be kept: a worker that slept would otherwise draw the relation anew. Where its
// ends are not there yet they are made, as tombstones older than any revision, which their own apply overwrites. An edge that somebody
// drew to a node of another label is removed too.
// name: bury_relation
{{guard}}
MERGE (s:Entity {id: r.source}) ON CREATE SET s.deleted = true, s.revision = -1
MERGE (t:Entity {id: r.target}) ON CREATE SET t.deleted = true, t.revision = -1
WITH k, s, t, r
OPTIONAL MATCH (s)-[old:RELATES_TO {id: r.id}]->(o) WHERE o.id = r.target
WITH k, s, t, r, collect(old) AS olds, max(coalesce(toInteger(old.revision), -1)) AS newest
WITH k, s, t, r, olds, (newest <= r.revision OR newest = toInteger(r.expect)) AS fresh
FOREACH (o IN CASE WHEN fresh THEN olds ELSE [] END | DELETE o)
FOREACH (one IN CASE WHEN fresh THEN [1] ELSE [] END |
  CREATE (s)-[n:RELATES_TO]->(t)
  SET n = r.props)
RETURN k.counter AS marker, count(r) AS offered, collect(CASE WHEN fresh THEN null ELSE r.id END) AS refused

// What nobody can name by ids of ours: nodes and edges whose id is missing, empty or no string, and edges from or to such nodes or
// from nodes of another label.
// name: remove_strays
{{guard}}
OPTIONAL MATCH (m:Memory) WHERE coalesce(m.id, '') = '' OR toString(m.id) <> m.id
WITH k, r, collect(m) AS memories
OPTIONAL MATCH (e:Entity) WHERE coalesce(e.id, '') = '' OR toString(e.id) <> e.id
WITH k, r, memories, collect(e) AS entities
OPTIONAL MATCH (a)-[n:RELATES_TO]->(b)
WHERE coalesce(n.id, '') = '' OR toString(n.id) <> n.id OR NOT a:Entity OR coalesce(a.id, '') = '' OR toString(a.id) <> a.id OR coalesce(b.id, '') = '' OR toString(b.id) <> b.id
WITH k, r, memories, entities, collect(n) AS relations
OPTIONAL MATCH (a)-[n:MENTIONS]->(b)
WHERE NOT a:Memory OR coalesce(a.id, '') = '' OR toString(a.id) <> a.id OR coalesce(b.id, '') = '' OR toString(b.id) <> b.id
WITH k, r, memories, entities, relations, collect(n) AS mentions
FOREACH (x IN relations | DELETE x)
FOREACH (x IN mentions | DELETE x)
FOREACH (x IN memories | DETACH DELETE x)
FOREACH (x IN entities | DETACH DELETE x)
RETURN k.counter AS marker, count(r) AS offered, [] AS refused

// Nodes that share one id, where no constraint kept them from it: the first stays, and is applied after this. Edges of the others go
// with them; those that are wanted are missing then, and found.
// name: remove_copies_memory
{{guard}}
OPTIONAL MATCH (m:Memory {id: r.id})
WITH k, r, collect(m) AS copies
FOREACH (x IN tail(copies) | DETACH DELETE x)
RETURN k.counter AS marker, count(r) AS offered, [] AS refused

// name: remove_copies_entity
{{guard}}
OPTIONAL MATCH (e:Entity {id: r.id})
WITH k, r, collect(e) AS copies
FOREACH (x IN tail(copies) | DETACH DELETE x)
RETURN k.counter AS marker, count(r) AS offered, [] AS refused
