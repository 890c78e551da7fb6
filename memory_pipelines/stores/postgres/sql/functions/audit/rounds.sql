-- Rounds of audits: where one is, what was written since another, since when rows differ, and the verdicts. Nothing but rounds and verdicts
-- is written.

-- Begins a round, or takes up the one that was interrupted. Only a deep one keeps where it is; `base` is the newest round that was
-- finished: an incremental one takes what has been touched since.
--   {"mode", "resume"} -> {"round"|null, "resumed", "started_at", "marker", "step", "place", "tally", "findings", "base": {"started_at", "marker", "findings"}|null}
create or replace function public.memory_audit_begin_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  present bigint := (select settled_marker from memory.graph_state);
  r memory.audit_rounds;
  base jsonb;
begin
  if p ->> 'mode' = 'deep' then
    if coalesce((p ->> 'resume')::boolean, false) then
      select * into r from memory.audit_rounds where mode = 'deep' and step is not null;
    end if;
    if r.round is not null then
      return to_jsonb(r) || jsonb_build_object('resumed', true, 'base', null);
    end if;
    insert into memory.audit_rounds (mode, marker) values ('deep', present)
    on conflict (mode) do update
      set round = default, marker = excluded.marker, started_at = clock_timestamp(), at = clock_timestamp(), step = null, place = null, tally = '{}', findings = '[]'
    returning * into r;
    return to_jsonb(r) || jsonb_build_object('resumed', false, 'base', null);
  end if;
  if p ->> 'mode' = 'incremental' then
    select jsonb_build_object('started_at', v.started_at, 'marker', v.marker, 'findings', v.findings) into base
    from memory.verdicts v where v.marker is not null and v.marker <= present order by v.id desc limit 1;
  end if;
  return jsonb_build_object('round', null, 'resumed', false, 'started_at', clock_timestamp(), 'marker', present, 'step', null, 'place', null,
    'tally', '{}'::jsonb, 'findings', '[]'::jsonb, 'base', base);
end $$;

-- Keeps how far a deep round has come. Where another one has begun meanwhile, nothing is kept.
--   {"round", "step", "place", "tally", "findings": those of this page} -> {"kept": boolean}
create or replace function public.memory_audit_progress_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
begin
  perform set_config('synchronous_commit', 'off', true);  -- what a crash takes is looked at again
  update memory.audit_rounds
  set at = clock_timestamp(), step = p ->> 'step', place = p ->> 'place', tally = p -> 'tally',
      findings = case when jsonb_array_length(p -> 'findings') = 0 then findings else findings || (p -> 'findings') end
  where round = (p ->> 'round')::bigint;
  return jsonb_build_object('kept', found);
end $$;

-- What was written to a projection, or is owed, since a round began: buckets of the graph, owners of vectors (null when they are too
-- many to name). Settlements under way while that round began are taken twice rather than never: hence the margins.
--   {"marker", "since"} -> {"buckets": {"memory": [b, …], "entity": […], "relation": […]}, "owners": [id, …]|null}
create or replace function public.memory_audit_touched_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp set enable_nestloop = off as $$
declare
  p jsonb := input::jsonb;
  result jsonb;
begin
  with shown as (
    select kind, memory.as_uuid(id) as id from memory.ledger where projection = 'graph' and settled_marker > (p ->> 'marker')::bigint - 100
    union
    select kind, memory.as_uuid(id) from memory.ledger where projection = 'graph' and owed_number is not null
  ), vectors as (
    select distinct id from (
      select memory.as_uuid(id) as id from memory.ledger
      where projection = 'embeddings' and settled_at >= (p ->> 'since')::timestamptz - interval '60 seconds'
    ) x where id is not null limit 20001
  )
  select jsonb_build_object(
    'buckets', jsonb_build_object(
      'memory', (select coalesce(jsonb_agg(distinct m.bucket), '[]') from memory.memories m join shown s on s.kind = 'memory' and s.id = m.id),
      'entity', (select coalesce(jsonb_agg(distinct e.bucket), '[]') from memory.entities e join shown s on s.kind = 'entity' and s.id = e.id),
      'relation', (select coalesce(jsonb_agg(distinct r.bucket), '[]') from memory.relations r join shown s on s.kind = 'relation' and s.id = r.id)),
    'owners', case when (select count(*) from vectors) <= 20000 then (select coalesce(jsonb_agg(id), '[]') from vectors) end)
  into result;
  return result;
end $$;

-- What is known of rows that differ, in the order asked: the last write and settlement of their owner, and since when audits have seen
-- them differ. A later verdict that looked as closely, and did not name the row, ends what an earlier one said.
--   {"mode", "rows": [{store, subject, id, projection, kind, owner}, …]} -> [{last_write, last_settlement, since}, …]
create or replace function public.memory_audit_context_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp set enable_nestloop = off as $$
declare
  p jsonb := input::jsonb;
  owners text[] := array(select distinct r ->> 'owner' from jsonb_array_elements(p -> 'rows') r where r ->> 'owner' is not null);
  ids uuid[] := memory.as_uuids(owners);
  result jsonb;
begin
  with wanted as (
    select n, store, subject, id, projection, kind, owner
    from rows from (jsonb_to_recordset(p -> 'rows') as (store text, subject text, id text, projection text, kind text, owner text))
      with ordinality w(store, subject, id, projection, kind, owner, n)
  ), written as (
    select 'memory' as kind, id::text, version, revision, greatest(updated_at, deleted_at) as at from memory.memories where id = any (ids)
    union all
    select 'entity', id::text, revision, revision, updated_at from memory.entities where id = any (ids)
    union all
    select 'relation', id::text, revision, revision, updated_at from memory.relations where id = any (ids)
  ), settled as (
    select projection, kind, id, settled_revision, settled_version, settled_marker, settled_at from memory.ledger
    where projection = any (array['graph', 'embeddings', 'entities']) and kind = any (array['memory', 'entity', 'relation']) and id = any (owners) and settled_at is not null
  ), looks as (  -- enough of each mode: a row that was named keeps its time from verdict to verdict
    select v.id, v.mode, v.at, v.more, v.findings from (
      select *, row_number() over (partition by mode order by id desc) as n from memory.verdicts where id > (select max(id) - 1000 from memory.verdicts)
    ) v where v.n <= 3
  ), named as (
    select l.id as verdict, l.mode, l.at, x.kind, x.store, x.subject, x.id, x.projection, x.since
    from looks l, lateral (
      select f ->> 'kind' as kind, f ->> 'store' as store, f ->> 'subject' as subject, f ->> 'id' as id, coalesce(f -> 'hint' ->> 'projection', '') as projection,
        (f ->> 'since')::timestamptz as since
      from jsonb_array_elements(l.findings) f
    ) x
  ), quickly as (  -- rows that a quick audit has named: the next one that does not name them has seen them in step
    select distinct kind, store, subject, id, projection from named where mode = 'quick'
  ), absent as (  -- (named row, later verdict that did not name it)
    select distinct m.verdict, m.store, m.subject, m.id, m.projection
    from named m
    join looks c on c.id > m.verdict and c.more = 0 and c.mode in ('deep', 'quick')
    left join named o on o.verdict = c.id and o.store = m.store and o.subject = m.subject and o.id = m.id and o.projection = m.projection
    left join quickly q on q.kind = m.kind and q.store = m.store and q.subject = m.subject and q.id = m.id and q.projection = m.projection
    where o.id is null and (c.mode = 'deep' or m.mode <> 'deep' or q.id is not null)
  ), seen as (
    select w.n, min(coalesce(m.since, m.at)) as since
    from wanted w
    join named m on m.store = w.store and m.subject = w.subject and m.id = w.id and m.projection = case w.store when 'ledger' then w.projection else '' end
    left join absent a on a.verdict = m.verdict and a.store = m.store and a.subject = m.subject and a.id = m.id and a.projection = m.projection
    where a.id is null
    group by w.n
  )
  select coalesce(jsonb_agg(jsonb_build_object(
      'last_write', case when t.id is not null then jsonb_build_object('version', t.version, 'revision', t.revision, 'at', t.at) end,
      'last_settlement', case when s.id is not null then jsonb_build_object('projection', s.projection, 'revision', s.settled_revision,
        'version', s.settled_version, 'marker', s.settled_marker, 'at', s.settled_at) end,
      'since', coalesce(e.since, clock_timestamp())) order by w.n), '[]')
  into result
  from wanted w
  left join written t on t.kind = w.kind and t.id = w.owner
  left join settled s on s.projection = w.projection and s.kind = w.kind and s.id = w.owner
  left join seen e on e.n = w.n;
  return result;
end $$;

-- Keeps a verdict, and ends its round.
--   {mode, clean, checked, pending, kinds, findings, seconds, repaired, started_at, marker, more, bytes, paused_seconds, resumed, round|null} -> {"id", "at"}
create or replace function public.memory_save_verdict_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  kept memory.verdicts;
begin
  insert into memory.verdicts (mode, clean, checked, pending, kinds, findings, seconds, repaired, started_at, marker, more, bytes, paused_seconds, resumed)
  select mode, clean, checked, pending, kinds, findings, seconds, repaired, started_at, marker, coalesce(more, 0), coalesce(bytes, 0), coalesce(paused_seconds, 0), coalesce(resumed, false)
  from jsonb_to_record(input::jsonb) v(mode text, clean boolean, checked jsonb, pending integer, kinds jsonb, findings jsonb, seconds float8, repaired integer,
    started_at timestamptz, marker bigint, more integer, bytes bigint, paused_seconds float8, resumed boolean)
  returning * into kept;
  delete from memory.audit_rounds where round = (input::jsonb ->> 'round')::bigint;
  return jsonb_build_object('id', kept.id, 'at', kept.at);
end $$;

-- Stored verdicts, newest first, with what they named or without.  {"limit", "findings"?: true} -> [verdict, …]
create or replace function public.memory_verdicts_v1(input text) returns jsonb
language sql stable security definer set search_path = memory, extensions, public, pg_temp as $$
  select coalesce(jsonb_agg(case when coalesce((input::jsonb ->> 'findings')::boolean, true) then to_jsonb(v) else to_jsonb(v) - 'findings' end order by v.id desc), '[]')
  from (select * from memory.verdicts order by id desc limit (input::jsonb ->> 'limit')::integer) v
$$;
