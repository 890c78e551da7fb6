-- Which entity a name means where a person has renamed it. Nothing here writes.

-- Links in which an entity that a person has renamed is named as it was found, whichever of its names the text uses.
create or replace function memory.resolve_names(p_rows jsonb) returns jsonb language plpgsql stable as $$
declare
  renamed jsonb;
begin
  if not exists (select from memory.entity_names) then
    return p_rows;
  end if;
  select jsonb_object_agg(w.namespace || e'\x1f' || w.key, n.found_as) into renamed
  from (
    select distinct r ->> 'namespace' as namespace, e ->> 'key' as key from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'entities') e
  ) w
  join memory.entity_names n on n.name_hash = memory.keyed_hash('entity', w.namespace, w.key);
  if renamed is null then
    return p_rows;
  end if;
  return (
    select jsonb_agg(r || jsonb_build_object(
      'entities', (
        select coalesce(jsonb_agg(e || jsonb_build_object('key', coalesce(renamed ->> (space || (e ->> 'key')), e ->> 'key')) order by i), '[]')
        from jsonb_array_elements(r -> 'entities') with ordinality y(e, i)),
      'relations', (
        select coalesce(jsonb_agg(x || jsonb_build_object('source_key', source, 'target_key', target) order by i), '[]')
        from jsonb_array_elements(r -> 'relations') with ordinality y(x, i),
          lateral (select coalesce(renamed ->> (space || (x ->> 'source_key')), x ->> 'source_key') as source,
                          coalesce(renamed ->> (space || (x ->> 'target_key')), x ->> 'target_key') as target) k
        where source <> target or x ->> 'source_key' = x ->> 'target_key')  -- two names of one entity are no relation
      ) order by n)
    from jsonb_array_elements(p_rows) with ordinality z(r, n), lateral (select (r ->> 'namespace') || e'\x1f' as space) q
  );
end $$;

-- Which entity a name means, alive or not.
create or replace function memory.entity_named(p_namespace text, p_key text) returns uuid language sql stable as $$
  select coalesce((select n.entity_id from memory.entity_names n where n.name_hash = h), (select e.id from memory.entities e where e.name_hash = h))
  from memory.keyed_hash('entity', p_namespace, p_key) h
$$;
