-- What each projection holds of a memory, and what of it is owed. Nothing here writes.

-- What some memories mention and state that the graph does not show yet, whoever owes it.  {"ids"} -> [[kind, id], …]
create or replace function public.memory_owed_links_v1(input text) returns jsonb
language sql stable security definer set search_path = memory, extensions, public, pg_temp as $$
  with chosen as (
    select i::uuid as id from jsonb_array_elements_text(input::jsonb -> 'ids') i
  ), links as (
    select 'entity' as kind, coalesce(m.shown_id, m.entity_id)::text as id from chosen c join memory.mentions m on m.memory_id = c.id
    union
    select 'relation', coalesce(s.shown_id, s.relation_id)::text from chosen c join memory.statements s on s.memory_id = c.id
  )
  select coalesce(jsonb_agg(jsonb_build_array(k.kind, k.id)), '[]')
  from links k join memory.ledger l on l.projection = 'graph' and l.kind = k.kind and l.id = k.id and l.owed_number is not null
$$;

-- Which version each projection holds of one memory.  {"id"}
create or replace function public.memory_sync_state_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p_id uuid := (input::jsonb ->> 'id')::uuid;
  result jsonb;
begin
  select jsonb_build_object('id', m.id, 'version', m.version, 'revision', m.revision, 'forgotten', m.deleted_at is not null, 'projections', (
    select jsonb_object_agg(l.projection, jsonb_build_object('owed', l.owed_number is not null, 'settled_version', l.settled_version,
      'settled_revision', l.settled_revision, 'owed_seconds', extract(epoch from clock_timestamp() - l.owed_since),
      'parked', case when l.parked_at is not null then l.last_error end))
    from memory.ledger l where l.kind = 'memory' and l.id = m.id::text))
  into result from memory.memories m where m.id = p_id;
  if result is null then
    perform memory.raise_error(404, 'memory_unknown', 'There is no memory with this id.', jsonb_build_object('id', p_id));
  end if;
  return result;
end $$;
