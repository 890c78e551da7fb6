-- What a name means once entities were merged: as what one is shown, which merged names are still said, and who lives under which.
-- Merging: `aliases.sql`.

-- The entity that a named one is shown as: itself, unless it was merged.
create or replace function memory.shown_as(p_id uuid) returns uuid language sql stable as $$
  select coalesce((select entity_id from memory.aliases where alias_id = p_id), p_id)
$$;

-- Whether an entity lives under the name of one that was merged into it, because its own was forgotten.
create or replace function memory.borrows_name(p_id uuid, p_name_key text) returns boolean language sql stable as $$
  select exists (select from memory.aliases where entity_id = p_id and name_key = p_name_key)
$$;

-- An entity and all that was merged into it, directly or not.
create or replace function memory.family(p_id uuid) returns setof uuid language sql stable as $$
  with recursive down as (
    select p_id as id union select a.alias_id from memory.aliases a join down d on a.parent_id = d.id
  )
  select id from down
$$;

-- Merged names that are mentioned again are known again, and learn their type.  p_rows: as of `store_links`
create or replace function memory.learn_names(p_rows jsonb) returns void language plpgsql as $$
begin
  with named as (
    select distinct on (n.id) n.id, e ->> 'name' as name, e ->> 'type' as type, e ->> 'key' as key
    from jsonb_array_elements(p_rows) r cross join jsonb_array_elements(r -> 'entities') e
      join memory.entities n on n.name_hash = memory.keyed_hash('entity', r ->> 'namespace', e ->> 'key')
    order by n.id, (e ->> 'type' = 'thing')
  )
  update memory.aliases a
  set name = coalesce(a.name, w.name), name_key = coalesce(a.name_key, w.key),
      type = case when a.type is null or a.type = 'thing' then w.type else a.type end
  from named w
  where a.alias_id = w.id and (a.name is null or (a.type = 'thing' and w.type <> 'thing'));
end $$;

-- What lives under a name that leaves it takes the first other that it goes by; a type that a person has curated stays. The aliases no
-- longer have the names that leave. Returns who was renamed.  p_entities, p_name_keys: who may live under which name, pairwise
create or replace function memory.take_other_names(p_entities uuid[], p_name_keys text[]) returns uuid[] language sql as $$
  with renamed as (
    update memory.entities e
    set name = other.name, name_key = other.name_key, type = case when 'type' = any (e.curated) then e.type else other.type end, revision = e.revision + 1
    from unnest(p_entities, p_name_keys) leaving(id, name_key) cross join lateral (
      select a.name, a.name_key, a.type from memory.aliases a
      where a.entity_id = leaving.id and a.name is not null
      order by a.merged_at, a.alias_id limit 1
    ) other
    where e.id = leaving.id and e.name_key = leaving.name_key and e.deleted_at is null
    returning e.id
  )
  select coalesce(array_agg(id), '{}') from renamed
$$;

-- Forgets the merged names, of those given and of what they were merged into, that no memory says any more. What lived under such a
-- name takes another that it goes by: those entities are returned.
create or replace function memory.forget_unsaid_names(p_entities uuid[]) returns uuid[]
language plpgsql as $$
declare
  holders uuid[];
  names text[];
begin
  if not exists (select from memory.aliases where alias_id = any (p_entities)) then
    return '{}';
  end if;
  with recursive up as (
    select alias_id, parent_id from memory.aliases where alias_id = any (p_entities)
    union select a.alias_id, a.parent_id from memory.aliases a join up on a.alias_id = up.parent_id
  ), unsaid as (
    select alias_id, entity_id, name_key from memory.aliases a
    where a.alias_id in (select alias_id from up) and a.name is not null
      and not exists (select from memory.mentions m where m.entity_id in (select memory.family(a.alias_id)))
  ), forgotten as (
    update memory.aliases a set name = null, name_key = null, type = null from unsaid u where a.alias_id = u.alias_id
  )
  select array_agg(entity_id), array_agg(name_key) into holders, names from unsaid;
  return memory.take_other_names(holders, names);
end $$;
