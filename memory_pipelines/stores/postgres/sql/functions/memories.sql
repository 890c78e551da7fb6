-- Memories: save, update, forget. Every write is one transaction with the debts it makes. Reading them: `reading.sql`.

-- The hash of everything a caller can say about a memory. A time the caller did not give is not part of it, so that
-- importing a file twice changes nothing.
create or replace function memory.content_hash_of(
  p_text text, p_metadata jsonb, p_thread text, p_source text, p_created timestamptz, p_expires timestamptz, p_given jsonb
) returns bytea language sql immutable as $$
  select sha256(convert_to(jsonb_build_array(
    p_text, p_metadata, p_thread, p_source, memory.millis(p_created), memory.millis(p_expires), p_given)::text, 'UTF8'))
$$;

create or replace function memory.memory_json(m memory.memories) returns jsonb language sql stable as $$
  select jsonb_build_object(
    'id', m.id, 'namespace', m.namespace, 'key', m.key, 'thread', m.thread, 'text', m.text, 'metadata', m.metadata, 'source', m.source,
    'version', m.version, 'revision', m.revision, 'created_at', m.created_at, 'updated_at', m.updated_at, 'expires_at', m.expires_at,
    'entities', coalesce(m.given -> 'entities', '[]'), 'relations', coalesce(m.given -> 'relations', '[]'))
$$;

-- Replaces a memory's passages and owes its projections. With the same text as before, what hangs on the text alone is
-- stamped with the new version instead of being made again.
create or replace function memory.content_changed(p_memory memory.memories, p_passages jsonb, p_same_text boolean) returns void
language plpgsql as $$
begin
  if p_same_text then
    update memory.passages set version = p_memory.version where memory_id = p_memory.id;
    update memory.embeddings e set version = p_memory.version
    where e.id = p_memory.id and e.kind = 'memory'
      and exists (select from memory.ledger l where l.projection = 'embeddings' and l.kind = 'memory' and l.id = p_memory.id::text and l.owed_number is null);
    update memory.ledger set settled_version = p_memory.version
    where projection in ('embeddings', 'entities') and kind = 'memory' and id = p_memory.id::text and owed_number is null;
    -- The text is what they hang on: where it failed, or gave what it gave, it would again.
    update memory.ledger set failed_seen = p_memory.version
    where projection in ('embeddings', 'entities') and kind = 'memory' and id = p_memory.id::text and attempts > 0 and failed_seen = p_memory.version - 1;
    update memory.ledger set settled_version = p_memory.version
    where projection = 'entities' and kind = 'memory' and id = p_memory.id::text and settled_version = p_memory.version - 1;
    perform memory.owe(projection, 'memory', array[p_memory.id])
    from memory.ledger where projection in ('embeddings', 'entities') and kind = 'memory' and id = p_memory.id::text and owed_number is not null;
  else
    delete from memory.passages where memory_id = p_memory.id;
    insert into memory.passages (memory_id, ordinal, version, namespace, text)
    select p_memory.id, n - 1, p_memory.version, p_memory.namespace, t from jsonb_array_elements_text(p_passages) with ordinality x(t, n);
    perform memory.owe('entities', 'memory', array[p_memory.id]);
    perform memory.owe('embeddings', 'memory', array[p_memory.id]);
  end if;
  perform memory.owe('graph', 'memory', array[p_memory.id]);
end $$;

-- Keeps the version that is about to be replaced.
create or replace function memory.keep_version(m memory.memories) returns void language sql as $$
  insert into memory.history (memory_id, version, revision, operation, at, text, metadata, thread, source)
  values (m.id, m.version, m.revision, m.operation, m.updated_at, m.text, m.metadata, m.thread, m.source)
  on conflict (memory_id, version) do nothing
$$;

create or replace function memory.links_row(m memory.memories, p_links jsonb) returns jsonb language sql stable as $$
  select jsonb_build_array(jsonb_build_object('memory', m.id, 'namespace', m.namespace, 'version', m.version, 'valid_from', m.created_at,
    'entities', coalesce(p_links -> 'entities', '[]'), 'relations', coalesce(p_links -> 'relations', '[]')))
$$;

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

-- The row of a live memory, locked for a change; raises where there is none.
create or replace function memory.live(p_id uuid, p_index integer default 0) returns memory.memories
language plpgsql as $$
declare
  m memory.memories;
begin
  select * into m from memory.memories where id = p_id for update;
  if m.id is null then
    perform memory.raise_error(404, 'memory_unknown', 'There is no memory with this id.', jsonb_build_object('id', p_id));
  elsif m.deleted_at is not null then
    perform memory.raise_error(410, 'memory_forgotten', 'This memory was forgotten.', jsonb_build_object('id', p_id, 'at', m.deleted_at));
  elsif m.expires_at <= now() then
    perform memory.raise_error(410, 'memory_expired', 'This memory has expired.', jsonb_build_object('id', p_id, 'at', m.expires_at));
  end if;
  return m;
end $$;

-- Changes only the fields that are present.
--   {"id", "expected_version"?, "changes": {text?, passages?, metadata?, thread?, source?, created_at?, expires_at?, given?}} -> one result as of memory_save_v1
create or replace function public.memory_update_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  c jsonb := p -> 'changes';
  -- before any row is locked
  names_kept integer := memory.keep_aliases(array(select namespace from memory.memories where id = (p ->> 'id')::uuid and c ? 'given'));
  old memory.memories := memory.live((p ->> 'id')::uuid);
  fresh memory.memories := old;
  touched jsonb := '[]';
begin
  if c ? 'text' then fresh.text := c ->> 'text'; end if;
  if c ? 'metadata' then fresh.metadata := c -> 'metadata'; end if;
  if c ? 'thread' then fresh.thread := c ->> 'thread'; end if;
  if c ? 'source' then fresh.source := c ->> 'source'; end if;
  if c ? 'created_at' then fresh.created_at := (c ->> 'created_at')::timestamptz; fresh.created_given := true; end if;
  if c ? 'expires_at' then fresh.expires_at := (c ->> 'expires_at')::timestamptz; end if;
  if c ? 'given' then fresh.given := nullif(c -> 'given', 'null'); end if;
  fresh.content_hash := memory.content_hash_of(fresh.text, fresh.metadata, fresh.thread, fresh.source,
    case when fresh.created_given then fresh.created_at end, fresh.expires_at, fresh.given);
  -- The same update once more, because its answer was lost, is no conflict: it has been done, and nobody has written since.
  if old.version <> (p ->> 'expected_version')::integer
      and (old.version <> (p ->> 'expected_version')::integer + 1 or fresh.content_hash <> old.content_hash) then
    perform memory.raise_error(409, 'version_conflict', 'Someone else has written this memory since: read it again, then decide.',
      jsonb_build_object('id', old.id, 'expected', (p ->> 'expected_version')::integer, 'version', old.version));
  end if;
  if fresh.content_hash = old.content_hash then
    return jsonb_build_object('id', old.id, 'version', old.version, 'revision', old.revision, 'outcome', 'unchanged', 'key', old.key, 'touched', touched);
  end if;
  perform memory.keep_version(old);
  update memory.memories m
  set text = fresh.text, metadata = fresh.metadata, thread = fresh.thread, source = fresh.source, created_at = fresh.created_at,
      created_given = fresh.created_given, expires_at = fresh.expires_at, given = fresh.given, content_hash = fresh.content_hash,
      operation = 'updated', version = m.version + 1, revision = m.revision + 1, updated_at = clock_timestamp()
  where m.id = old.id returning m.* into fresh;
  perform memory.content_changed(fresh, c -> 'passages', fresh.text = old.text);
  if c ? 'given' then
    touched := memory.store_links(memory.links_row(fresh, fresh.given), 'given', false);
  end if;
  return jsonb_build_object('id', fresh.id, 'version', fresh.version, 'revision', fresh.revision, 'outcome', 'updated', 'key', fresh.key, 'touched', touched);
end $$;

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

-- Forgets ids, one key of a namespace, or a page of a namespace. Forgetting what is forgotten succeeds and counts nothing.
--   {"ids": [id, …]} | {"namespace", "key"} | {"namespace", "limit"} -> {"ids": [forgotten now], "at", "touched", "more": boolean}
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
      from (select id from memory.memories where namespace = p ->> 'namespace' and deleted_at is null limit (p ->> 'limit')::integer) x;
    end if;
  end if;
  result := memory.bury(coalesce(ids, '{}'), 'forgotten');
  return result || jsonb_build_object('at', (select max(deleted_at) from memory.memories where id = any (ids)), 'of', to_jsonb(ids),
    'more', not (p ? 'ids' or p ? 'key') and cardinality(ids) > 0);
end $$;
