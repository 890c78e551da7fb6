-- Entities, relations and who supports them. A subject lives while at least one memory mentions it: the removal of the
-- last support is a versioned delete (`support.sql`), a new support after that a versioned revival.
-- Locks are taken in one order everywhere: a namespace's aliases, memories, then entities, then relations, each by id.
-- Of an entity that was merged (`aliases.sql`) a mention keeps the one that was named; what it is shown as is what it supports.

-- Makes the links of some memories exactly what one origin says they are; what the other origin says stays.
--   p_rows: [{memory, namespace, version, valid_from, entities: [{name, type, key}], relations: [{source, source_key, predicate, target, target_key}]}]
--   p_bump: raise the revision of memories whose links changed (a save has raised it already)
-- The caller holds the memories' row locks. Returns the refs that now are owed.
create or replace function memory.store_links(p_rows jsonb, p_origin text, p_bump boolean) returns jsonb
language plpgsql as $$
declare
  is_given boolean := p_origin = 'given';
  memory_ids uuid[];
  touched_entities uuid[];
  touched_relations uuid[];
  pair_memory uuid[];
  pair_entity uuid[];
  pair_shown uuid[];
  said_memory uuid[];
  said_relation uuid[];
  said_shown uuid[];
  renewed_entities uuid[];
  renewed_relations uuid[] := '{}';
  changed_memories uuid[];
  removed jsonb;
begin
  p_rows := memory.resolve_names(p_rows);
  select array_agg((r ->> 'memory')::uuid) into memory_ids from jsonb_array_elements(p_rows) r;

  -- Entities: those that are named, then a lock on every one whose support may change.
  perform memory.make_entities(p_rows);
  select array_agg(w.memory), array_agg(n.id), array_agg(memory.shown_as(n.id)) into pair_memory, pair_entity, pair_shown
  from (
    select distinct (r ->> 'memory')::uuid as memory, memory.keyed_hash('entity', r ->> 'namespace', e ->> 'key') as name_hash
    from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'entities') e
  ) w
  join memory.entities n on n.name_hash = w.name_hash;
  select coalesce(array_agg(id), '{}') into touched_entities
  from (
    select n.id from memory.entities n
    where n.id in (
      select unnest(pair_entity || pair_shown)
      union select unnest(array[m.entity_id, m.shown_id]) from memory.mentions m where m.memory_id = any (memory_ids)
    )
    order by n.id for update
  ) locked;
  renewed_entities := memory.renew_entities(p_rows);
  if pair_shown <> pair_entity then
    perform memory.learn_names(p_rows);
  end if;

  -- Relations between them, in the same way.
  perform memory.make_relations(p_rows, is_given);
  select array_agg(w.memory), array_agg(n.id), array_agg(v.id) into said_memory, said_relation, said_shown
  from (
    select distinct (r ->> 'memory')::uuid as memory, memory.keyed_hash('relation', s.id::text, x ->> 'predicate', t.id::text) as name_hash,
      memory.keyed_hash('relation', memory.shown_as(s.id)::text, x ->> 'predicate', memory.shown_as(t.id)::text) as shown_hash
    from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'relations') x,
      memory.entities s, memory.entities t
    where s.name_hash = memory.keyed_hash('entity', r ->> 'namespace', x ->> 'source_key')
      and t.name_hash = memory.keyed_hash('entity', r ->> 'namespace', x ->> 'target_key')
  ) w
  join memory.relations n on n.name_hash = w.name_hash
  join memory.relations v on v.name_hash = w.shown_hash
  where is_given or not exists (select from memory.retractions t where t.relation_id in (n.id, v.id));
  if is_given then
    delete from memory.retractions where relation_id = any (said_relation || said_shown);
  end if;
  select coalesce(array_agg(id), '{}') into touched_relations
  from (
    select n.id from memory.relations n
    where n.id in (
      select unnest(said_relation || said_shown)
      union select unnest(array[s.relation_id, s.shown_id]) from memory.statements s where s.memory_id = any (memory_ids)
    )
    order by n.id for update
  ) locked;
  if said_relation is not null then
    renewed_relations := memory.renew_relations(p_rows, said_shown);
  end if;

  changed_memories := memory.set_mentions(p_rows, is_given, memory_ids, pair_memory, pair_entity, pair_shown);
  perform memory.set_statements(p_rows, is_given, memory_ids, said_memory, said_relation, said_shown);

  -- What lost its last support is deleted; what is new or came back is owed.
  removed := memory.drop_unsupported(touched_entities, touched_relations);
  renewed_entities := renewed_entities || array(
    select e.id from memory.entities e
    where e.id = any (pair_entity) and not exists (select from memory.ledger l where l.projection = 'graph' and l.kind = 'entity' and l.id = e.id::text)
  );
  renewed_relations := renewed_relations || array(
    select x.id from memory.relations x
    where x.id = any (said_relation || said_shown)
      and not exists (select from memory.ledger l where l.projection = 'graph' and l.kind = 'relation' and l.id = x.id::text)
  );
  if cardinality(renewed_entities) > 0 then
    perform memory.owe('graph', 'entity', renewed_entities);
    perform memory.owe('embeddings', 'entity', renewed_entities);
  end if;
  if cardinality(renewed_relations) > 0 then
    perform memory.owe('graph', 'relation', renewed_relations);
  end if;
  if p_bump and cardinality(changed_memories) > 0 then
    update memory.memories set revision = revision + 1 where id = any (changed_memories);
    perform memory.owe('graph', 'memory', changed_memories);
  end if;
  return memory.refs('entity', renewed_entities) || memory.refs('relation', renewed_relations) || removed
    || case when p_bump then memory.refs('memory', changed_memories) else '[]' end;
end $$;

-- Stores extracted links and settles the debt, in one transaction. A result made from an older version is refused; so is one whose
-- drain has lost its lease. One that is empty, where the very same text gave links before, changes and settles nothing: it is named in
-- `emptied`. Unless that is accepted, for all by `accept_empty` or for one by its hint (`memory_retry_dead_v1`).
--   {"rows": [{id, number, version, entities, relations}], "accept_empty"?, "lease"?: {name, fence}}
--   -> {"stored": n, "superseded": n, "emptied": [id, …], "touched": [[kind, id], …]}
create or replace function public.memory_store_links_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  accepted jsonb;
  emptied uuid[] := '{}';
  paid integer;
  touched jsonb := '[]';
begin
  perform memory.check_lease(p -> 'lease');
  perform memory.keep_aliases(array(
    select distinct namespace from memory.memories where id in (select (r ->> 'id')::uuid from jsonb_array_elements(p -> 'rows') r)));
  perform id from memory.memories where id in (select (r ->> 'id')::uuid from jsonb_array_elements(p -> 'rows') r) order by id for update;
  if not coalesce((p ->> 'accept_empty')::boolean, false) then
    emptied := array(
      select m.id
      from jsonb_array_elements(p -> 'rows') r
      join memory.memories m on m.id = (r ->> 'id')::uuid and m.deleted_at is null and m.version = (r ->> 'version')::integer
      join memory.ledger l on l.projection = 'entities' and l.kind = 'memory' and l.id = r ->> 'id' and l.settled_version = m.version
      where jsonb_array_length(r -> 'entities') = 0 and jsonb_array_length(r -> 'relations') = 0
        and not coalesce((l.hint ->> 'accept_empty')::boolean, false)
        and (exists (select from memory.mentions n where n.memory_id = m.id and n.extracted)
          or exists (select from memory.statements s where s.memory_id = m.id and s.extracted)));
  end if;
  select coalesce(jsonb_agg(jsonb_build_object(
      'memory', m.id, 'namespace', m.namespace, 'version', m.version, 'valid_from', m.created_at,
      'entities', r -> 'entities', 'relations', r -> 'relations')), '[]')
  into accepted
  from jsonb_array_elements(p -> 'rows') r join memory.memories m on m.id = (r ->> 'id')::uuid
  where m.deleted_at is null and m.version = (r ->> 'version')::integer and m.id <> all (emptied);
  if jsonb_array_length(accepted) > 0 then
    touched := memory.store_links(accepted, 'extracted', true);
  end if;
  with paid_rows as (
    update memory.ledger l
    set owed_number = null, owed_since = null, settled_revision = coalesce(m.revision, 0), settled_version = coalesce(m.version, 0),
        settled_at = clock_timestamp(), attempts = 0, retry_at = null, last_error = null, parked_at = null, forced = null, hint = null
    from jsonb_array_elements(p -> 'rows') r left join memory.memories m on m.id = (r ->> 'id')::uuid
    where l.projection = 'entities' and l.kind = 'memory' and l.id = r ->> 'id' and l.owed_number = (r ->> 'number')::bigint
      and (m.id is null or m.deleted_at is not null or m.version = (r ->> 'version')::integer)
      and (m.id is null or m.id <> all (emptied))
    returning 1
  )
  select count(*) into paid from paid_rows;
  return jsonb_build_object('stored', paid, 'superseded', jsonb_array_length(p -> 'rows') - paid - cardinality(emptied),
    'emptied', to_jsonb(emptied), 'touched', touched);
end $$;
