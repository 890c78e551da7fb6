-- Reading with an end user's own token, where the owner of the record has asked for it (`memory-pipelines migrate --end-user-reads`).
-- These functions run as their caller (`security invoker`): what they see is decided by row level security alone, which shows a
-- token one namespace, the one that it claims. Nothing can be written, and names of entities and the ledger stay closed.
-- Applied after the functions, as often as those are. To add a table: a grant, and a policy. To take it all back: withdraw.sql.

-- The namespace that the token of this request claims: `namespace`, or `namespace` in `app_metadata`. Both are set by the project
-- alone; `user_metadata`, which users edit themselves, must never be looked at.
create or replace function memory.claimed_namespace() returns text language sql stable as $$
  select coalesce(claims ->> 'namespace', claims -> 'app_metadata' ->> 'namespace')
  from (select nullif(current_setting('request.jwt.claims', true), '')::jsonb as claims) t
$$;

-- The request with the claimed namespace in it; raises when the token claims none, or the request wants another.
create or replace function memory.own_request(input text) returns jsonb language plpgsql stable as $$
declare
  p jsonb := input::jsonb;
  own text := memory.claimed_namespace();
begin
  if own is null then
    perform memory.raise_error(403, 'claim_missing', 'This token claims no namespace, so there is nothing that it may read.');
  elsif p ->> 'namespace' <> own then
    perform memory.raise_error(404, 'namespace_unknown', 'There is no namespace of this name.', jsonb_build_object('namespace', p ->> 'namespace'));
  end if;
  return p || jsonb_build_object('namespace', own, 'limit', least(greatest(coalesce((p ->> 'limit')::integer, 10), 1), 1000));
end $$;

-- One live memory.  {"id"} or {"key"} -> memory
create or replace function public.memory_read_get_v1(input text) returns jsonb
language plpgsql stable security invoker set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := memory.own_request(input);
  m memory.memories;
begin
  if p ? 'id' then
    select * into m from memory.memories where id = (p ->> 'id')::uuid;
  else
    select * into m from memory.memories where namespace = p ->> 'namespace' and key = p ->> 'key';
  end if;
  if m.id is null then
    perform memory.raise_error(404, 'memory_unknown', 'There is no such memory.', p - 'limit');
  elsif m.deleted_at is not null then
    perform memory.raise_error(410, 'memory_forgotten', 'This memory was forgotten.', jsonb_build_object('id', m.id, 'at', m.deleted_at));
  elsif m.expires_at <= now() then
    perform memory.raise_error(410, 'memory_expired', 'This memory has expired.', jsonb_build_object('id', m.id, 'at', m.expires_at));
  end if;
  return memory.memory_json(m);
end $$;

-- A page of live memories, newest first; the request is that of memory_list_v1, a limit of up to 1,000 included.
create or replace function public.memory_read_list_v1(input text) returns jsonb
language plpgsql stable security invoker set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := memory.own_request(input);
  page jsonb;
begin
  select coalesce(jsonb_agg(memory.memory_json(m) order by m.created_at desc, m.id desc), '[]') into page
  from (
    select * from memory.memories m
    where memory.passes_filter(m, p)
      and (p -> 'after' is null or (m.created_at, m.id) < ((p -> 'after' ->> 0)::timestamptz, (p -> 'after' ->> 1)::uuid))
    order by m.created_at desc, m.id desc
    limit (p ->> 'limit')::integer
  ) m;
  return page;
end $$;

-- Hits, best first; the request is that of memory_search_v1. Without a vector, words alone decide.
create or replace function public.memory_read_search_v1(input text) returns jsonb
language plpgsql stable security invoker set search_path = memory, extensions, public, pg_temp as $$
begin
  return memory.search_hits(jsonb_build_object('exact', 5000) || memory.own_request(input));
end $$;

-- Every version of a memory, oldest first; of one that has expired or was forgotten, numbers and times only.  {"id"}
create or replace function public.memory_read_history_v1(input text) returns jsonb
language plpgsql stable security invoker set search_path = memory, extensions, public, pg_temp as $$
declare
  p_id uuid := (memory.own_request(input) ->> 'id')::uuid;
  entries jsonb;
begin
  select jsonb_agg(to_jsonb(h) order by h.version) into entries
  from (
    select e.version, e.revision, e.operation, e.at,
      case when m.deleted_at is null and coalesce(m.expires_at > now(), true) then e.text end as text,
      case when m.deleted_at is null and coalesce(m.expires_at > now(), true) then e.metadata end as metadata
    from memory.memories m
    join (
      select memory_id, version, revision, operation, at, text, metadata from memory.history where memory_id = p_id
      union all
      select id, version, revision, operation, updated_at, text, metadata from memory.memories where id = p_id
    ) e on e.memory_id = m.id
  ) h;
  if entries is null then
    perform memory.raise_error(404, 'memory_unknown', 'There is no memory with this id.', jsonb_build_object('id', p_id));
  end if;
  return entries;
end $$;

do $$
declare
  t text;
  f text;
begin
  revoke all on all tables in schema memory from anon, authenticated;
  grant usage on schema memory to authenticated;
  foreach t in array array['memories', 'passages', 'embeddings', 'history', 'namespaces', 'generations'] loop
    execute format('drop policy if exists end_user_reads on memory.%I', t);
    execute format('grant select on memory.%I to authenticated', t);
  end loop;
  create policy end_user_reads on memory.memories for select to authenticated using (namespace = (select memory.claimed_namespace()));
  create policy end_user_reads on memory.passages for select to authenticated using (namespace = (select memory.claimed_namespace()));
  create policy end_user_reads on memory.embeddings for select to authenticated
    using (namespace = (select memory.claimed_namespace()) and kind = 'memory');
  create policy end_user_reads on memory.history for select to authenticated using (memory_id in (select id from memory.memories));  -- those it sees
  create policy end_user_reads on memory.namespaces for select to authenticated using (name = (select memory.claimed_namespace()));
  create policy end_user_reads on memory.generations for select to authenticated using (true);  -- which embedder: the same for everybody
  -- What the functions above call; none of these runs as anybody but the caller.
  for f in
    select p.oid::regprocedure from pg_proc p
    where p.pronamespace = 'memory'::regnamespace and not p.prosecdef and p.proname in (
      'claimed_namespace', 'own_request', 'raise_error', 'memory_json', 'passes_filter', 'search_hits', 'nearest', 'worded', 'expired_in',
      'any_word', 'vector_type', 'known_namespace')
  loop
    execute format('revoke all on function %s from public, anon', f);
    execute format('grant execute on function %s to authenticated', f);
  end loop;
  for f in select p.oid::regprocedure from pg_proc p where p.pronamespace = 'public'::regnamespace and p.proname ~ '^memory_read_.*_v[0-9]+$' loop
    execute format('revoke all on function %s from public, anon', f);
    execute format('grant execute on function %s to authenticated', f);
  end loop;
end $$;
