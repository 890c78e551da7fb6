-- Memories are saved, whole batches or nothing, in one transaction with the debts that this makes.

-- Saves one memory of a batch; see memory_save_v1. Its links are left to the caller: the result has them as `links`.
-- Of a row that is there already, the batch must have the lock (`p_locked`; null for a batch of one): else it starts over.
create or replace function memory.save_one(item jsonb, p_index integer, p_revive boolean, p_locked uuid[]) returns jsonb
language plpgsql as $$
declare
  p_id uuid := (item ->> 'id')::uuid;
  p_namespace text := item ->> 'namespace';
  p_key text := item ->> 'key';
  p_key_hash bytea;
  p_metadata jsonb := coalesce(item -> 'metadata', '{}');
  p_created timestamptz := (item ->> 'created_at')::timestamptz;
  p_expires timestamptz := (item ->> 'expires_at')::timestamptz;
  p_given jsonb := item -> 'given';
  p_hash bytea;
  old memory.memories;
  fresh memory.memories;
  touched jsonb := '[]';
begin
  if p_key is not null then
    p_key_hash := memory.keyed_hash('key', p_namespace, p_key);
  end if;
  if jsonb_typeof(p_given) = 'null' then
    p_given := null;
  end if;
  p_hash := memory.content_hash_of(item ->> 'text', p_metadata, item ->> 'thread', item ->> 'source', p_created, p_expires, p_given);
  if not exists (select from memory.namespaces where name = p_namespace) then
    insert into memory.namespaces (name) values (p_namespace) on conflict do nothing;
  end if;
  loop
    insert into memory.memories as m (id, namespace, key, key_hash, thread, text, metadata, source, given, operation, version, revision,
                                      content_hash, created_at, created_given, expires_at)
    values (p_id, p_namespace, p_key, p_key_hash, item ->> 'thread', item ->> 'text', p_metadata, item ->> 'source', p_given, 'created', 1, 1,
            p_hash, coalesce(p_created, now()), p_created is not null, p_expires)
    on conflict do nothing
    returning m.* into fresh;
    if found then
      insert into memory.passages (memory_id, ordinal, version, namespace, text)
      select p_id, n - 1, 1, p_namespace, t from jsonb_array_elements_text(item -> 'passages') with ordinality x(t, n);
      insert into memory.ledger as l (projection, kind, id, owed_number, owed_since)
      select projection, 'memory', p_id::text, nextval('memory.owings'), clock_timestamp() from unnest(array['entities', 'embeddings', 'graph']) projection
      on conflict (projection, kind, id) do update  -- a repair has owed this id while the record did not know it
        set owed_number = excluded.owed_number, owed_since = coalesce(l.owed_since, excluded.owed_since),
            attempts = 0, retry_at = null, last_error = null, parked_at = null;
      return jsonb_build_object('id', p_id, 'version', 1, 'revision', 1, 'outcome', 'created', 'key', p_key, 'touched', touched,
        'links', case when p_given is not null then memory.links_row(fresh, p_given) end);
    end if;

    if exists (select from memory.memories where (id = p_id or key_hash = p_key_hash) and id <> all (p_locked)) then
      raise exception using errcode = 'MP001', message = 'a row came while the batch waited';
    end if;
    old := null;
    if p_key_hash is not null then
      select * into old from memory.memories where key_hash = p_key_hash for update;
      if old.id is not null and old.id <> p_id and (item ->> 'id_given')::boolean then
        perform memory.raise_error(409, 'key_conflict', 'This key belongs to another memory of the namespace: save without an id, or under another key.',
          jsonb_build_object('index', p_index, 'id', p_id, 'other', old.id));
      end if;
    end if;
    if old.id is null then
      select * into old from memory.memories where id = p_id for update;
      if old.namespace <> p_namespace then
        perform memory.raise_error(409, 'namespace_conflict', 'A memory with this id lives in another namespace, and a memory never moves.',
          jsonb_build_object('index', p_index, 'id', p_id));
      end if;
      if old.key_hash <> p_key_hash then
        perform memory.raise_error(409, 'key_conflict', 'A memory with this id has another key.', jsonb_build_object('index', p_index, 'id', p_id));
      end if;
    end if;
    exit when old.id is not null;  -- else the row that was in the way has gone: try again
  end loop;

  -- Its own time, which an export of this record says, is not one that a caller gives.
  if old.deleted_at is null and not old.created_given and memory.millis(old.created_at) = memory.millis(p_created) then
    p_created := null;
    p_hash := memory.content_hash_of(item ->> 'text', p_metadata, item ->> 'thread', item ->> 'source', null, p_expires, p_given);
  end if;
  if old.deleted_at is null and old.content_hash = p_hash and (p_key_hash is null or old.key_hash is not null) then
    return jsonb_build_object('id', old.id, 'version', old.version, 'revision', old.revision, 'outcome', 'unchanged', 'key', old.key, 'touched', touched);
  end if;
  if old.expires_at <= now() then  -- not yet seen by maintenance: the same as if it had been
    touched := memory.refs('memory', array[old.id]) || (memory.bury(array[old.id], 'expired') -> 'touched');
    select * into old from memory.memories where id = old.id;
  end if;
  if old.deleted_at is not null and not p_revive then
    return jsonb_build_object('id', old.id, 'version', old.version, 'revision', old.revision, 'outcome', 'forgotten', 'key', p_key, 'touched', touched);
  end if;

  perform memory.keep_version(old);
  update memory.memories m
  set key = coalesce(p_key, m.key), key_hash = coalesce(p_key_hash, m.key_hash), thread = item ->> 'thread', text = item ->> 'text', metadata = p_metadata,
      source = item ->> 'source', given = p_given, operation = case when old.deleted_at is null then 'updated' else 'revived' end,
      version = m.version + 1, revision = m.revision + 1, content_hash = p_hash, updated_at = clock_timestamp(), deleted_at = null, expires_at = p_expires,
      created_at = case when p_created is not null then p_created when old.deleted_at is null then m.created_at else now() end,
      created_given = p_created is not null
  where m.id = old.id
  returning m.* into fresh;
  perform memory.content_changed(fresh, item -> 'passages', old.text is not distinct from fresh.text);
  return jsonb_build_object('id', fresh.id, 'version', fresh.version, 'revision', fresh.revision, 'outcome', fresh.operation, 'key', fresh.key, 'touched', touched,
    'links', case when p_given is not null or old.given is not null then memory.links_row(fresh, p_given) end);
end $$;

-- Saves memories: all of them, or none and an error that names the index of the one that is wrong.
--   {"memories": [{id, id_given, namespace, key, thread, text, metadata, source, created_at, expires_at, passages: [text, …],
--                  given: {entities: [{name, type, key}], relations: [{source, source_key, predicate, target, target_key}]} | null}], "revive": false}
--   -> {"results": [{id, version, revision, outcome, key, touched}, …]} in the order given; outcome is created, updated, unchanged, revived or forgotten.
--   What the links of the whole batch touched stands with the first result.
create or replace function public.memory_save_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  results jsonb[];
  item jsonb;
  n integer;
  revive boolean := coalesce((p ->> 'revive')::boolean, false);
  locked uuid[];
  links jsonb;
begin
  perform memory.keep_aliases(array(select i ->> 'namespace' from jsonb_array_elements(p -> 'memories') i where jsonb_typeof(i -> 'given') = 'object'));
  if jsonb_array_length(p -> 'memories') = 1 then  -- the usual save has nothing to put in order
    item := memory.save_one(p -> 'memories' -> 0, 0, revive, null);
    if jsonb_typeof(item -> 'links') = 'array' then
      item := jsonb_set(item, '{touched}', (item -> 'touched') || memory.store_links(item -> 'links', 'given', false));
    end if;
    return jsonb_build_object('results', jsonb_build_array(item - 'links'));
  end if;
  results := array_fill(null::jsonb, array[jsonb_array_length(p -> 'memories')]);
  -- Rows are locked in one order, whatever order the caller has, so that nobody waits for each other in a ring: namespaces
  -- by name, memories that are there by id, as every other function does, new ones by key, then all that the links of the
  -- batch name. A row that somebody else made while we waited is out of that order: then all is undone, and the batch starts over.
  insert into memory.namespaces (name)
  select distinct i ->> 'namespace' from jsonb_array_elements(p -> 'memories') i
  where not exists (select from memory.namespaces n where n.name = i ->> 'namespace') order by 1
  on conflict do nothing;
  loop
    begin
      links := '{}';
      locked := array(
        select m.id from memory.memories m
        where m.id = any (array(select (i ->> 'id')::uuid from jsonb_array_elements(p -> 'memories') i))
          or m.key_hash = any (array(
            select memory.keyed_hash('key', i ->> 'namespace', i ->> 'key') from jsonb_array_elements(p -> 'memories') i where i ->> 'key' is not null))
        order by m.id for update);
      for item, n in
        select value, ordinality - 1 from jsonb_array_elements(p -> 'memories') with ordinality
        order by coalesce(value ->> 'key', value ->> 'id') collate "C", ordinality
      loop
        item := memory.save_one(item, n, revive, locked);
        locked := locked || (item ->> 'id')::uuid;
        results[n + 1] := item - 'links';
        if jsonb_typeof(item -> 'links') = 'array' then
          links := links || jsonb_build_object(item ->> 'id', item -> 'links' -> 0);  -- of a memory that is there twice, the later ones
        end if;
      end loop;
      if links <> '{}' then
        results[1] := jsonb_set(results[1], '{touched}',
          results[1] -> 'touched' || memory.store_links((select jsonb_agg(value) from jsonb_each(links)), 'given', false));
      end if;
      return jsonb_build_object('results', to_jsonb(results));
    exception when sqlstate 'MP001' then
      continue;
    end;
  end loop;
end $$;
