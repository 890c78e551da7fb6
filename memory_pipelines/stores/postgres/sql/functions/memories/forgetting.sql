-- Memories become tombstones: forgotten by a person, or expired. What was written is gone when the transaction ends; the graph is owed.

-- Turns live memories into tombstones; the ids must be locked or lockable in id order. Returns {"ids", "touched"}.
-- An expiry is judged again under the lock: the memory may have been saved anew since it was found.
create or replace function memory.bury(p_ids uuid[], p_operation text) returns jsonb
language plpgsql as $$
declare
  live_ids uuid[];
  touched jsonb;
begin
  select coalesce(array_agg(id), '{}') into live_ids
  from (
    select id from memory.memories where id = any (p_ids) and deleted_at is null and (p_operation <> 'expired' or expires_at <= now())
    order by id for update
  ) locked;
  if cardinality(live_ids) = 0 then
    return jsonb_build_object('ids', '[]'::jsonb, 'touched', '[]'::jsonb);
  end if;
  insert into memory.history (memory_id, version, revision, operation, at)
  select id, version, revision, operation, updated_at from memory.memories where id = any (live_ids) on conflict do nothing;
  update memory.history set text = null, metadata = null, thread = null, source = null where memory_id = any (live_ids);
  delete from memory.passages where memory_id = any (live_ids);
  delete from memory.embeddings where kind = 'memory' and id = any (live_ids);
  touched := memory.drop_links(live_ids);
  update memory.memories
  set text = null, key = null, thread = null, metadata = '{}', source = null, given = null, content_hash = null, operation = p_operation,
      version = version + 1, revision = revision + 1, updated_at = clock_timestamp(), deleted_at = clock_timestamp(), created_at = now(),
      created_given = false, expires_at = null
  where id = any (live_ids);
  update memory.ledger l
  set owed_number = null, owed_since = null, settled_revision = m.revision, settled_version = m.version, settled_at = clock_timestamp(),
      attempts = 0, retry_at = null, last_error = null, parked_at = null
  from memory.memories m
  where l.projection in ('entities', 'embeddings') and l.kind = 'memory' and l.id = m.id::text and m.id = any (live_ids);
  perform memory.owe('graph', 'memory', live_ids);
  return jsonb_build_object('ids', to_jsonb(live_ids), 'touched', touched);
end $$;

-- Forgets ids, one key of a namespace, or a page of a namespace: of all of it, or of what passes a filter. Forgetting what is forgotten
-- succeeds and counts nothing. What has expired is found too: it is there until it is forgotten.
--   {"ids": [id, …]} | {"namespace", "key"} | {"namespace", "limit", "thread"?, "metadata"?, "created_before"?} -> {"ids": [forgotten now], "at", "touched", "more": boolean}
create or replace function public.memory_forget_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  ids uuid[];
  missing uuid;
  result jsonb;
begin
  if p ? 'ids' then
    select array_agg(i::uuid) into ids from jsonb_array_elements_text(p -> 'ids') i;
    select i into missing from unnest(ids) with ordinality u(i, n) where not exists (select from memory.memories where id = i) order by n limit 1;
    if missing is not null then
      perform memory.raise_error(404, 'memory_unknown', 'There is no memory with this id.', jsonb_build_object('id', missing));
    end if;
  else
    perform memory.known_namespace(p ->> 'namespace');
    if p ? 'key' then
      select array_agg(id) into ids from memory.memories where key_hash = memory.keyed_hash('key', p ->> 'namespace', p ->> 'key');
      if ids is null then
        perform memory.raise_error(404, 'memory_unknown', 'There is no memory with this key in this namespace.', jsonb_build_object('namespace', p ->> 'namespace'));
      end if;
    else
      select array_agg(id) into ids
      from (select m.id from memory.memories m where memory.chosen(m, p) limit (p ->> 'limit')::integer) x;
    end if;
  end if;
  result := memory.bury(coalesce(ids, '{}'), 'forgotten');
  return result || jsonb_build_object('at', (select max(deleted_at) from memory.memories where id = any (ids)), 'of', to_jsonb(ids),
    'more', not (p ? 'ids' or p ? 'key') and cardinality(ids) > 0);
end $$;
