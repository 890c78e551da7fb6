-- One memory is changed, field by field, in one transaction with the debts that this makes.

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
