-- What a memory is made of: its hash, its passages and what hangs on them, the version that is kept, the row that is changed.
-- Saving, updating and forgetting stand in files of these names; reading in `reading.sql`.

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

-- Whether a memory is there, expired or not, and is meant by a request's filters.
create or replace function memory.chosen(m memory.memories, p jsonb) returns boolean language sql stable as $$
  select m.namespace = p ->> 'namespace' and m.deleted_at is null
    and (p ->> 'thread' is null or m.thread = p ->> 'thread')
    and (p -> 'metadata' is null or m.metadata @> (p -> 'metadata'))
    and (p ->> 'created_before' is null or m.created_at < (p ->> 'created_before')::timestamptz)
$$;

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
