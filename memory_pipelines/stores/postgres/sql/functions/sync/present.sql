-- The present state of a subject, as each projection needs it. Nothing here writes.

-- What the graph must hold of a live row: the only place that says so. Audits compare with the same functions. They take
-- columns, not rows: a whole row as an argument would fetch and copy its text.
create or replace function memory.graph_memory(id uuid, namespace text, revision integer, created_at timestamptz, digest bigint, bucket smallint, leaf smallint)
returns jsonb language sql immutable parallel safe as $$
  select jsonb_build_object('id', id, 'namespace', namespace, 'revision', revision, 'created_at', memory.millis(created_at),
    'dh', (digest >> 32) & 4294967295, 'dl', digest & 4294967295, 'bucket', bucket, 'leaf', leaf)
$$;
create or replace function memory.graph_entity(id uuid, namespace text, name text, type text, revision integer, digest bigint, bucket smallint, leaf smallint,
  aliases text[], summary text)
returns jsonb language sql immutable parallel safe as $$
  select jsonb_build_object('id', id, 'namespace', namespace, 'name', name, 'type', type, 'revision', revision,
    'dh', (digest >> 32) & 4294967295, 'dl', digest & 4294967295, 'bucket', bucket, 'leaf', leaf)
    || case when aliases = '{}' and summary is null then '{}'  -- only where a person has curated them
         else jsonb_strip_nulls(jsonb_build_object('aliases', case when aliases <> '{}' then to_jsonb(aliases) end, 'summary', summary)) end
$$;
create or replace function memory.graph_relation(id uuid, namespace text, predicate text, revision integer, digest bigint)
returns jsonb language sql immutable parallel safe as $$
  select jsonb_build_object('id', id, 'namespace', namespace, 'predicate', predicate, 'revision', revision,
    'dh', (digest >> 32) & 4294967295, 'dl', digest & 4294967295)
$$;

-- The present state of owed subjects, as a projection needs it. Unknown subjects come without one.
-- A memory's mentions come as one text, `entity high low;…`: as JSON objects they took most of a claim's time.
-- Both sides of every join are small and found by index, so they are hashed: without statistics, right after a bulk
-- load, the planner would take nested loops over whole subqueries (measured: 13 s instead of 0.3 s).
create or replace function memory.present_state(p_projection text, p_kind text, p_ids text[]) returns table (id text, state jsonb)
language plpgsql stable set enable_nestloop = off set enable_seqscan = off as $$
declare
  known uuid[] := memory.as_uuids(p_ids);
begin
  if p_projection = 'graph' and p_kind = 'memory' then
    return query
    select m.id::text, jsonb_build_object('revision', m.revision, 'version', m.version, 'deleted', m.deleted_at is not null,
      'props', case when m.deleted_at is null then memory.graph_memory(m.id, m.namespace, m.revision, m.created_at, m.digest, m.bucket, m.leaf) end,
      'mentions', coalesce(x.mentions, ''))
    from memory.memories m
    left join (
      select n.memory_id, string_agg(n.entity_id || ' ' || ((n.digest >> 32) & 4294967295) || ' ' || (n.digest & 4294967295), ';') as mentions
      from memory.shown_mentions n where n.memory_id = any (known) group by n.memory_id
    ) x on x.memory_id = m.id
    where m.id = any (known);
  elsif p_projection = 'graph' and p_kind = 'entity' then
    return query
    select e.id::text, jsonb_build_object('revision', e.revision, 'version', e.revision, 'deleted', e.deleted_at is not null,
      'props', case when e.deleted_at is null then memory.graph_entity(e.id, e.namespace, e.name, e.type, e.revision, e.digest, e.bucket, e.leaf, e.aliases, e.summary) end)
    from memory.entities e where e.id = any (known);
  elsif p_projection = 'graph' and p_kind = 'relation' then
    return query
    select r.id::text, jsonb_build_object('revision', r.revision, 'version', r.revision, 'deleted', r.deleted_at is not null,
      'source', r.source_id, 'target', r.target_id, 'props', case when r.deleted_at is null then memory.graph_relation(r.id, r.namespace, r.predicate, r.revision, r.digest) end)
    from memory.relations r where r.id = any (known);
  elsif p_projection = 'entities' then
    return query
    select m.id::text, jsonb_build_object('revision', m.revision, 'version', m.version, 'deleted', m.deleted_at is not null, 'namespace', m.namespace, 'text', m.text)
    from memory.memories m where m.id = any (known);
  elsif p_projection = 'embeddings' and p_kind = 'memory' then
    return query
    select m.id::text, jsonb_build_object('revision', m.revision, 'version', m.version, 'deleted', m.deleted_at is not null, 'namespace', m.namespace,
      'text', case when l.id is not null then m.text end, 'passages', coalesce(x.passages, '[]'))
    from memory.memories m
    left join (
      select h.id from memory.ledger h where h.projection = 'embeddings' and h.kind = 'memory' and h.id = any (p_ids) and h.hint is not null
    ) l on l.id = m.id::text
    left join (
      select q.memory_id, jsonb_agg(q.text order by q.ordinal) as passages from memory.passages q where q.memory_id = any (known) group by q.memory_id
    ) x on x.memory_id = m.id
    where m.id = any (known);
  elsif p_projection = 'embeddings' and p_kind = 'entity' then
    return query
    select e.id::text, jsonb_build_object('revision', e.revision, 'version', e.revision, 'deleted', e.deleted_at is not null, 'namespace', e.namespace,
      'passages', jsonb_build_array(e.name))
    from memory.entities e where e.id = any (known);
  end if;
end $$;
