-- Entities as they are read: found by a name, with who mentions them; and what was merged. Nothing here writes.

-- The live entity with this name (of one that was merged: the one that it is shown as), else the names nearest to it (by trigram-free means: same beginning, then nearest vector).
--   {"namespace", "key", "vector"?} -> {"entity": {id, name, type}|null, "suggestions": [name, …]}
create or replace function public.memory_find_entity_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  found_entity jsonb;
  near jsonb := '[]';
begin
  if not exists (select from memory.namespaces where name = p ->> 'namespace') then
    perform memory.raise_error(404, 'namespace_unknown', 'There is no namespace of this name; the first save creates one.', jsonb_build_object('namespace', p ->> 'namespace'));
  end if;
  select jsonb_build_object('id', e.id, 'name', e.name, 'type', e.type) into found_entity
  from memory.entities e where e.id = memory.shown_as(memory.entity_named(p ->> 'namespace', p ->> 'key')) and e.deleted_at is null;
  if found_entity is null then
    select coalesce(jsonb_agg(name), '[]') into near from (
      select e.name from (
        select name, name_key from memory.entities where namespace = p ->> 'namespace' and deleted_at is null
        union all select name, name_key from memory.aliases where namespace = p ->> 'namespace' and name is not null
      ) e
      where e.name_key ^@ (p ->> 'key') or position(p ->> 'key' in e.name_key) > 0
      order by length(e.name_key), e.name_key limit 5
    ) x;
    if jsonb_array_length(near) = 0 and p ->> 'vector' is not null then
      select coalesce(jsonb_agg(name), '[]') into near from (
        select e.name from memory.embeddings v join memory.entities e on e.id = v.id
        where v.kind = 'entity' and v.namespace = p ->> 'namespace' and e.deleted_at is null
          and v.generation = (select id from memory.generations where state = 'active')
        order by v.v <=> (p ->> 'vector')::vector limit 5
      ) x;
    end if;
  end if;
  return jsonb_build_object('entity', found_entity, 'suggestions', near);
end $$;

-- The merges of a namespace, the oldest first, a page at a time. A name that no memory says any more is null.
--   {"namespace", "limit", "after"?: [merged_at, id]} -> [{id, name, type, entity_id, entity, merged_into, merged_at, merged_by}, …]
create or replace function public.memory_aliases_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  page jsonb;
begin
  perform memory.known_namespace(p ->> 'namespace');
  select coalesce(jsonb_agg(jsonb_build_object('id', a.alias_id, 'name', a.name, 'type', a.type, 'entity_id', a.entity_id, 'entity', e.name,
    'merged_into', coalesce(o.name, r.name), 'merged_at', a.merged_at, 'merged_by', a.merged_by) order by a.merged_at, a.alias_id), '[]') into page
  from (
    select * from memory.aliases
    where namespace = p ->> 'namespace'
      and (p -> 'after' is null or (merged_at, alias_id) > ((p -> 'after' ->> 0)::timestamptz, (p -> 'after' ->> 1)::uuid))
    order by merged_at, alias_id limit (p ->> 'limit')::integer
  ) a
  join memory.entities e on e.id = a.entity_id
  join memory.entities r on r.id = a.parent_id
  left join memory.aliases o on o.alias_id = a.parent_id;
  return page;
end $$;

-- One entity as it is shown, what was merged into it, and which memories mention it under which name, the newest first.
--   {"namespace", "name": {name, key}, "limit"}
--   -> {id, name, type, revision, aliases: [as of memory_aliases_v1], mentions: n, memories: [{memory, entity_id, name, given, extracted, version, valid_from}, …]}
create or replace function public.memory_entity_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  named memory.entities;
  result jsonb;
begin
  perform memory.known_namespace(p ->> 'namespace');
  named := memory.named_entity(p ->> 'namespace', p -> 'name');
  with family as (
    select memory.shown_as(named.id) as id union all select alias_id from memory.aliases where entity_id = memory.shown_as(named.id)
  ), said as (
    select m.memory_id, m.entity_id, coalesce(a.name, e.name) as name, m.given, m.extracted, m.version, m.valid_from
    from family f join memory.mentions m on m.entity_id = f.id join memory.entities e on e.id = m.entity_id
    left join memory.aliases a on a.alias_id = m.entity_id
  )
  select jsonb_build_object('id', e.id, 'name', e.name, 'type', e.type, 'revision', e.revision,
    'aliases', (
      select coalesce(jsonb_agg(jsonb_build_object('id', a.alias_id, 'name', a.name, 'type', a.type, 'entity_id', a.entity_id, 'entity', e.name,
        'merged_into', coalesce(o.name, r.name), 'merged_at', a.merged_at, 'merged_by', a.merged_by) order by a.merged_at, a.alias_id), '[]')
      from memory.aliases a join memory.entities r on r.id = a.parent_id left join memory.aliases o on o.alias_id = a.parent_id
      where a.entity_id = e.id),
    'mentions', (select count(distinct memory_id) from said),
    'memories', (
      select coalesce(jsonb_agg(jsonb_build_object('memory', s.memory_id, 'entity_id', s.entity_id, 'name', s.name, 'given', s.given, 'extracted', s.extracted,
        'version', s.version, 'valid_from', s.valid_from) order by s.valid_from desc, s.memory_id, s.entity_id), '[]')
      from (select * from said order by valid_from desc, memory_id, entity_id limit (p ->> 'limit')::integer) s))
  into result
  from memory.entities e where e.id = memory.shown_as(named.id) and e.deleted_at is null;
  if result is null then
    perform memory.raise_error(404, 'entity_unknown', format('No memory of this namespace mentions %L.', p -> 'name' ->> 'name'),
      jsonb_build_object('namespace', p ->> 'namespace', 'name', p -> 'name' ->> 'name'));
  end if;
  return result;
end $$;

-- A page of the live entities of a namespace, by name.
--   {"namespace", "limit", "type"?, "prefix"?: key, "after"?: [key, id]} -> [{id, name, type, key, mentions, newest}, …]
--   `mentions` counts memories; `newest` is when the newest of them was written.
create or replace function public.memory_entities_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  page jsonb;
begin
  perform memory.known_namespace(p ->> 'namespace');
  select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'name', g.name, 'type', g.type, 'key', g.name_key, 'mentions', m.mentions, 'newest', m.newest)
    order by g.name_key collate "C", g.id), '[]') into page
  from (
    select e.id, e.name, e.type, e.name_key from memory.entities e
    where e.namespace = p ->> 'namespace' and e.deleted_at is null
      and (p ->> 'type' is null or e.type = p ->> 'type')
      and (p ->> 'prefix' is null or starts_with(e.name_key, p ->> 'prefix'))
      and (p -> 'after' is null or (e.name_key collate "C", e.id) > (p -> 'after' ->> 0, (p -> 'after' ->> 1)::uuid))
    order by e.name_key collate "C", e.id limit (p ->> 'limit')::integer
  ) g
  cross join lateral (
    select count(distinct n.memory_id) as mentions, max(n.valid_from) as newest from memory.mentions n
    where n.shown_id = g.id or (n.entity_id = g.id and n.shown_id is null)
  ) m;
  return page;
end $$;
