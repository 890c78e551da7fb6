-- Rows are owed again: for a repair, or to make a projection anew.

-- Owes rows again, for a repair. `forced` is the revision that was seen in a target ahead of the record: only while the
-- target still shows just that may it be overwritten.
--   {"rows": [{projection, kind, id, forced?, hint?}, …]} -> {"owed": n}
create or replace function public.memory_owe_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  n integer;
begin
  insert into memory.ledger as l (projection, kind, id, owed_number, owed_since, forced, hint)
  select r.projection, r.kind, r.id, nextval('memory.owings'), clock_timestamp(), r.forced, r.hint
  from (
    select distinct on (projection, kind, id) * from jsonb_to_recordset(input::jsonb -> 'rows') x(projection text, kind text, id text, forced integer, hint jsonb)
    order by projection, kind, id, forced desc nulls last
  ) r
  on conflict (projection, kind, id) do update
    set owed_number = excluded.owed_number, owed_since = coalesce(l.owed_since, excluded.owed_since), forced = excluded.forced,
        hint = coalesce(excluded.hint, l.hint), attempts = 0, retry_at = null, last_error = null, parked_at = null;
  get diagnostics n = row_count;
  return jsonb_build_object('owed', n);
end $$;

-- Owes a page of one shard of a projection's subjects again, to rebuild it. What a repair saw (`forced`, `hint`) stays.
--   {"projection", "shard", "shards", "after": [kind, id]|null, "limit"} -> {"owed": n, "next": [kind, id]|null}
create or replace function public.memory_owe_shard_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  result jsonb;
begin
  with page as (
    select l.kind, l.id from memory.ledger l
    where l.projection = p ->> 'projection' and (l.kind, l.id) > (coalesce(p -> 'after' ->> 0, ''), coalesce(p -> 'after' ->> 1, ''))
      and abs(hashtext(l.id)::bigint) % (p ->> 'shards')::integer = (p ->> 'shard')::integer
    order by l.kind, l.id limit (p ->> 'limit')::integer
  ), owed as (
    update memory.ledger l
    set owed_number = nextval('memory.owings'), owed_since = coalesce(l.owed_since, clock_timestamp()), attempts = 0, retry_at = null, parked_at = null
    from page g where l.projection = p ->> 'projection' and l.kind = g.kind and l.id = g.id
    returning 1
  )
  select jsonb_build_object('owed', (select count(*) from owed),
    'next', (select jsonb_build_array(g.kind, g.id) from page g order by g.kind desc, g.id desc limit 1))
  into result;
  return result;
end $$;
