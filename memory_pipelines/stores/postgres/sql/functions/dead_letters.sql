-- Dead letters: what failed for a reason of its own and is parked, rows of the ledger and entries of the stream alike.
-- A parked row is owed still; nobody takes it until it changes, or until somebody retries it. One that is dropped is a debt
-- given up knowingly: it stays parked, whatever repairs are made, and audits go on naming it.

-- Charges failures to rows. A row is parked when its error is final or it has failed often enough; it blocks nobody.
--   {"projection", "max_attempts", "rows": [{kind, id, number, error, code?, final, revision?, version?, tokens?}, …], "lease"?: {name, fence}} -> {"failed": n, "parked": n}
--   `revision` and `version` are what the worker saw of the subject: as long as that has not changed, no later event releases the row.
create or replace function public.memory_fail_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  result jsonb;
begin
  perform memory.check_lease(p -> 'lease');
  with failed as (
    update memory.ledger l
    set attempts = l.attempts + 1, last_error = left(r.error, 2000), error_code = left(r.code, 100),
        first_failed_at = case when l.attempts = 0 then clock_timestamp() else coalesce(l.first_failed_at, clock_timestamp()) end,
        last_failed_at = clock_timestamp(), dropped_at = null,
        tokens_spent = case when l.attempts = 0 then 0 else l.tokens_spent end + coalesce(r.tokens, 0),
        failed_seen = case when l.projection = 'graph' then r.revision else r.version end,
        -- Jitter: rows that failed together are not all tried again at one moment.
        retry_at = clock_timestamp() + make_interval(secs => least(2 ^ least(l.attempts, 10), 300) * (0.75 + random() / 2)),
        parked_at = case when r.final or l.attempts + 1 >= (p ->> 'max_attempts')::integer then clock_timestamp() end
    from jsonb_to_recordset(p -> 'rows')
      r(kind text, id text, number bigint, error text, code text, final boolean, revision integer, version integer, tokens bigint)
    where l.projection = p ->> 'projection' and l.kind = r.kind and l.id = r.id and l.owed_number = r.number
    returning l.parked_at
  )
  select jsonb_build_object('failed', count(*), 'parked', count(parked_at)) into result from failed;
  return result;
end $$;

-- Parked rows, the longest owed first.
--   {"projection"?, "letters"?: [[projection, kind, id], …], "id"?, "limit", "after"?: owed number} -> {"letters": [{…}, …], "next": owed number|null}
create or replace function public.memory_dead_letters_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  result jsonb;
begin
  with page as (
    select l.* from memory.ledger l
    where l.parked_at is not null and l.owed_number > coalesce((p ->> 'after')::bigint, 0)
      and (p ->> 'projection' is null or l.projection = p ->> 'projection')
      and (p ->> 'id' is null or l.id = p ->> 'id')
      and (p -> 'letters' is null or (l.projection, l.kind, l.id) in (select x ->> 0, x ->> 1, x ->> 2 from jsonb_array_elements(p -> 'letters') x))
    order by l.owed_number limit (p ->> 'limit')::integer
  )
  select jsonb_build_object(
    'letters', coalesce(jsonb_agg(jsonb_build_object(
        'projection', l.projection, 'kind', l.kind, 'id', l.id, 'namespace', coalesce(m.namespace, e.namespace, r.namespace),
        'code', coalesce(l.error_code, 'failed'), 'reason', l.last_error, 'attempts', l.attempts, 'tokens_spent', l.tokens_spent,
        'first_failed_at', coalesce(l.first_failed_at, l.parked_at), 'last_failed_at', coalesce(l.last_failed_at, l.parked_at),
        'owed_since', l.owed_since, 'parked_at', l.parked_at, 'dropped_at', l.dropped_at) order by l.owed_number), '[]'),
    'next', case when count(*) = (p ->> 'limit')::integer then max(l.owed_number) end)
  into result
  from page l
  left join memory.memories m on l.kind = 'memory' and m.id = memory.as_uuid(l.id)
  left join memory.entities e on l.kind = 'entity' and e.id = memory.as_uuid(l.id)
  left join memory.relations r on l.kind = 'relation' and r.id = memory.as_uuid(l.id);
  return result;
end $$;

-- Releases parked rows: they are tried again. Those named, dropped ones included; or a page of all that nobody dropped.
--   {"letters": [[projection, kind, id], …]} | {"projection"?, "limit"}, and "accept_empty"?: let an extraction that finds nothing replace
--   what the same text gave before -> {"retried": n, "touched": [[kind, id], …]}
create or replace function public.memory_retry_dead_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  result jsonb;
begin
  with chosen as (
    select l.projection, l.kind, l.id from memory.ledger l
    where l.parked_at is not null
      and case when p -> 'letters' is null
        then l.dropped_at is null and (p ->> 'projection' is null or l.projection = p ->> 'projection')
        else (l.projection, l.kind, l.id) in (select x ->> 0, x ->> 1, x ->> 2 from jsonb_array_elements(p -> 'letters') x) end
    order by l.owed_number limit (p ->> 'limit')::integer
  ), released as (
    update memory.ledger l
    set attempts = 0, retry_at = null, last_error = null, parked_at = null, dropped_at = null,
        hint = case when (p ->> 'accept_empty')::boolean and l.projection = 'entities'
          then coalesce(l.hint, '{}') || '{"accept_empty": true}' else l.hint end
    from chosen c
    where l.projection = c.projection and l.kind = c.kind and l.id = c.id and l.parked_at is not null
    returning l.kind, l.id
  )
  select jsonb_build_object('retried', count(*), 'touched', coalesce(jsonb_agg(distinct jsonb_build_array(kind, id)), '[]')) into result from released;
  return result;
end $$;

-- Gives up parked debts knowingly. They stay parked and named by audits; nothing but a change, a retry or a rebuild takes them up again.
--   {"letters": [[projection, kind, id], …]} -> {"dropped": n}
create or replace function public.memory_drop_dead_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  n integer;
begin
  update memory.ledger l set dropped_at = coalesce(l.dropped_at, clock_timestamp())
  from (select distinct x ->> 0 as projection, x ->> 1 as kind, x ->> 2 as id from jsonb_array_elements(input::jsonb -> 'letters') x) c
  where l.projection = c.projection and l.kind = c.kind and l.id = c.id and l.parked_at is not null;
  get diagnostics n = row_count;
  return jsonb_build_object('dropped', n);
end $$;

-- Parks entries of the stream that could not be read; an entry that comes again is parked once.
--   {"projection", "events": [{entry, payload, problem}, …]} -> {"parked": n}
create or replace function public.memory_park_events_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  n integer;
begin
  insert into memory.dead_events (projection, entry, payload, problem)
  select input::jsonb ->> 'projection', e.entry, e.payload, left(e.problem, 2000)
  from jsonb_to_recordset(input::jsonb -> 'events') e(entry text, payload text, problem text)
  on conflict do nothing;
  get diagnostics n = row_count;
  return jsonb_build_object('parked', n);
end $$;

-- Parked entries of the stream, oldest first.
--   {"projection"?, "ids"?: [n, …], "limit", "after"?: id} -> {"events": [{id, projection, entry, payload, problem, at}, …], "next": id|null}
create or replace function public.memory_dead_events_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  result jsonb;
begin
  select jsonb_build_object('events', coalesce(jsonb_agg(to_jsonb(e) order by e.id), '[]'),
    'next', case when count(*) = (p ->> 'limit')::integer then max(e.id) end)
  into result
  from (
    select * from memory.dead_events d
    where d.id > coalesce((p ->> 'after')::bigint, 0) and (p ->> 'projection' is null or d.projection = p ->> 'projection')
      and (p -> 'ids' is null or d.id in (select i::bigint from jsonb_array_elements_text(p -> 'ids') i))
    order by d.id limit (p ->> 'limit')::integer
  ) e;
  return result;
end $$;

-- Deletes parked entries: nothing hangs on them, because what they may have named is owed in the ledger.  {"ids": [n, …]} -> {"dropped": n}
create or replace function public.memory_drop_events_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  n integer;
begin
  delete from memory.dead_events where id in (select i::bigint from jsonb_array_elements_text(input::jsonb -> 'ids') i);
  get diagnostics n = row_count;
  return jsonb_build_object('dropped', n);
end $$;
