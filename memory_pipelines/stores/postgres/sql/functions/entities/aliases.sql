-- Entities merged into others, and back. A merge is a row of `aliases`; mentions and statements keep what was named, and only say as
-- what they are shown, so that undoing it needs nothing but them. Projections and audits see what is shown.
-- Whoever stores links keeps a namespace's aliases as they are until it commits; a merge takes them for itself. This comes before any
-- row is locked.

-- Keeps the aliases of some namespaces from changing until this transaction ends. Returns how many namespaces that were.
create or replace function memory.keep_aliases(p_namespaces text[]) returns integer language sql as $$
  select count(pg_advisory_xact_lock_shared(k)::text)::integer
  from (select distinct hashtextextended('aliases:' || n, 0) as k from unnest(p_namespaces) n order by 1) keys
$$;

-- The entity with a name, merged or not, and whether or not any memory still says that name; raises where there is none.
create or replace function memory.named_entity(p_namespace text, p_named jsonb) returns memory.entities
language plpgsql stable as $$
declare
  e memory.entities;
begin
  select * into e from memory.entities where id = memory.entity_named(p_namespace, p_named ->> 'key');
  if e.id is null or (e.deleted_at is not null and not exists (select from memory.aliases where alias_id = e.id)) then
    perform memory.raise_error(404, 'entity_unknown', format('No memory of this namespace mentions %L.', p_named ->> 'name'),
      jsonb_build_object('namespace', p_namespace, 'name', p_named ->> 'name'));
  end if;
  return e;
end $$;

-- Locks the memories that name some entities, then those entities with others. Returns the memories.
create or replace function memory.lock_named(p_ids uuid[], p_others uuid[]) returns uuid[]
language plpgsql as $$
begin
  perform id from memory.memories where id in (select memory_id from memory.mentions where entity_id = any (p_ids)) order by id for update;
  perform id from memory.entities where id = any (p_ids || p_others) order by id for update;
  return array(select distinct memory_id from memory.mentions where entity_id = any (p_ids));
end $$;

-- Shows some named entities as what the aliases now say: mentions, statements, and the relations between what is shown. All that
-- changed has a new revision and is owed. The caller has changed the aliases, and locked memories and entities.
--   p_ids: entities as named   p_memories: that name them   p_supported: what they were and are shown as
create or replace function memory.show_anew(p_ids uuid[], p_memories uuid[], p_supported uuid[]) returns jsonb
language plpgsql as $$
declare
  moved jsonb;
  touched_relations uuid[];
  renewed_relations uuid[];
  removed jsonb;
begin
  update memory.mentions m set shown_id = nullif(memory.shown_as(m.entity_id), m.entity_id) where m.entity_id = any (p_ids);

  -- Relations between the ends as they are shown now. What one was shown as until now knows the predicate.
  select coalesce(jsonb_agg(jsonb_build_object('relation', x.relation, 'memory', x.memory, 'before', x.before, 'predicate', x.predicate,
    'namespace', x.namespace, 'source', x.source, 'target', x.target)), '[]') into moved
  from (
    select s.relation_id as relation, s.memory_id as memory, coalesce(s.shown_id, s.relation_id) as before, b.predicate, n.namespace,
      memory.shown_as(n.source_id) as source, memory.shown_as(n.target_id) as target
    from memory.statements s join memory.relations n on n.id = s.relation_id join memory.relations b on b.id = coalesce(s.shown_id, s.relation_id)
    where s.memory_id = any (p_memories) and (n.source_id = any (p_ids) or n.target_id = any (p_ids))
  ) x;
  with now_shown as (
    select distinct namespace, source, predicate, target, memory.keyed_hash('relation', source::text, predicate, target::text) as name_hash
    from jsonb_to_recordset(moved) x(namespace text, source uuid, predicate text, target uuid)
  )
  insert into memory.relations (namespace, source_id, predicate, target_id, name_hash)
  select namespace, source, predicate, target, name_hash from now_shown order by name_hash
  on conflict (name_hash) do nothing;
  select coalesce(array_agg(id), '{}') into touched_relations from (
    select id from memory.relations r
    where r.id in (
      select x.before from jsonb_to_recordset(moved) x(before uuid)
      union select x.relation from jsonb_to_recordset(moved) x(relation uuid)
      union select v.id from jsonb_to_recordset(moved) x(source uuid, predicate text, target uuid)
        join memory.relations v on v.name_hash = memory.keyed_hash('relation', x.source::text, x.predicate, x.target::text)
    )
    order by id for update
  ) locked;
  with now_shown as (
    select distinct predicate, memory.keyed_hash('relation', source::text, predicate, target::text) as name_hash
    from jsonb_to_recordset(moved) x(source uuid, predicate text, target uuid)
  ), renewed as (
    update memory.relations r set predicate = w.predicate, deleted_at = null, revision = r.revision + 1
    from now_shown w where r.name_hash = w.name_hash and r.deleted_at is not null
    returning r.id
  )
  select coalesce(array_agg(id), '{}') into renewed_relations from renewed;
  update memory.statements s set shown_id = nullif(v.id, s.relation_id)
  from jsonb_to_recordset(moved) x(relation uuid, memory uuid, source uuid, predicate text, target uuid)
    join memory.relations v on v.name_hash = memory.keyed_hash('relation', x.source::text, x.predicate, x.target::text)
  where s.relation_id = x.relation and s.memory_id = x.memory;

  removed := memory.drop_unsupported(p_ids || p_supported, touched_relations);
  renewed_relations := renewed_relations || array(
    select t.relation from unnest(touched_relations) t(relation)
    where not exists (select from memory.ledger l where l.projection = 'graph' and l.kind = 'relation' and l.id = t.relation::text)
  );
  perform memory.owe('graph', 'relation', renewed_relations);
  update memory.memories set revision = revision + 1 where id = any (p_memories);
  perform memory.owe('graph', 'memory', p_memories);
  return memory.refs('relation', renewed_relations) || removed || memory.refs('memory', p_memories);
end $$;

-- Shows one entity, and all that was merged into it, as another from now on. Mentions keep what they named.
--   {"namespace", "source": {name, key}, "target": {name, key}, "by"?, "lease"?: {name, fence}}
--   -> {"outcome": merged|unchanged, "entity": {id, name, type}, "alias": {id, name}, "memories": n, "touched": [[kind, id], …]}
create or replace function public.memory_merge_entities_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  source memory.entities;
  target memory.entities;
  root memory.entities;
  family uuid[];
  memories uuid[] := '{}';
  touched jsonb := '[]';
  outcome text := 'unchanged';
begin
  perform memory.check_lease(p -> 'lease');
  perform memory.known_namespace(p ->> 'namespace');
  perform pg_advisory_xact_lock(hashtextextended('aliases:' || (p ->> 'namespace'), 0));
  source := memory.named_entity(p ->> 'namespace', p -> 'source');
  target := memory.named_entity(p ->> 'namespace', p -> 'target');
  select * into root from memory.entities where id = memory.shown_as(target.id);
  if root.id = source.id then
    perform memory.raise_error(400, 'entity_merged_with_itself', 'These are one entity already: nothing can be merged into itself or into its own alias.',
      jsonb_build_object('namespace', p ->> 'namespace', 'name', p -> 'source' ->> 'name'));
  end if;
  if memory.shown_as(source.id) not in (source.id, root.id) then
    perform memory.raise_error(409, 'entity_is_alias', 'The entity to merge is an alias of another one: unmerge it first, or merge that one.',
      jsonb_build_object('namespace', p ->> 'namespace', 'name', p -> 'source' ->> 'name'));
  end if;
  if memory.shown_as(source.id) = source.id then
    family := array(select memory.family(source.id));
    memories := memory.lock_named(family, array[root.id]);
    -- Both must live: what a forget took away while we waited for its locks cannot be shown.
    select * into source from memory.entities where id = source.id;
    select * into root from memory.entities where id = root.id;
    if source.deleted_at is not null or root.deleted_at is not null then
      perform memory.raise_error(404, 'entity_unknown', 'No memory of this namespace mentions both of these entities.',
        jsonb_build_object('namespace', p ->> 'namespace', 'name', case when source.deleted_at is null then p -> 'target' ->> 'name' else p -> 'source' ->> 'name' end));
    end if;
    -- What a person has written of it, or drawn to it, has no place in an alias: undoing the merge could not give it back.
    if source.curated <> '{}' or exists (select from memory.relations where adopted_at is not null and deleted_at is null and source.id in (source_id, target_id)) then
      perform memory.raise_error(409, 'entity_curated', 'A person has curated the entity to merge in the graph: merge the other one into it.',
        jsonb_build_object('namespace', p ->> 'namespace', 'name', p -> 'source' ->> 'name'));
    end if;
    insert into memory.aliases (alias_id, namespace, parent_id, entity_id, name, type, name_key, merged_by)
    values (source.id, source.namespace, root.id, root.id, source.name, source.type, source.name_key, p ->> 'by');
    update memory.aliases set entity_id = root.id where entity_id = source.id;
    touched := memory.show_anew(family, memories, array[root.id]);
    outcome := 'merged';
  end if;
  return jsonb_build_object('outcome', outcome, 'entity', jsonb_build_object('id', root.id, 'name', root.name, 'type', root.type),
    'alias', (select jsonb_build_object('id', alias_id, 'name', name) from memory.aliases where alias_id = source.id),
    'memories', coalesce(cardinality(memories), 0), 'touched', touched);
end $$;

-- Takes a merge back: whatever names that entity, or one that had been merged into it, is shown as it again, also what came meanwhile.
--   {"namespace", "name": {name, key}, "lease"?} -> {"entity": {id, name, type}|null, "from": {id, name, type}|null, "memories": n, "touched"}
--   An entity is null when no memory mentions it.
create or replace function public.memory_unmerge_entity_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  merged memory.aliases;
  family uuid[];
  memories uuid[];
  renewed uuid[];
  touched jsonb;
begin
  perform memory.check_lease(p -> 'lease');
  perform memory.known_namespace(p ->> 'namespace');
  perform pg_advisory_xact_lock(hashtextextended('aliases:' || (p ->> 'namespace'), 0));
  select a.* into merged from memory.aliases a join memory.entities e on e.id = a.alias_id
  where e.name_hash = memory.keyed_hash('entity', p ->> 'namespace', p -> 'name' ->> 'key');
  if merged.alias_id is null then
    perform memory.raise_error(404, 'alias_unknown', format('%L was not merged into another entity of this namespace.', p -> 'name' ->> 'name'),
      jsonb_build_object('namespace', p ->> 'namespace', 'name', p -> 'name' ->> 'name'));
  end if;
  family := array(select memory.family(merged.alias_id));
  memories := memory.lock_named(family, array[merged.entity_id]);
  select * into merged from memory.aliases where alias_id = merged.alias_id;  -- its name may have been forgotten while we waited
  delete from memory.aliases where alias_id = merged.alias_id;
  update memory.aliases set entity_id = merged.alias_id where alias_id = any (family);
  renewed := memory.take_other_names(array[merged.entity_id], array[merged.name_key]);
  with again as (
    update memory.entities e
    set name = merged.name, type = merged.type, name_key = merged.name_key, deleted_at = null, revision = e.revision + 1
    where e.id = merged.alias_id and e.deleted_at is not null and cardinality(memories) > 0
    returning e.id
  )
  select array(select id from again union all select unnest(renewed)) into renewed;
  perform memory.owe('graph', 'entity', renewed);
  perform memory.owe('embeddings', 'entity', renewed);
  touched := memory.refs('entity', renewed) || memory.show_anew(family, memories, array[merged.entity_id]);
  return jsonb_build_object(
    'entity', (select jsonb_build_object('id', id, 'name', name, 'type', type) from memory.entities where id = merged.alias_id and deleted_at is null),
    'from', (select jsonb_build_object('id', id, 'name', name, 'type', type) from memory.entities where id = merged.entity_id and deleted_at is null),
    'memories', cardinality(memories), 'touched', touched);
end $$;
