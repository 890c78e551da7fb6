-- The steps of storing links, in the order in which `links.sql` takes them. Nothing here is called by anybody else.
--   p_rows: what `store_links` was given   is_given: said by the caller, not found by extraction
--   pair_…, said_…: of each mention and each statement, the memory, what was named, and what it is shown as

-- 1. Makes the entities that rows name, also those named only by a relation. Inserting in hash order keeps two writers from deadlock.
create or replace function memory.make_entities(p_rows jsonb) returns void
language plpgsql as $$
begin
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
end $$;

-- 2. A name that was forgotten lives again; an entity of unknown type learns it. A name that means another entity wakes that one, which
-- then is called so until its own name comes. The entities are locked. Returns those that changed.
create or replace function memory.renew_entities(p_rows jsonb) returns uuid[]
language plpgsql as $$
declare
  renewed_entities uuid[];
begin
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
  return renewed_entities;
end $$;

-- 3. Makes the relations that rows state, as they are named and as they are shown, in hash order. What somebody took away is brought back
-- only by a link that is given.
create or replace function memory.make_relations(p_rows jsonb, is_given boolean) returns void
language plpgsql as $$
begin
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
end $$;

-- 4. Relations that were forgotten live again, of those that are said. They are locked. Returns those that changed.
create or replace function memory.renew_relations(p_rows jsonb, said_shown uuid[]) returns uuid[]
language plpgsql as $$
declare
  renewed_relations uuid[];
begin
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
  return renewed_relations;
end $$;

-- 5. Mentions of some memories: sets one origin's flag where it is wanted, clears it elsewhere, deletes what nobody says. Returns the
-- memories for which that was not all there already.
create or replace function memory.set_mentions(p_rows jsonb, is_given boolean, memory_ids uuid[], pair_memory uuid[], pair_entity uuid[], pair_shown uuid[]) returns uuid[]
language plpgsql as $$
declare
  changed_memories uuid[];
begin
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

  return changed_memories;
end $$;

-- 6. Statements of some memories, in the same way.
create or replace function memory.set_statements(p_rows jsonb, is_given boolean, memory_ids uuid[], said_memory uuid[], said_relation uuid[], said_shown uuid[]) returns void
language plpgsql as $$
begin
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
end $$;
