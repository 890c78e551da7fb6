-- Memories as they are read: one, some, a page, every version; and the namespaces they stand in. Nothing here writes.

create or replace function memory.known_namespace(p_namespace text) returns void language plpgsql stable as $$
begin
  if not exists (select from memory.namespaces where name = p_namespace) then
    perform memory.raise_error(404, 'namespace_unknown', 'There is no namespace of this name; the first save creates one.',
      jsonb_build_object('namespace', p_namespace));
  end if;
end $$;

-- One live memory by id or by key of a namespace.
create or replace function public.memory_get_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  p_id uuid := (p ->> 'id')::uuid;  -- read here: a kept plan over an empty table never would
  m memory.memories;
begin
  if p ? 'id' then
    select * into m from memory.memories where id = p_id;
  else
    perform memory.known_namespace(p ->> 'namespace');
    select * into m from memory.memories where key_hash = memory.keyed_hash('key', p ->> 'namespace', p ->> 'key');
  end if;
  if m.id is null then
    perform memory.raise_error(404, 'memory_unknown', 'There is no such memory.', p);
  elsif m.deleted_at is not null then
    perform memory.raise_error(410, 'memory_forgotten', 'This memory was forgotten.', jsonb_build_object('id', m.id, 'at', m.deleted_at));
  elsif m.expires_at <= now() then
    perform memory.raise_error(410, 'memory_expired', 'This memory has expired.', jsonb_build_object('id', m.id, 'at', m.expires_at));
  end if;
  return memory.memory_json(m);
end $$;

-- Live memories among some ids, newest first.  {"ids"} -> [memory, …]
create or replace function public.memory_get_many_v1(input text) returns jsonb
language sql stable security definer set search_path = memory, extensions, public, pg_temp as $$
  select coalesce(jsonb_agg(memory.memory_json(m) order by m.created_at desc, m.id desc), '[]')
  from memory.memories m
  where m.id = any (array(select i::uuid from jsonb_array_elements_text(input::jsonb -> 'ids') i))
    and m.deleted_at is null and (m.expires_at is null or m.expires_at > now())
$$;

-- A page of live memories, newest first, after a keyset position.
--   {"namespace", "limit", "thread"?, "metadata"?, "created_after"?, "created_before"?, "after"?: [created_at, id]} -> [memory, …]
create or replace function public.memory_list_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  page jsonb;
begin
  perform memory.known_namespace(p ->> 'namespace');
  select coalesce(jsonb_agg(memory.memory_json(m) order by m.created_at desc, m.id desc), '[]') into page
  from (
    select * from memory.memories m
    where m.namespace = p ->> 'namespace' and m.deleted_at is null and (m.expires_at is null or m.expires_at > now())
      and (p ->> 'thread' is null or m.thread = p ->> 'thread')
      and (p -> 'metadata' is null or m.metadata @> (p -> 'metadata'))
      and (p ->> 'created_after' is null or m.created_at >= (p ->> 'created_after')::timestamptz)
      and (p ->> 'created_before' is null or m.created_at < (p ->> 'created_before')::timestamptz)
      and (p -> 'after' is null or (m.created_at, m.id) < ((p -> 'after' ->> 0)::timestamptz, (p -> 'after' ->> 1)::uuid))
    order by m.created_at desc, m.id desc
    limit (p ->> 'limit')::integer
  ) m;
  return page;
end $$;

-- Every version of a memory, oldest first; of one that has expired or was forgotten, and of the tombstone of one that came back,
-- numbers and times only.
--   {"id"} -> [{version, revision, operation, at, text, metadata}, …]
create or replace function public.memory_history_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p_id uuid := (input::jsonb ->> 'id')::uuid;
  entries jsonb;
begin
  select jsonb_agg(to_jsonb(h) order by h.version) into entries
  from (
    select version, revision, operation, at, case when not hidden then text end as text, case when not hidden and text is not null then metadata end as metadata
    from (
      select version, revision, operation, at, text, metadata from memory.history where memory_id = p_id
      union all
      select version, revision, operation, updated_at, text, metadata from memory.memories where id = p_id
    ) e, (select deleted_at is not null or coalesce(expires_at <= now(), false) as hidden from memory.memories where id = p_id) m
  ) h;
  if entries is null then
    perform memory.raise_error(404, 'memory_unknown', 'There is no memory with this id.', jsonb_build_object('id', p_id));
  end if;
  return entries;
end $$;

-- Names of all namespaces.  {} -> [name, …]
create or replace function public.memory_namespaces_v1(input text) returns jsonb
language sql stable security definer set search_path = memory, extensions, public, pg_temp as $$
  select coalesce(jsonb_agg(name order by name), '[]') from memory.namespaces
$$;
