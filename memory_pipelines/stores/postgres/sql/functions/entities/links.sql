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
  renewed_entities uuid[] := '{}';
  renewed_relations uuid[] := '{}';
  changed_memories uuid[];
  removed jsonb;
begin
  p_rows := memory.resolve_names(p_rows);
  select array_agg((r ->> 'memory')::uuid) into memory_ids from jsonb_array_elements(p_rows) r;

  -- 1. Entities named, also those named only by a relation. Inserting in hash order keeps two writers from deadlock.
  insert into memory.entities (namespace, name, type, name_key, name_hash)
  select w.namespace, w.name, w.type, w.key, memory.keyed_hash('entity', w.namespace, w.key)
  from (
    select distinct on (r ->> 'namespace', e ->> 'key')
      r ->> 'namespace' as namespace, e ->> 'name' as name, e ->> 'type' as type, e ->> 'key' as key
    from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'entities') e
    order by r ->> 'namespace', e ->> 'key', (e ->> 'type' = 'thing')
  ) w
  order by 5
  on conflict (name_hash) do nothing;

  select array_agg(w.memory), array_agg(n.id), array_agg(memory.shown_as(n.id)) into pair_memory, pair_entity, pair_shown
  from (
    select distinct (r ->> 'memory')::uuid as memory, memory.keyed_hash('entity', r ->> 'namespace', e ->> 'key') as name_hash
    from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'entities') e
  ) w
  join memory.entities n on n.name_hash = w.name_hash;

  -- 2. Lock every entity whose support may change.
  select coalesce(array_agg(id), '{}') into touched_entities
  from (
    select n.id from memory.entities n
    where n.id in (
      select unnest(pair_entity || pair_shown)
      union select unnest(array[m.entity_id, m.shown_id]) from memory.mentions m where m.memory_id = any (memory_ids)
    )
    order by n.id for update
  ) locked;

  -- 3. A name that was forgotten lives again; an entity of unknown type learns it. A name that means another entity wakes that one,
  -- which then is called so until its own name comes.
  with named as (
    select distinct on (x.shown) x.* from (
      select memory.shown_as(n.id) as shown, memory.shown_as(n.id) = n.id as own, e ->> 'name' as name, e ->> 'type' as type, e ->> 'key' as key
      from jsonb_array_elements(p_rows) r cross join jsonb_array_elements(r -> 'entities') e
        join memory.entities n on n.name_hash = memory.keyed_hash('entity', r ->> 'namespace', e ->> 'key')
    ) x
    order by x.shown, x.own desc, (x.type = 'thing')
  ), renewed as (
    update memory.entities n
    set name = case when w.own and memory.borrows_name(n.id, n.name_key) then w.name else coalesce(n.name, w.name) end,
        name_key = case when w.own and memory.borrows_name(n.id, n.name_key) then w.key else coalesce(n.name_key, w.key) end,
        type = case when n.type is null or ((n.type = 'thing' or (w.own and memory.borrows_name(n.id, n.name_key))) and 'type' <> all (n.curated)) then w.type else n.type end,
        deleted_at = null, revision = n.revision + 1
    from named w
    where n.id = w.shown and (n.deleted_at is not null
      or (w.own and (n.type = 'thing' and w.type <> 'thing' and 'type' <> all (n.curated) or n.name_key <> w.key and memory.borrows_name(n.id, n.name_key))))
    returning n.id
  )
  select coalesce(array_agg(id), '{}') into renewed_entities from renewed;
  if pair_shown <> pair_entity then
    perform memory.learn_names(p_rows);
  end if;

  -- 4. Relations between them, in the same way.
  insert into memory.relations (namespace, source_id, predicate, target_id, name_hash)
  select distinct w.namespace, v.source, w.predicate, v.target, memory.keyed_hash('relation', v.source::text, w.predicate, v.target::text)
  from (
    select distinct r ->> 'namespace' as namespace, x ->> 'source_key' as source, x ->> 'predicate' as predicate, x ->> 'target_key' as target
    from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'relations') x
  ) w
  join memory.entities s on s.name_hash = memory.keyed_hash('entity', w.namespace, w.source)
  join memory.entities t on t.name_hash = memory.keyed_hash('entity', w.namespace, w.target)
  cross join lateral (values (s.id, t.id), (memory.shown_as(s.id), memory.shown_as(t.id))) v(source, target)
  where is_given or not (select exists (select from memory.retractions)) or not exists (  -- else it would stand there with nobody stating it
    select from memory.retractions o join memory.relations y on y.id = o.relation_id
    where y.name_hash in (memory.keyed_hash('relation', s.id::text, w.predicate, t.id::text),
      memory.keyed_hash('relation', memory.shown_as(s.id)::text, w.predicate, memory.shown_as(t.id)::text)))
  order by 5
  on conflict (name_hash) do nothing;

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
    with named as (
      select distinct memory.keyed_hash('relation', memory.shown_as(s.id)::text, x ->> 'predicate', memory.shown_as(t.id)::text) as name_hash,
        x ->> 'predicate' as predicate
      from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'relations') x, memory.entities s, memory.entities t
      where s.name_hash = memory.keyed_hash('entity', r ->> 'namespace', x ->> 'source_key')
        and t.name_hash = memory.keyed_hash('entity', r ->> 'namespace', x ->> 'target_key')
    ), renewed as (
      update memory.relations n set predicate = w.predicate, deleted_at = null, revision = n.revision + 1
      from named w where n.name_hash = w.name_hash and n.deleted_at is not null and n.id = any (said_shown)
      returning n.id
    )
    select coalesce(array_agg(id), '{}') into renewed_relations from renewed;
  end if;

  -- 5. Mentions: set this origin's flag where it is wanted, clear it elsewhere, delete what nobody says.
  with facts as (
    select (r ->> 'memory')::uuid as memory, (r ->> 'version')::integer as version, (r ->> 'valid_from')::timestamptz as valid_from
    from jsonb_array_elements(p_rows) r
  ), wanted as (
    select p.memory, p.entity, p.shown, f.version, f.valid_from
    from unnest(pair_memory, pair_entity, pair_shown) p(memory, entity, shown) join facts f on f.memory = p.memory
  ), added as (
    insert into memory.mentions as m (memory_id, entity_id, shown_id, given, extracted, version, valid_from)
    select w.memory, w.entity, nullif(w.shown, w.entity), is_given, not is_given, w.version, w.valid_from from wanted w
    on conflict (memory_id, entity_id) do update
      set given = m.given or is_given, extracted = m.extracted or not is_given, version = excluded.version, valid_from = excluded.valid_from
    returning m.memory_id, (m.xmax = 0) as is_new
  ), cleared as (
    update memory.mentions m
    set given = m.given and not is_given, extracted = m.extracted and is_given
    where m.memory_id = any (memory_ids) and m.given and m.extracted
      and not exists (select from wanted w where w.memory = m.memory_id and w.entity = m.entity_id)
    returning m.memory_id
  ), removed_rows as (
    delete from memory.mentions m
    where m.memory_id = any (memory_ids) and (case when is_given then m.given and not m.extracted else m.extracted and not m.given end)
      and not exists (select from wanted w where w.memory = m.memory_id and w.entity = m.entity_id)
    returning m.memory_id
  )
  select coalesce(array_agg(distinct memory_id), '{}') into changed_memories
  from (select memory_id from added where is_new union all select memory_id from removed_rows) c;

  with facts as (
    select (r ->> 'memory')::uuid as memory, (r ->> 'version')::integer as version, (r ->> 'valid_from')::timestamptz as valid_from
    from jsonb_array_elements(p_rows) r
  ), wanted as (
    select p.memory, p.relation, p.shown, f.version, f.valid_from
    from unnest(said_memory, said_relation, said_shown) p(memory, relation, shown) join facts f on f.memory = p.memory
  ), added as (
    insert into memory.statements as s (relation_id, memory_id, shown_id, given, extracted, version, valid_from)
    select w.relation, w.memory, nullif(w.shown, w.relation), is_given, not is_given, w.version, w.valid_from from wanted w
    on conflict (relation_id, memory_id) do update
      set given = s.given or is_given, extracted = s.extracted or not is_given, version = excluded.version, valid_from = excluded.valid_from
    returning 1
  ), cleared as (
    update memory.statements s
    set given = s.given and not is_given, extracted = s.extracted and is_given
    where s.memory_id = any (memory_ids) and s.given and s.extracted
      and not exists (select from wanted w where w.memory = s.memory_id and w.relation = s.relation_id)
    returning 1
  )
  delete from memory.statements s
  where s.memory_id = any (memory_ids) and (case when is_given then s.given and not s.extracted else s.extracted and not s.given end)
    and not exists (select from wanted w where w.memory = s.memory_id and w.relation = s.relation_id);

  -- 6. What lost its last support is deleted; what is new or came back is owed.
  removed := memory.drop_unsupported(touched_entities, touched_relations);
  renewed_entities := renewed_entities || array(
    select e.id from memory.entities e
    where e.id = any (pair_entity) and not exists (select from memory.ledger l where l.projection = 'graph' and l.kind = 'entity' and l.id = e.id::text)
  );
  renewed_relations := renewed_relations || array(
    select x.id from memory.relations x
    where x.id = any (said_relation || said_shown) and not exists (select from memory.ledger l where l.projection = 'graph' and l.kind = 'relation' and l.id = x.id::text)
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
