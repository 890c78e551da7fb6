-- Made by `make migrations` from memory_pipelines/stores/postgres/sql: change it there.
-- Either the Supabase CLI applies these files, or `memory-pipelines migrate` does the same; both keep the same account of it.
set search_path = public, extensions;
set check_function_bodies = off;

-- Vectors against the record, by exact anti-joins: both are in one database. Nothing here writes.

-- Differences in one page of passages and embeddings, exactly, by id range, or of some owners. Rows that are owed are left to the
-- ledger's own audit. Vectors of a generation that is being built are nobody's business yet.
--   {"after": id|null, "limit"} or {"ids": [id, …]} -> {"findings": [{kind, store, subject, id, expected, actual, hint}], "passages": n, "embeddings": n, "next": id|null}
create or replace function public.memory_audit_embeddings_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp set enable_nestloop = off set plan_cache_mode = force_custom_plan as $$
declare
  p jsonb := input::jsonb;
  g memory.generations;
  low uuid := coalesce((p ->> 'after')::uuid, '00000000-0000-0000-0000-000000000000');
  high uuid;
  chosen uuid[] := case when p ? 'ids' then array(select i::uuid from jsonb_array_elements_text(p -> 'ids') i) end;
  blank text := e'\t\n\u000b\f\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000';
  result jsonb;
begin
  select * into g from memory.generations where state = 'active';
  if chosen is null then
    select id into high from (
      select id from memory.memories where id > low union select id from memory.entities where id > low order by id limit (p ->> 'limit')::integer
    ) x order by id desc limit 1;
  end if;
  if chosen is not null or (select count(*) from (select from memory.memories where id > high union all select from memory.entities where id > high limit 1) x) = 0 then
    high := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  end if;
  with live as (
    select id, version, namespace, text from memory.memories where deleted_at is null and id > low and id <= high and (chosen is null or id = any (chosen))
  ), wanted as (
    select 'memory' as kind, m.id, q.ordinal as passage, m.version, m.namespace from memory.passages q join live m on m.id = q.memory_id
    union all
    select 'entity', e.id, 0::smallint, e.revision, e.namespace from memory.entities e
    where e.deleted_at is null and e.id > low and e.id <= high and (chosen is null or e.id = any (chosen))
  ), had as (
    select kind, id, passage, version, namespace, generation, vector_dims(v) as dims from memory.embeddings
    where id > low and id <= high and (chosen is null or id = any (chosen))
      and generation not in (select b.id from memory.generations b where b.state = 'building')
  ), elsewhere as (
    select h.*, w.version as wanted_version, case when w.id is null then 'orphan' else 'wrong_generation' end as finding
    from had h left join wanted w on w.kind = h.kind and w.id = h.id and w.passage = h.passage where h.generation <> g.id
  ), vectors as (
    select coalesce(w.kind, h.kind) as owner_kind, coalesce(w.id, h.id) as owner, coalesce(w.passage, h.passage) as passage,
      w.version as wanted_version, h.version as had_version, h.dims, h.generation,
      case when w.id is null then 'orphan' when h.id is null then 'missing' when h.version < w.version then 'stale' when h.version > w.version then 'ahead'
           when h.dims <> g.dimensions then 'wrong_dimension' when h.namespace <> w.namespace then 'wrong_namespace' end as finding
    from wanted w full join (select * from had where generation = g.id) h on h.kind = w.kind and h.id = w.id and h.passage = w.passage
  ), uncovered as (  -- texts that their passages do not make up, but for white space (as Python strips it: `domain/passages.py`)
    select m.id, m.version, m.text, q.last
    from live m
    left join (
      select memory_id, string_agg(text, ' ' order by ordinal) as joined, max(ordinal) as last
      from memory.passages where memory_id > low and memory_id <= high and (chosen is null or memory_id = any (chosen)) group by memory_id
    ) q on q.memory_id = m.id
    where q.joined is null or (q.joined <> m.text and translate(q.joined, blank, '') <> translate(m.text, blank, ''))
  ), cut as (
    select q.memory_id as owner, q.ordinal, m.version as wanted_version, q.version as had_version,
      case when m.id is null then 'orphan' when q.version <> m.version then 'stale'
           when q.namespace <> m.namespace then 'wrong_namespace' when u.id is not null and position(q.text in u.text) = 0 then 'edited' end as finding
    from memory.passages q left join live m on m.id = q.memory_id left join uncovered u on u.id = q.memory_id
    where q.memory_id > low and q.memory_id <= high and (chosen is null or q.memory_id = any (chosen))
  ), texts as (
    select * from cut where finding is not null
    union all
    select u.id, coalesce((select min(n) from generate_series(0, u.last) n where not exists (select from cut c where c.owner = u.id and c.ordinal = n)), u.last + 1, 0),
      u.version, null, 'missing'
    from uncovered u where not exists (select from cut c where c.owner = u.id and c.finding is not null)
  ), found as (
    select finding as kind, 'embeddings' as store, 'embedding' as subject,
      case when owner_kind = 'memory' then owner || '#' || passage else owner::text end as id,
      case when wanted_version is not null then jsonb_build_object('version', wanted_version, 'generation', g.id, 'dimensions', g.dimensions) end as expected,
      case when had_version is not null then jsonb_build_object('version', had_version, 'generation', generation, 'dimensions', dims) end as actual,
      owner_kind, owner
    from (
      select * from vectors v where finding is not null
        and not (finding = 'missing' and exists (select from elsewhere o where o.kind = v.owner_kind and o.id = v.owner and o.passage = v.passage))
      union all
      select kind, id, passage, wanted_version, version, dims, generation, finding from elsewhere
    ) v
    union all
    select finding, 'passages', 'passage', owner || '#' || ordinal,
      case when wanted_version is not null then jsonb_build_object('version', wanted_version) end,
      case when had_version is not null then jsonb_build_object('version', had_version) end, 'memory', owner
    from texts
  ), owed as (
    select l.kind, memory.as_uuid(l.id) as id from memory.ledger l
    where l.projection = 'embeddings' and l.id = any (array(select distinct owner::text from found)) and l.owed_number is not null
  )
  select jsonb_build_object(
    'findings', coalesce((select jsonb_agg(jsonb_build_object('kind', f.kind, 'store', f.store, 'subject', f.subject, 'id', f.id, 'expected', f.expected, 'actual', f.actual,
        'hint', jsonb_build_object('owner_kind', f.owner_kind, 'owner', f.owner)))
      from found f where not exists (select from owed o where o.kind = f.owner_kind and o.id = f.owner)), '[]'),
    'passages', (select count(*) from wanted where kind = 'memory'), 'embeddings', (select count(*) from had),
    'next', case when high <> 'ffffffff-ffff-ffff-ffff-ffffffffffff' then high end)
  into result;
  return result;
end $$;

-- What the graph must show, said by the record: sums and digests for the quick audit, expected rows for the deep one, and what the ledger
-- says of both. Vectors: `embeddings.sql`; rounds and verdicts: `rounds.sql`. Nothing here writes.

-- Sums per bucket, or per leaf of some buckets, of what must be live in the graph.
--   {"kind": memory|entity|mention|relation, "buckets"?: [b, …], "leaves"?: false} -> [[bucket, count, high, low], …] or [[bucket, leaf, count, high, low], …]
create or replace function public.memory_audit_sums_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  live text := case p ->> 'kind'
    when 'memory' then 'select bucket, leaf, digest from memory.memories where deleted_at is null'
    when 'entity' then 'select bucket, leaf, digest from memory.entities where deleted_at is null'
    when 'relation' then 'select bucket, leaf, digest from memory.relations where deleted_at is null'
    -- memory.shown_mentions, cut in two: as one condition it keeps the planner from reading all of them in parallel, at twice the time.
    when 'mention' then 'select m.bucket, m.leaf, n.digest from memory.memories m join (
        select memory_id, digest from memory.mentions where shown_id is null
        union all
        select s.memory_id, s.digest from memory.mentions s where s.shown_id is not null and not exists (
          select from memory.mentions o where o.memory_id = s.memory_id
            and (o.entity_id = s.shown_id and o.shown_id is null or o.shown_id = s.shown_id and o.entity_id < s.entity_id))
      ) n on n.memory_id = m.id where m.deleted_at is null'
  end;
  chosen smallint[] := case when p ? 'buckets' then array(select b::smallint from jsonb_array_elements_text(p -> 'buckets') b) end;
  sums jsonb;
begin
  if not coalesce((p ->> 'leaves')::boolean, true) then
    execute format('select coalesce(jsonb_agg(jsonb_build_array(bucket, n, h, l)), ''[]'') from (
      select bucket, count(*) as n, sum((digest >> 32) & 4294967295) as h, sum(digest & 4294967295) as l from (%s) x
      where bucket = any ($1) group by bucket) y', live)
    into sums using chosen;
  elsif chosen is null then
    execute format('select coalesce(jsonb_agg(jsonb_build_array(bucket, n, h, l)), ''[]'') from (
      select bucket, count(*) as n, sum((digest >> 32) & 4294967295) as h, sum(digest & 4294967295) as l from (%s) x group by bucket) y', live) into sums;
  else
    execute format('select coalesce(jsonb_agg(jsonb_build_array(bucket, leaf, n, h, l)), ''[]'') from (
      select bucket, leaf, count(*) as n, sum((digest >> 32) & 4294967295) as h, sum(digest & 4294967295) as l from (%s) x
      where bucket = any ($1) group by bucket, leaf) y', live)
    into sums using chosen;
  end if;
  return sums;
end $$;

-- Rows as the graph must show them, with what the ledger says, in one statement. Chosen by ids, by (bucket, leaf) cells,
-- or by a range of buckets; tombstones come too when asked for by id. A mention's id is `memory:entity`. What is parked is
-- not on its way: it counts as not owed, so that what it left undone is found, and put right with what was seen.
--   {"kind", "ids"?: [id, …], "cells"?: [[bucket, leaf], …], "buckets"?: [from, below]}
--   -> [{id, revision, deleted, owed_seconds|null, settled_revision|null (while owed), props, source, target}, …]
create or replace function public.memory_audit_expected_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp set enable_nestloop = off as $$
declare
  p jsonb := input::jsonb;
  p_kind text := p ->> 'kind';
  -- mentions stand in their memory's bucket: find the memories first
  nodes text := case p_kind when 'entity' then 'entities' when 'relation' then 'relations' else 'memories' end;
  chosen uuid[];
  cells text[] := array(select (c ->> 0) || ':' || (c ->> 1) from jsonb_array_elements(coalesce(p -> 'cells', '[]')) c);
  body text;
  rows jsonb;
begin
  if p ? 'ids' then
    chosen := array(select memory.as_uuid(split_part(i, ':', 1)) from jsonb_array_elements_text(p -> 'ids') i);
  elsif p ? 'cells' then
    execute format('select array_agg(id) from memory.%I where deleted_at is null and bucket = any ($1) and bucket || '':'' || leaf = any ($2)', nodes)
    into chosen using array(select distinct (c ->> 0)::smallint from jsonb_array_elements(p -> 'cells') c), cells;
  else
    execute format('select array_agg(id) from memory.%I where deleted_at is null and bucket >= $1 and bucket < $2', nodes)
    into chosen using (p -> 'buckets' ->> 0)::smallint, (p -> 'buckets' ->> 1)::smallint;
  end if;
  body := case p_kind
    when 'memory' then 'select s.id::text, s.revision, s.deleted_at is not null as deleted,
        case when s.deleted_at is null then memory.graph_memory(s.id, s.namespace, s.revision, s.created_at, s.digest, s.bucket, s.leaf) end as props,
        null::text as source, null::text as target, s.id::text as owner from memory.memories s where s.id = any ($1)'
    when 'entity' then 'select s.id::text, s.revision, s.deleted_at is not null as deleted,
        case when s.deleted_at is null then memory.graph_entity(s.id, s.namespace, s.name, s.type, s.revision, s.digest, s.bucket, s.leaf, s.aliases, s.summary) end as props,
        null::text as source, null::text as target, s.id::text as owner from memory.entities s where s.id = any ($1)'
    when 'relation' then 'select s.id::text, s.revision, s.deleted_at is not null as deleted,
        case when s.deleted_at is null then memory.graph_relation(s.id, s.namespace, s.predicate, s.revision, s.digest) end as props,
        s.source_id::text as source, s.target_id::text as target, s.id::text as owner from memory.relations s where s.id = any ($1)'
    when 'mention' then 'select m.memory_id || '':'' || m.entity_id as id, s.revision, false as deleted,
        jsonb_build_object(''dh'', (m.digest >> 32) & 4294967295, ''dl'', m.digest & 4294967295) as props,
        m.memory_id::text as source, m.entity_id::text as target, m.memory_id::text as owner
      from memory.shown_mentions m join memory.memories s on s.id = m.memory_id
      where m.memory_id = any ($1) and s.id = any ($1) and s.deleted_at is null'
  end;
  if p_kind = 'mention' and p ? 'ids' then  -- also those that are gone: what their memory owes says whether that is news
    body := 'select i as id, s.revision, m.memory_id is null or s.deleted_at is not null as deleted,
        case when s.deleted_at is null then jsonb_build_object(''dh'', (m.digest >> 32) & 4294967295, ''dl'', m.digest & 4294967295) end as props,
        split_part(i, '':'', 1) as source, split_part(i, '':'', 2) as target, s.id::text as owner
      from unnest($2) i join memory.memories s on s.id = memory.as_uuid(split_part(i, '':'', 1))
      left join (select * from memory.shown_mentions where memory_id = any ($1)) m on m.memory_id = s.id and m.entity_id = memory.as_uuid(split_part(i, '':'', 2))
      where s.id = any ($1)';
  end if;
  execute format('select coalesce(jsonb_agg(jsonb_build_object(''id'', x.id, ''revision'', x.revision, ''deleted'', x.deleted, ''props'', x.props, ''source'', x.source,
      ''target'', x.target, ''owed_seconds'', case when l.owed_number is not null and l.parked_at is null or l.id is null then coalesce(extract(epoch from clock_timestamp() - l.owed_since), 0) end,
      ''settled_revision'', case when l.owed_number is null then l.settled_revision end)), ''[]'')
    from (%s) x
    left join (select * from memory.ledger where projection = ''graph'' and kind = $3 and id = any ($1::text[])) l on l.id = x.owner', body)
  into rows
  using chosen, case when p_kind = 'mention' and p ? 'ids' then array(select jsonb_array_elements_text(p -> 'ids')) end,
    case p_kind when 'mention' then 'memory' else p_kind end;
  return rows;
end $$;

-- Debts too old, and rows that were set aside: at most a thousand of them, oldest first, and a count of the rest.
--   {"budget_seconds"} -> {"pending": n, "findings": […], "more": {kind: n}}
create or replace function public.memory_audit_ledger_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  budget interval := make_interval(secs => (input::jsonb ->> 'budget_seconds')::float8);
  result jsonb;
begin
  with late as (
    select case when parked_at is null then 'owed_too_long' when dropped_at is null then 'parked' else 'given_up' end as kind, projection, l.kind as subject, id, owed_since, attempts, last_error,
      row_number() over (order by owed_number) as n
    from memory.ledger l where owed_number is not null and (owed_since < clock_timestamp() - budget or parked_at is not null)
  )
  select jsonb_build_object(
    'pending', (select count(*) from memory.ledger where owed_number is not null and parked_at is null and owed_since >= clock_timestamp() - budget),
    'more', (select coalesce(jsonb_object_agg(x.kind, x.rest), '{}') from (select kind, count(*) as rest from late where n > 1000 group by kind) x),
    'findings', coalesce((select jsonb_agg(jsonb_build_object('kind', l.kind, 'store', 'ledger', 'subject', l.subject, 'id', l.id,
        'expected', jsonb_build_object('projection', l.projection, 'owed', false),
        'actual', jsonb_build_object('projection', l.projection, 'owed_since', l.owed_since, 'attempts', l.attempts, 'error', l.last_error),
        'hint', jsonb_build_object('projection', l.projection))) from late l where n <= 1000), '[]'))
  into result;
  return result;
end $$;

-- One page of one kind, both ways: subjects that the ledger does not know, and ledger rows that claim to have shown a subject which the
-- record does not know. (A repair of what the record never held settles at version 0: that claims nothing.)
--   {"kind": memory|entity|relation, "after": id|null, "limit"} -> {"findings": […], "next": id|null}
create or replace function public.memory_audit_coverage_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp set enable_nestloop = off set plan_cache_mode = force_custom_plan as $$
declare
  p jsonb := input::jsonb;
  p_kind text := p ->> 'kind';
  low uuid := coalesce((p ->> 'after')::uuid, '00000000-0000-0000-0000-000000000000');
  low_text text := coalesce(p ->> 'after', '');
  wanted text[] := case p_kind when 'memory' then array['graph', 'embeddings', 'entities'] when 'entity' then array['graph', 'embeddings'] else array['graph'] end;
  subjects uuid[];
  high text;
  result jsonb;
begin
  execute format('select array(select id from memory.%I where id > $1 order by id limit $2)',
    case p_kind when 'memory' then 'memories' when 'entity' then 'entities' else 'relations' end)
  into subjects using low, (p ->> 'limit')::integer;
  if cardinality(subjects) = (p ->> 'limit')::integer then
    high := subjects[cardinality(subjects)]::text;
  end if;
  with known as (
    select w.projection, s::text as id from unnest(subjects) s, unnest(wanted) w(projection)
  ), held as (
    select l.projection, l.id from memory.ledger l
    where l.projection = any (array['graph', 'embeddings', 'entities']) and l.kind = p_kind and l.id > low_text and (high is null or l.id <= high)
  ), differing as (
    select coalesce(k.projection, h.projection) as projection, coalesce(k.id, h.id) as id, k.id is null as strange
    from known k full join held h on h.projection = k.projection and h.id = k.id
    where k.id is null or h.id is null
  ), claims as (
    select l.projection, l.id, l.settled_version, l.settled_revision from memory.ledger l
    where l.projection = any (array['graph', 'embeddings', 'entities']) and l.kind = p_kind and l.id = any (array(select id from differing where strange))
      and l.owed_number is null and l.settled_version > 0
  )
  select jsonb_build_object(
    'findings', coalesce((select jsonb_agg(jsonb_build_object('kind', 'unledgered', 'store', 'ledger', 'subject', p_kind, 'id', d.id,
        'expected', jsonb_build_object('projection', d.projection), 'actual', null, 'hint', jsonb_build_object('projection', d.projection)))
        from differing d where not d.strange), '[]')
      || coalesce((select jsonb_agg(jsonb_build_object('kind', 'without_subject', 'store', 'ledger', 'subject', p_kind, 'id', c.id,
        'expected', null, 'actual', jsonb_build_object('projection', c.projection, 'version', c.settled_version, 'revision', c.settled_revision),
        'hint', jsonb_build_object('projection', c.projection))) from claims c), '[]'),
    'next', high)
  into result;
  return result;
end $$;

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

-- Foundations that every other function stands on. Nothing here is callable from outside.

-- Raises an error in the one form that survives every transport: SQLSTATE PTnnn, our code as JSON in the detail.
create or replace function memory.raise_error(status integer, code text, message text, detail jsonb default '{}') returns void
language plpgsql as $$
begin
  raise exception using errcode = 'PT' || status, message = message, detail = (detail || jsonb_build_object('code', code))::text;
end $$;

-- A hash that names something without revealing it: of a key or an entity's name, salted with this record's secret.
create or replace function memory.keyed_hash(variadic parts text[]) returns bytea language sql stable parallel safe
set search_path = memory, extensions, public, pg_temp as $$
  select sha256(convert_to((select value from memory.settings where name = 'pepper') || e'\x1f' || array_to_string(parts, e'\x1f', e'\x1e'), 'UTF8'))
$$;

-- Whether a subject is still what a failed row was charged for: the same revision for the graph, the same version for others.
create or replace function memory.unchanged_since(p_projection text, p_kind text, p_id text, p_seen integer) returns boolean language plpgsql as $$
begin
  return p_seen is not distinct from case p_kind
    when 'memory' then (select case p_projection when 'graph' then m.revision else m.version end from memory.memories m where m.id = memory.as_uuid(p_id))
    when 'entity' then (select e.revision from memory.entities e where e.id = memory.as_uuid(p_id))
    when 'relation' then (select r.revision from memory.relations r where r.id = memory.as_uuid(p_id))
  end;
end $$;

-- Owes subjects to a projection under new numbers. A row that is owed already keeps the time since when. One that has failed, parked
-- or not, starts anew if what it failed on has changed; else it keeps its attempts, and stays parked.
create or replace function memory.owe(p_projection text, p_kind text, p_ids uuid[]) returns void language sql as $$
  insert into memory.ledger as l (projection, kind, id, owed_number, owed_since)
  select p_projection, p_kind, i::text, nextval('memory.owings'), clock_timestamp() from (select distinct unnest(p_ids) as i order by 1) ids
  on conflict (projection, kind, id) do update
    set owed_number = excluded.owed_number, owed_since = coalesce(l.owed_since, excluded.owed_since),
        attempts = case when l.attempts > 0 and memory.unchanged_since(l.projection, l.kind, l.id, l.failed_seen) then l.attempts else 0 end,
        retry_at = case when l.attempts > 0 and memory.unchanged_since(l.projection, l.kind, l.id, l.failed_seen) then l.retry_at end,
        last_error = case when l.attempts > 0 and memory.unchanged_since(l.projection, l.kind, l.id, l.failed_seen) then l.last_error end,
        parked_at = case when l.attempts > 0 and memory.unchanged_since(l.projection, l.kind, l.id, l.failed_seen) then l.parked_at end
$$;

-- Settles subjects whose result was stored in this very transaction.
create or replace function memory.settle_now(p_projection text, p_kind text, p_ids uuid[], p_revision integer, p_version integer)
returns void language sql as $$
  update memory.ledger
  set owed_number = null, owed_since = null, settled_revision = p_revision, settled_version = p_version, settled_at = clock_timestamp(),
      attempts = 0, retry_at = null, last_error = null, parked_at = null, forced = null, hint = null
  where projection = p_projection and kind = p_kind and id = any (p_ids::text[])
$$;

-- `[[kind, id], …]` as the event stream carries it.
create or replace function memory.refs(p_kind text, p_ids uuid[]) returns jsonb language sql immutable as $$
  select coalesce(jsonb_agg(jsonb_build_array(p_kind, i)), '[]') from unnest(p_ids) i
$$;

-- A UUID, or null for what is none: repairs look at ids that came from elsewhere. Not `strict`, which would keep it from
-- being inlined, and no regular expression.
create or replace function memory.as_uuid(id text) returns uuid language sql immutable parallel safe as $$
  select case when id like '________-____-____-____-____________' and translate(id, '0123456789abcdefABCDEF', '') = '----' then id::uuid end
$$;

-- The UUIDs among some ids. Nearly always all of them are, and are cast at once: looking at each took a third of a claim.
create or replace function memory.as_uuids(ids text[]) returns uuid[] language plpgsql immutable parallel safe as $$
begin
  return ids::uuid[];
exception when invalid_text_representation then
  return array(select memory.as_uuid(i) from unnest(ids) i where memory.as_uuid(i) is not null);
end $$;

-- Milliseconds since 1970, as the graph holds times.
create or replace function memory.millis(at timestamptz) returns bigint language sql immutable strict parallel safe as $$
  select floor(extract(epoch from at - timestamptz '1970-01-01 00:00:00+00') * 1000)::bigint
$$;

-- The record says when an entity or a relation was last written, whoever writes it.
create or replace function memory.stamp_update() returns trigger language plpgsql as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end $$;
create or replace trigger entities_stamp before update on memory.entities for each row
  when (old.revision is distinct from new.revision) execute function memory.stamp_update();
create or replace trigger relations_stamp before update on memory.relations for each row
  when (old.revision is distinct from new.revision) execute function memory.stamp_update();

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

-- Embeddings: generations, storing, folding into the vector index.

-- The active generation for a model, made on first use. A different model is refused: vectors of two models do not compare.
--   {"model", "dimensions"} -> {"generation"}
create or replace function public.memory_generation_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  g memory.generations;
begin
  select * into g from memory.generations where state = 'active';
  if g.id is null then
    perform pg_advisory_xact_lock(hashtext('memory.generations'));
    select * into g from memory.generations where state = 'active';
  end if;
  if g.id is null then
    insert into memory.generations (model, dimensions, state) values (p ->> 'model', (p ->> 'dimensions')::integer, 'active') returning * into g;
    execute format(
      'create index if not exists %I on memory.embeddings using hnsw ((v::%s(%s)) %s) where generation = %s and indexed',
      'embeddings_hnsw_' || g.id, memory.vector_type(g.dimensions), g.dimensions, memory.vector_type(g.dimensions) || '_cosine_ops', g.id);
  end if;
  if g.model <> p ->> 'model' or g.dimensions <> (p ->> 'dimensions')::integer then
    perform memory.raise_error(409, 'generation_conflict',
      format('This record is embedded with %s (%s dimensions); the configured embedder is %s (%s). Set MEMORY_EMBEDDER back.',
        g.model, g.dimensions, p ->> 'model', p ->> 'dimensions'));
  end if;
  return jsonb_build_object('generation', g.id);
end $$;

-- pgvector indexes `vector` up to 2,000 dimensions, `halfvec` up to 4,000.
create or replace function memory.vector_type(dimensions integer) returns text language sql immutable strict as $$
  select case when dimensions > 2000 then 'halfvec' else 'vector' end
$$;

-- The work of the two functions below it. Rows are found by index: a session whose plans were made while the tables were
-- small would go on reading them whole as they grow.
create or replace function memory.store_embeddings(p jsonb, p_vectors vector[]) returns jsonb
language plpgsql set search_path = memory, extensions, public, pg_temp set enable_seqscan = off as $$
declare
  p_generation smallint := (p ->> 'generation')::smallint;
  dimension integer := (select dimensions from memory.generations where id = p_generation);
  wrong integer := (select vector_dims(v) from unnest(p_vectors) v where vector_dims(v) <> dimension limit 1);
  kinds text[];
  ids uuid[];
  versions integer[];
  counts integer[];
  namespaces text[];
  fresh uuid[];  -- live, and still of the version that the result was made from
  gone uuid[];   -- forgotten, or unknown
  memory_ids uuid[];  -- fresh or gone
  entity_ids uuid[];
  paid integer;
begin
  select array_agg(r.kind order by n), array_agg(memory.as_uuid(r.id) order by n), array_agg(r.version order by n), array_agg(coalesce(r.vectors, 0) order by n)
  into kinds, ids, versions, counts
  from rows from (jsonb_to_recordset(p -> 'rows') as (kind text, id text, version integer, vectors integer)) with ordinality r(kind, id, version, vectors, n);
  if (select sum(c) from unnest(counts) c) <> cardinality(p_vectors) then
    perform memory.raise_error(400, 'vectors_invalid', 'There are not as many vectors as the rows say.');
  end if;
  if wrong is not null then
    perform memory.raise_error(400, 'dimension_mismatch', 'A vector has the wrong number of dimensions for the active generation.',
      jsonb_build_object('dimensions', wrong, 'expected', dimension));
  end if;
  perform set_config('synchronous_commit', 'off', true);  -- a crash takes result and settlement together: it is owed still
  perform id from memory.memories where id in (select r.id from unnest(kinds, ids) r(kind, id) where r.kind = 'memory') order by id for no key update;
  perform id from memory.entities where id in (select r.id from unnest(kinds, ids) r(kind, id) where r.kind = 'entity') order by id for no key update;
  select coalesce(array_agg(r.id) filter (where r.version = coalesce(m.version, e.revision)), '{}'),
         coalesce(array_agg(r.id) filter (where m.id is null and e.id is null), '{}'),
         array_agg(coalesce(m.namespace, e.namespace) order by r.n),
         array_agg(r.id) filter (where r.kind = 'memory' and (m.id is null or m.version = r.version)),
         array_agg(r.id) filter (where r.kind = 'entity' and (e.id is null or e.revision = r.version))
  into fresh, gone, namespaces, memory_ids, entity_ids
  from unnest(kinds, ids, versions) with ordinality r(kind, id, version, n)
  left join memory.memories m on r.kind = 'memory' and m.id = r.id and m.deleted_at is null
  left join memory.entities e on r.kind = 'entity' and e.id = r.id and e.deleted_at is null;

  -- Passages that were cut again.
  if jsonb_path_exists(p, '$.rows[*].passages') then
    insert into memory.passages (memory_id, ordinal, version, namespace, text)
    select m.id, n - 1, m.version, m.namespace, t
    from jsonb_array_elements(p -> 'rows') r, memory.memories m, jsonb_array_elements_text(r -> 'passages') with ordinality x(t, n)
    where m.id = memory.as_uuid(r ->> 'id') and m.id = any (fresh) and jsonb_typeof(r -> 'passages') = 'array'
    on conflict (memory_id, ordinal) do update set version = excluded.version, namespace = excluded.namespace, text = excluded.text;
    delete from memory.passages q
    using jsonb_array_elements(p -> 'rows') r
    where q.memory_id = any (fresh) and q.memory_id = memory.as_uuid(r ->> 'id') and jsonb_typeof(r -> 'passages') = 'array'
      and q.ordinal >= jsonb_array_length(r -> 'passages');
  end if;
  delete from memory.passages where memory_id = any (gone);

  delete from memory.embeddings where kind = 'memory' and id = any (memory_ids);
  delete from memory.embeddings where kind = 'entity' and id = any (entity_ids);
  insert into memory.embeddings (kind, id, passage, generation, version, namespace, v)
  select r.kind, r.id, r.passage, p_generation, r.version, r.namespace, v.v
  from unnest(p_vectors) with ordinality v(v, n)
  join (
    select x.kind, x.id, x.version, x.namespace, g - 1 as passage, row_number() over (order by x.n, g) as n
    from unnest(kinds, ids, versions, namespaces, counts) with ordinality x(kind, id, version, namespace, count, n), generate_series(1, x.count) g
  ) r on r.n = v.n
  where r.id = any (fresh);

  with paid_rows as (
    update memory.ledger l
    set owed_number = null, owed_since = null, settled_revision = r.version, settled_version = r.version, settled_at = clock_timestamp(),
        attempts = 0, retry_at = null, last_error = null, parked_at = null, forced = null, hint = null
    from jsonb_to_recordset(p -> 'rows') r(kind text, id text, number bigint, version integer)
    where l.projection = 'embeddings' and l.kind = r.kind and l.id = r.id and l.owed_number = r.number
      and memory.as_uuid(r.id) = any (fresh || gone)
    returning 1
  )
  select count(*) into paid from paid_rows;
  return jsonb_build_object('stored', paid, 'superseded', jsonb_array_length(p -> 'rows') - paid);
end $$;

-- Stores vectors and settles the debt, in one transaction. A result made from an older version is refused; what is
-- forgotten or unknown loses its vectors.
--   {"generation", "rows": [{kind, id, number, version, vectors: how many, passages?}, …], "vectors": ["[…]", …]} -> {"stored": n, "superseded": n}
--   The vectors stand in the order of their rows. `passages` only where the text was cut again, to repair them.
create or replace function public.memory_store_embeddings_v1(input text) returns jsonb
language sql security definer set search_path = memory, extensions, public, pg_temp as $$
  select memory.store_embeddings(input::jsonb, array(select v::vector from jsonb_array_elements_text(input::jsonb -> 'vectors') with ordinality x(v, n) order by n))
$$;

-- The same with the vectors beside the JSON, as binary: for transports that can send it.
create or replace function public.memory_store_vectors_v1(input text, vectors vector[]) returns jsonb
language sql security definer set search_path = memory, extensions, public, pg_temp as $$
  select memory.store_embeddings(input::jsonb, vectors)
$$;

-- Moves one page of the tail into the vector index.  {"limit"} -> {"done": n}
create or replace function memory.fold_embeddings(p_limit integer) returns integer
language plpgsql as $$
declare
  n integer;
begin
  update memory.embeddings e set indexed = true
  from (
    select id, passage, generation, kind from memory.embeddings
    where not indexed and generation = (select id from memory.generations where state = 'active') limit p_limit for update skip locked
  ) t
  where e.id = t.id and e.passage = t.passage and e.generation = t.generation and e.kind = t.kind;
  get diagnostics n = row_count;
  return n;
end $$;

-- What a name means once entities were merged: as what one is shown, which merged names are still said, and who lives under which.
-- Merging: `aliases.sql`.

-- The entity that a named one is shown as: itself, unless it was merged.
create or replace function memory.shown_as(p_id uuid) returns uuid language sql stable as $$
  select coalesce((select entity_id from memory.aliases where alias_id = p_id), p_id)
$$;

-- Whether an entity lives under the name of one that was merged into it, because its own was forgotten.
create or replace function memory.borrows_name(p_id uuid, p_name_key text) returns boolean language sql stable as $$
  select exists (select from memory.aliases where entity_id = p_id and name_key = p_name_key)
$$;

-- An entity and all that was merged into it, directly or not.
create or replace function memory.family(p_id uuid) returns setof uuid language sql stable as $$
  with recursive down as (
    select p_id as id union select a.alias_id from memory.aliases a join down d on a.parent_id = d.id
  )
  select id from down
$$;

-- Merged names that are mentioned again are known again, and learn their type.  p_rows: as of `store_links`
create or replace function memory.learn_names(p_rows jsonb) returns void language plpgsql as $$
begin
  with named as (
    select distinct on (n.id) n.id, e ->> 'name' as name, e ->> 'type' as type, e ->> 'key' as key
    from jsonb_array_elements(p_rows) r cross join jsonb_array_elements(r -> 'entities') e
      join memory.entities n on n.name_hash = memory.keyed_hash('entity', r ->> 'namespace', e ->> 'key')
    order by n.id, (e ->> 'type' = 'thing')
  )
  update memory.aliases a
  set name = coalesce(a.name, w.name), name_key = coalesce(a.name_key, w.key),
      type = case when a.type is null or a.type = 'thing' then w.type else a.type end
  from named w
  where a.alias_id = w.id and (a.name is null or (a.type = 'thing' and w.type <> 'thing'));
end $$;

-- What lives under a name that leaves it takes the first other that it goes by; a type that a person has curated stays. The aliases no
-- longer have the names that leave. Returns who was renamed.  p_entities, p_name_keys: who may live under which name, pairwise
create or replace function memory.take_other_names(p_entities uuid[], p_name_keys text[]) returns uuid[] language sql as $$
  with renamed as (
    update memory.entities e
    set name = other.name, name_key = other.name_key, type = case when 'type' = any (e.curated) then e.type else other.type end, revision = e.revision + 1
    from unnest(p_entities, p_name_keys) leaving(id, name_key) cross join lateral (
      select a.name, a.name_key, a.type from memory.aliases a
      where a.entity_id = leaving.id and a.name is not null
      order by a.merged_at, a.alias_id limit 1
    ) other
    where e.id = leaving.id and e.name_key = leaving.name_key and e.deleted_at is null
    returning e.id
  )
  select coalesce(array_agg(id), '{}') from renamed
$$;

-- Forgets the merged names, of those given and of what they were merged into, that no memory says any more. What lived under such a
-- name takes another that it goes by: those entities are returned.
create or replace function memory.forget_unsaid_names(p_entities uuid[]) returns uuid[]
language plpgsql as $$
declare
  holders uuid[];
  names text[];
begin
  if not exists (select from memory.aliases where alias_id = any (p_entities)) then
    return '{}';
  end if;
  with recursive up as (
    select alias_id, parent_id from memory.aliases where alias_id = any (p_entities)
    union select a.alias_id, a.parent_id from memory.aliases a join up on a.alias_id = up.parent_id
  ), unsaid as (
    select alias_id, entity_id, name_key from memory.aliases a
    where a.alias_id in (select alias_id from up) and a.name is not null
      and not exists (select from memory.mentions m where m.entity_id in (select memory.family(a.alias_id)))
  ), forgotten as (
    update memory.aliases a set name = null, name_key = null, type = null from unsaid u where a.alias_id = u.alias_id
  )
  select array_agg(entity_id), array_agg(name_key) into holders, names from unsaid;
  return memory.take_other_names(holders, names);
end $$;

-- Entities merged into others, and back. A merge is a row of `aliases`; mentions and statements keep what was named, and only say as
-- what they are shown, so that undoing it needs nothing but them. Projections and audits see what is shown.
-- Whoever stores links keeps a namespace's aliases as they are until it commits; a merge takes them for itself. This comes before any
-- row is locked.

-- Keeps the aliases of some namespaces from changing until this transaction ends. Returns how many namespaces that were.
create or replace function memory.keep_aliases(p_namespaces text[]) returns integer language sql as $$
  select count(pg_advisory_xact_lock_shared(k)::text)::integer
  from (select distinct hashtextextended('aliases:' || n, 0) as k from unnest(p_namespaces) n order by 1) keys
$$;

-- The entity with a name, merged or not, and whether or not any memory still says that name; raises where there is none.
create or replace function memory.named_entity(p_namespace text, p_named jsonb) returns memory.entities
language plpgsql stable as $$
declare
  e memory.entities;
begin
  select * into e from memory.entities where id = memory.entity_named(p_namespace, p_named ->> 'key');
  if e.id is null or (e.deleted_at is not null and not exists (select from memory.aliases where alias_id = e.id)) then
    perform memory.raise_error(404, 'entity_unknown', format('No memory of this namespace mentions %L.', p_named ->> 'name'),
      jsonb_build_object('namespace', p_namespace, 'name', p_named ->> 'name'));
  end if;
  return e;
end $$;

-- Locks the memories that name some entities, then those entities with others. Returns the memories.
create or replace function memory.lock_named(p_ids uuid[], p_others uuid[]) returns uuid[]
language plpgsql as $$
begin
  perform id from memory.memories where id in (select memory_id from memory.mentions where entity_id = any (p_ids)) order by id for update;
  perform id from memory.entities where id = any (p_ids || p_others) order by id for update;
  return array(select distinct memory_id from memory.mentions where entity_id = any (p_ids));
end $$;

-- Shows some named entities as what the aliases now say: mentions, statements, and the relations between what is shown. All that
-- changed has a new revision and is owed. The caller has changed the aliases, and locked memories and entities.
--   p_ids: entities as named   p_memories: that name them   p_supported: what they were and are shown as
create or replace function memory.show_anew(p_ids uuid[], p_memories uuid[], p_supported uuid[]) returns jsonb
language plpgsql as $$
declare
  moved jsonb;
  touched_relations uuid[];
  renewed_relations uuid[];
  removed jsonb;
begin
  update memory.mentions m set shown_id = nullif(memory.shown_as(m.entity_id), m.entity_id) where m.entity_id = any (p_ids);

  -- Relations between the ends as they are shown now. What one was shown as until now knows the predicate.
  select coalesce(jsonb_agg(jsonb_build_object('relation', x.relation, 'memory', x.memory, 'before', x.before, 'predicate', x.predicate,
    'namespace', x.namespace, 'source', x.source, 'target', x.target)), '[]') into moved
  from (
    select s.relation_id as relation, s.memory_id as memory, coalesce(s.shown_id, s.relation_id) as before, b.predicate, n.namespace,
      memory.shown_as(n.source_id) as source, memory.shown_as(n.target_id) as target
    from memory.statements s join memory.relations n on n.id = s.relation_id join memory.relations b on b.id = coalesce(s.shown_id, s.relation_id)
    where s.memory_id = any (p_memories) and (n.source_id = any (p_ids) or n.target_id = any (p_ids))
  ) x;
  with now_shown as (
    select distinct namespace, source, predicate, target, memory.keyed_hash('relation', source::text, predicate, target::text) as name_hash
    from jsonb_to_recordset(moved) x(namespace text, source uuid, predicate text, target uuid)
  )
  insert into memory.relations (namespace, source_id, predicate, target_id, name_hash)
  select namespace, source, predicate, target, name_hash from now_shown order by name_hash
  on conflict (name_hash) do nothing;
  select coalesce(array_agg(id), '{}') into touched_relations from (
    select id from memory.relations r
    where r.id in (
      select x.before from jsonb_to_recordset(moved) x(before uuid)
      union select x.relation from jsonb_to_recordset(moved) x(relation uuid)
      union select v.id from jsonb_to_recordset(moved) x(source uuid, predicate text, target uuid)
        join memory.relations v on v.name_hash = memory.keyed_hash('relation', x.source::text, x.predicate, x.target::text)
    )
    order by id for update
  ) locked;
  with now_shown as (
    select distinct predicate, memory.keyed_hash('relation', source::text, predicate, target::text) as name_hash
    from jsonb_to_recordset(moved) x(source uuid, predicate text, target uuid)
  ), renewed as (
    update memory.relations r set predicate = w.predicate, deleted_at = null, revision = r.revision + 1
    from now_shown w where r.name_hash = w.name_hash and r.deleted_at is not null
    returning r.id
  )
  select coalesce(array_agg(id), '{}') into renewed_relations from renewed;
  update memory.statements s set shown_id = nullif(v.id, s.relation_id)
  from jsonb_to_recordset(moved) x(relation uuid, memory uuid, source uuid, predicate text, target uuid)
    join memory.relations v on v.name_hash = memory.keyed_hash('relation', x.source::text, x.predicate, x.target::text)
  where s.relation_id = x.relation and s.memory_id = x.memory;

  removed := memory.drop_unsupported(p_ids || p_supported, touched_relations);
  renewed_relations := renewed_relations || array(
    select t.relation from unnest(touched_relations) t(relation)
    where not exists (select from memory.ledger l where l.projection = 'graph' and l.kind = 'relation' and l.id = t.relation::text)
  );
  perform memory.owe('graph', 'relation', renewed_relations);
  update memory.memories set revision = revision + 1 where id = any (p_memories);
  perform memory.owe('graph', 'memory', p_memories);
  return memory.refs('relation', renewed_relations) || removed || memory.refs('memory', p_memories);
end $$;

-- Shows one entity, and all that was merged into it, as another from now on. Mentions keep what they named.
--   {"namespace", "source": {name, key}, "target": {name, key}, "by"?, "lease"?: {name, fence}}
--   -> {"outcome": merged|unchanged, "entity": {id, name, type}, "alias": {id, name}, "memories": n, "touched": [[kind, id], …]}
create or replace function public.memory_merge_entities_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  source memory.entities;
  target memory.entities;
  root memory.entities;
  family uuid[];
  memories uuid[] := '{}';
  touched jsonb := '[]';
  outcome text := 'unchanged';
begin
  perform memory.check_lease(p -> 'lease');
  perform memory.known_namespace(p ->> 'namespace');
  perform pg_advisory_xact_lock(hashtextextended('aliases:' || (p ->> 'namespace'), 0));
  source := memory.named_entity(p ->> 'namespace', p -> 'source');
  target := memory.named_entity(p ->> 'namespace', p -> 'target');
  select * into root from memory.entities where id = memory.shown_as(target.id);
  if root.id = source.id then
    perform memory.raise_error(400, 'entity_merged_with_itself', 'These are one entity already: nothing can be merged into itself or into its own alias.',
      jsonb_build_object('namespace', p ->> 'namespace', 'name', p -> 'source' ->> 'name'));
  end if;
  if memory.shown_as(source.id) not in (source.id, root.id) then
    perform memory.raise_error(409, 'entity_is_alias', 'The entity to merge is an alias of another one: unmerge it first, or merge that one.',
      jsonb_build_object('namespace', p ->> 'namespace', 'name', p -> 'source' ->> 'name'));
  end if;
  if memory.shown_as(source.id) = source.id then
    family := array(select memory.family(source.id));
    memories := memory.lock_named(family, array[root.id]);
    -- Both must live: what a forget took away while we waited for its locks cannot be shown.
    select * into source from memory.entities where id = source.id;
    select * into root from memory.entities where id = root.id;
    if source.deleted_at is not null or root.deleted_at is not null then
      perform memory.raise_error(404, 'entity_unknown', 'No memory of this namespace mentions both of these entities.',
        jsonb_build_object('namespace', p ->> 'namespace', 'name', case when source.deleted_at is null then p -> 'target' ->> 'name' else p -> 'source' ->> 'name' end));
    end if;
    -- What a person has written of it, or drawn to it, has no place in an alias: undoing the merge could not give it back.
    if source.curated <> '{}' or exists (select from memory.relations where adopted_at is not null and deleted_at is null and source.id in (source_id, target_id)) then
      perform memory.raise_error(409, 'entity_curated', 'A person has curated the entity to merge in the graph: merge the other one into it.',
        jsonb_build_object('namespace', p ->> 'namespace', 'name', p -> 'source' ->> 'name'));
    end if;
    insert into memory.aliases (alias_id, namespace, parent_id, entity_id, name, type, name_key, merged_by)
    values (source.id, source.namespace, root.id, root.id, source.name, source.type, source.name_key, p ->> 'by');
    update memory.aliases set entity_id = root.id where entity_id = source.id;
    touched := memory.show_anew(family, memories, array[root.id]);
    outcome := 'merged';
  end if;
  return jsonb_build_object('outcome', outcome, 'entity', jsonb_build_object('id', root.id, 'name', root.name, 'type', root.type),
    'alias', (select jsonb_build_object('id', alias_id, 'name', name) from memory.aliases where alias_id = source.id),
    'memories', coalesce(cardinality(memories), 0), 'touched', touched);
end $$;

-- Takes a merge back: whatever names that entity, or one that had been merged into it, is shown as it again, also what came meanwhile.
--   {"namespace", "name": {name, key}, "lease"?} -> {"entity": {id, name, type}|null, "from": {id, name, type}|null, "memories": n, "touched"}
--   An entity is null when no memory mentions it.
create or replace function public.memory_unmerge_entity_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  merged memory.aliases;
  family uuid[];
  memories uuid[];
  renewed uuid[];
  touched jsonb;
begin
  perform memory.check_lease(p -> 'lease');
  perform memory.known_namespace(p ->> 'namespace');
  perform pg_advisory_xact_lock(hashtextextended('aliases:' || (p ->> 'namespace'), 0));
  select a.* into merged from memory.aliases a join memory.entities e on e.id = a.alias_id
  where e.name_hash = memory.keyed_hash('entity', p ->> 'namespace', p -> 'name' ->> 'key');
  if merged.alias_id is null then
    perform memory.raise_error(404, 'alias_unknown', format('%L was not merged into another entity of this namespace.', p -> 'name' ->> 'name'),
      jsonb_build_object('namespace', p ->> 'namespace', 'name', p -> 'name' ->> 'name'));
  end if;
  family := array(select memory.family(merged.alias_id));
  memories := memory.lock_named(family, array[merged.entity_id]);
  select * into merged from memory.aliases where alias_id = merged.alias_id;  -- its name may have been forgotten while we waited
  delete from memory.aliases where alias_id = merged.alias_id;
  update memory.aliases set entity_id = merged.alias_id where alias_id = any (family);
  renewed := memory.take_other_names(array[merged.entity_id], array[merged.name_key]);
  with again as (
    update memory.entities e
    set name = merged.name, type = merged.type, name_key = merged.name_key, deleted_at = null, revision = e.revision + 1
    where e.id = merged.alias_id and e.deleted_at is not null and cardinality(memories) > 0
    returning e.id
  )
  select array(select id from again union all select unnest(renewed)) into renewed;
  perform memory.owe('graph', 'entity', renewed);
  perform memory.owe('embeddings', 'entity', renewed);
  touched := memory.refs('entity', renewed) || memory.show_anew(family, memories, array[merged.entity_id]);
  return jsonb_build_object(
    'entity', (select jsonb_build_object('id', id, 'name', name, 'type', type) from memory.entities where id = merged.alias_id and deleted_at is null),
    'from', (select jsonb_build_object('id', id, 'name', name, 'type', type) from memory.entities where id = merged.entity_id and deleted_at is null),
    'memories', cardinality(memories), 'touched', touched);
end $$;

-- Which entity a name means where a person has renamed it. Nothing here writes.

-- Links in which an entity that a person has renamed is named as it was found, whichever of its names the text uses.
create or replace function memory.resolve_names(p_rows jsonb) returns jsonb language plpgsql stable as $$
declare
  renamed jsonb;
begin
  if not exists (select from memory.entity_names) then
    return p_rows;
  end if;
  select jsonb_object_agg(w.namespace || e'\x1f' || w.key, n.found_as) into renamed
  from (
    select distinct r ->> 'namespace' as namespace, e ->> 'key' as key from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'entities') e
  ) w
  join memory.entity_names n on n.name_hash = memory.keyed_hash('entity', w.namespace, w.key);
  if renamed is null then
    return p_rows;
  end if;
  return (
    select jsonb_agg(r || jsonb_build_object(
      'entities', (
        select coalesce(jsonb_agg(e || jsonb_build_object('key', coalesce(renamed ->> (space || (e ->> 'key')), e ->> 'key')) order by i), '[]')
        from jsonb_array_elements(r -> 'entities') with ordinality y(e, i)),
      'relations', (
        select coalesce(jsonb_agg(x || jsonb_build_object('source_key', source, 'target_key', target) order by i), '[]')
        from jsonb_array_elements(r -> 'relations') with ordinality y(x, i),
          lateral (select coalesce(renamed ->> (space || (x ->> 'source_key')), x ->> 'source_key') as source,
                          coalesce(renamed ->> (space || (x ->> 'target_key')), x ->> 'target_key') as target) k
        where source <> target or x ->> 'source_key' = x ->> 'target_key')  -- two names of one entity are no relation
      ) order by n)
    from jsonb_array_elements(p_rows) with ordinality z(r, n), lateral (select (r ->> 'namespace') || e'\x1f' as space) q
  );
end $$;

-- Which entity a name means, alive or not.
create or replace function memory.entity_named(p_namespace text, p_key text) returns uuid language sql stable as $$
  select coalesce((select n.entity_id from memory.entity_names n where n.name_hash = h), (select e.id from memory.entities e where e.name_hash = h))
  from memory.keyed_hash('entity', p_namespace, p_key) h
$$;

-- The steps of storing links, in the order in which `links.sql` takes them. Nothing here is called by anybody else.
--   p_rows: what `store_links` was given   is_given: said by the caller, not found by extraction
--   pair_…, said_…: of each mention and each statement, the memory, what was named, and what it is shown as

-- 1. Makes the entities that rows name, also those named only by a relation. Inserting in hash order keeps two writers from deadlock.
create or replace function memory.make_entities(p_rows jsonb) returns void
language plpgsql as $$
begin
  insert into memory.entities (namespace, name, type, name_key, name_hash)
  select w.namespace, w.name, w.type, w.key, memory.keyed_hash('entity', w.namespace, w.key)
  from (
    select distinct on (r ->> 'namespace', e ->> 'key')
      r ->> 'namespace' as namespace, e ->> 'name' as name, e ->> 'type' as type, e ->> 'key' as key
    from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'entities') e
    order by r ->> 'namespace', e ->> 'key', (e ->> 'type' = 'thing')
  ) w
  order by 5
  on conflict (name_hash) do nothing;
end $$;

-- 2. A name that was forgotten lives again; an entity of unknown type learns it. A name that means another entity wakes that one, which
-- then is called so until its own name comes. The entities are locked. Returns those that changed.
create or replace function memory.renew_entities(p_rows jsonb) returns uuid[]
language plpgsql as $$
declare
  renewed_entities uuid[];
begin
  with named as (
    select distinct on (x.shown) x.* from (
      select memory.shown_as(n.id) as shown, memory.shown_as(n.id) = n.id as own, e ->> 'name' as name, e ->> 'type' as type, e ->> 'key' as key
      from jsonb_array_elements(p_rows) r cross join jsonb_array_elements(r -> 'entities') e
        join memory.entities n on n.name_hash = memory.keyed_hash('entity', r ->> 'namespace', e ->> 'key')
    ) x
    order by x.shown, x.own desc, (x.type = 'thing')
  ), renewed as (
    update memory.entities n
    set name = case when w.own and memory.borrows_name(n.id, n.name_key) then w.name else coalesce(n.name, w.name) end,
        name_key = case when w.own and memory.borrows_name(n.id, n.name_key) then w.key else coalesce(n.name_key, w.key) end,
        type = case when n.type is null or ((n.type = 'thing' or (w.own and memory.borrows_name(n.id, n.name_key))) and 'type' <> all (n.curated)) then w.type else n.type end,
        deleted_at = null, revision = n.revision + 1
    from named w
    where n.id = w.shown and (n.deleted_at is not null
      or (w.own and (n.type = 'thing' and w.type <> 'thing' and 'type' <> all (n.curated) or n.name_key <> w.key and memory.borrows_name(n.id, n.name_key))))
    returning n.id
  )
  select coalesce(array_agg(id), '{}') into renewed_entities from renewed;
  return renewed_entities;
end $$;

-- 3. Makes the relations that rows state, as they are named and as they are shown, in hash order. What somebody took away is brought back
-- only by a link that is given.
create or replace function memory.make_relations(p_rows jsonb, is_given boolean) returns void
language plpgsql as $$
begin
  insert into memory.relations (namespace, source_id, predicate, target_id, name_hash)
  select distinct w.namespace, v.source, w.predicate, v.target, memory.keyed_hash('relation', v.source::text, w.predicate, v.target::text)
  from (
    select distinct r ->> 'namespace' as namespace, x ->> 'source_key' as source, x ->> 'predicate' as predicate, x ->> 'target_key' as target
    from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'relations') x
  ) w
  join memory.entities s on s.name_hash = memory.keyed_hash('entity', w.namespace, w.source)
  join memory.entities t on t.name_hash = memory.keyed_hash('entity', w.namespace, w.target)
  cross join lateral (values (s.id, t.id), (memory.shown_as(s.id), memory.shown_as(t.id))) v(source, target)
  where is_given or not (select exists (select from memory.retractions)) or not exists (  -- else it would stand there with nobody stating it
    select from memory.retractions o join memory.relations y on y.id = o.relation_id
    where y.name_hash in (memory.keyed_hash('relation', s.id::text, w.predicate, t.id::text),
      memory.keyed_hash('relation', memory.shown_as(s.id)::text, w.predicate, memory.shown_as(t.id)::text)))
  order by 5
  on conflict (name_hash) do nothing;
end $$;

-- 4. Relations that were forgotten live again, of those that are said. They are locked. Returns those that changed.
create or replace function memory.renew_relations(p_rows jsonb, said_shown uuid[]) returns uuid[]
language plpgsql as $$
declare
  renewed_relations uuid[];
begin
  with named as (
    select distinct memory.keyed_hash('relation', memory.shown_as(s.id)::text, x ->> 'predicate', memory.shown_as(t.id)::text) as name_hash,
      x ->> 'predicate' as predicate
    from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'relations') x, memory.entities s, memory.entities t
    where s.name_hash = memory.keyed_hash('entity', r ->> 'namespace', x ->> 'source_key')
      and t.name_hash = memory.keyed_hash('entity', r ->> 'namespace', x ->> 'target_key')
  ), renewed as (
    update memory.relations n set predicate = w.predicate, deleted_at = null, revision = n.revision + 1
    from named w where n.name_hash = w.name_hash and n.deleted_at is not null and n.id = any (said_shown)
    returning n.id
  )
  select coalesce(array_agg(id), '{}') into renewed_relations from renewed;
  return renewed_relations;
end $$;

-- 5. Mentions of some memories: sets one origin's flag where it is wanted, clears it elsewhere, deletes what nobody says. Returns the
-- memories for which that was not all there already.
create or replace function memory.set_mentions(p_rows jsonb, is_given boolean, memory_ids uuid[], pair_memory uuid[], pair_entity uuid[], pair_shown uuid[]) returns uuid[]
language plpgsql as $$
declare
  changed_memories uuid[];
begin
  with facts as (
    select (r ->> 'memory')::uuid as memory, (r ->> 'version')::integer as version, (r ->> 'valid_from')::timestamptz as valid_from
    from jsonb_array_elements(p_rows) r
  ), wanted as (
    select p.memory, p.entity, p.shown, f.version, f.valid_from
    from unnest(pair_memory, pair_entity, pair_shown) p(memory, entity, shown) join facts f on f.memory = p.memory
  ), added as (
    insert into memory.mentions as m (memory_id, entity_id, shown_id, given, extracted, version, valid_from)
    select w.memory, w.entity, nullif(w.shown, w.entity), is_given, not is_given, w.version, w.valid_from from wanted w
    on conflict (memory_id, entity_id) do update
      set given = m.given or is_given, extracted = m.extracted or not is_given, version = excluded.version, valid_from = excluded.valid_from
    returning m.memory_id, (m.xmax = 0) as is_new
  ), cleared as (
    update memory.mentions m
    set given = m.given and not is_given, extracted = m.extracted and is_given
    where m.memory_id = any (memory_ids) and m.given and m.extracted
      and not exists (select from wanted w where w.memory = m.memory_id and w.entity = m.entity_id)
    returning m.memory_id
  ), removed_rows as (
    delete from memory.mentions m
    where m.memory_id = any (memory_ids) and (case when is_given then m.given and not m.extracted else m.extracted and not m.given end)
      and not exists (select from wanted w where w.memory = m.memory_id and w.entity = m.entity_id)
    returning m.memory_id
  )
  select coalesce(array_agg(distinct memory_id), '{}') into changed_memories
  from (select memory_id from added where is_new union all select memory_id from removed_rows) c;

  return changed_memories;
end $$;

-- 6. Statements of some memories, in the same way.
create or replace function memory.set_statements(p_rows jsonb, is_given boolean, memory_ids uuid[], said_memory uuid[], said_relation uuid[], said_shown uuid[]) returns void
language plpgsql as $$
begin
  with facts as (
    select (r ->> 'memory')::uuid as memory, (r ->> 'version')::integer as version, (r ->> 'valid_from')::timestamptz as valid_from
    from jsonb_array_elements(p_rows) r
  ), wanted as (
    select p.memory, p.relation, p.shown, f.version, f.valid_from
    from unnest(said_memory, said_relation, said_shown) p(memory, relation, shown) join facts f on f.memory = p.memory
  ), added as (
    insert into memory.statements as s (relation_id, memory_id, shown_id, given, extracted, version, valid_from)
    select w.relation, w.memory, nullif(w.shown, w.relation), is_given, not is_given, w.version, w.valid_from from wanted w
    on conflict (relation_id, memory_id) do update
      set given = s.given or is_given, extracted = s.extracted or not is_given, version = excluded.version, valid_from = excluded.valid_from
    returning 1
  ), cleared as (
    update memory.statements s
    set given = s.given and not is_given, extracted = s.extracted and is_given
    where s.memory_id = any (memory_ids) and s.given and s.extracted
      and not exists (select from wanted w where w.memory = s.memory_id and w.relation = s.relation_id)
    returning 1
  )
  delete from memory.statements s
  where s.memory_id = any (memory_ids) and (case when is_given then s.given and not s.extracted else s.extracted and not s.given end)
    and not exists (select from wanted w where w.memory = s.memory_id and w.relation = s.relation_id);
end $$;

-- Entities, relations and who supports them. A subject lives while at least one memory mentions it: the removal of the
-- last support is a versioned delete (`support.sql`), a new support after that a versioned revival.
-- Locks are taken in one order everywhere: a namespace's aliases, memories, then entities, then relations, each by id.
-- Of an entity that was merged (`aliases.sql`) a mention keeps the one that was named; what it is shown as is what it supports.

-- Makes the links of some memories exactly what one origin says they are; what the other origin says stays.
--   p_rows: [{memory, namespace, version, valid_from, entities: [{name, type, key}], relations: [{source, source_key, predicate, target, target_key}]}]
--   p_bump: raise the revision of memories whose links changed (a save has raised it already)
-- The caller holds the memories' row locks. Returns the refs that now are owed.
create or replace function memory.store_links(p_rows jsonb, p_origin text, p_bump boolean) returns jsonb
language plpgsql as $$
declare
  is_given boolean := p_origin = 'given';
  memory_ids uuid[];
  touched_entities uuid[];
  touched_relations uuid[];
  pair_memory uuid[];
  pair_entity uuid[];
  pair_shown uuid[];
  said_memory uuid[];
  said_relation uuid[];
  said_shown uuid[];
  renewed_entities uuid[];
  renewed_relations uuid[] := '{}';
  changed_memories uuid[];
  removed jsonb;
begin
  p_rows := memory.resolve_names(p_rows);
  select array_agg((r ->> 'memory')::uuid) into memory_ids from jsonb_array_elements(p_rows) r;

  -- Entities: those that are named, then a lock on every one whose support may change.
  perform memory.make_entities(p_rows);
  select array_agg(w.memory), array_agg(n.id), array_agg(memory.shown_as(n.id)) into pair_memory, pair_entity, pair_shown
  from (
    select distinct (r ->> 'memory')::uuid as memory, memory.keyed_hash('entity', r ->> 'namespace', e ->> 'key') as name_hash
    from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'entities') e
  ) w
  join memory.entities n on n.name_hash = w.name_hash;
  select coalesce(array_agg(id), '{}') into touched_entities
  from (
    select n.id from memory.entities n
    where n.id in (
      select unnest(pair_entity || pair_shown)
      union select unnest(array[m.entity_id, m.shown_id]) from memory.mentions m where m.memory_id = any (memory_ids)
    )
    order by n.id for update
  ) locked;
  renewed_entities := memory.renew_entities(p_rows);
  if pair_shown <> pair_entity then
    perform memory.learn_names(p_rows);
  end if;

  -- Relations between them, in the same way.
  perform memory.make_relations(p_rows, is_given);
  select array_agg(w.memory), array_agg(n.id), array_agg(v.id) into said_memory, said_relation, said_shown
  from (
    select distinct (r ->> 'memory')::uuid as memory, memory.keyed_hash('relation', s.id::text, x ->> 'predicate', t.id::text) as name_hash,
      memory.keyed_hash('relation', memory.shown_as(s.id)::text, x ->> 'predicate', memory.shown_as(t.id)::text) as shown_hash
    from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'relations') x,
      memory.entities s, memory.entities t
    where s.name_hash = memory.keyed_hash('entity', r ->> 'namespace', x ->> 'source_key')
      and t.name_hash = memory.keyed_hash('entity', r ->> 'namespace', x ->> 'target_key')
  ) w
  join memory.relations n on n.name_hash = w.name_hash
  join memory.relations v on v.name_hash = w.shown_hash
  where is_given or not exists (select from memory.retractions t where t.relation_id in (n.id, v.id));
  if is_given then
    delete from memory.retractions where relation_id = any (said_relation || said_shown);
  end if;
  select coalesce(array_agg(id), '{}') into touched_relations
  from (
    select n.id from memory.relations n
    where n.id in (
      select unnest(said_relation || said_shown)
      union select unnest(array[s.relation_id, s.shown_id]) from memory.statements s where s.memory_id = any (memory_ids)
    )
    order by n.id for update
  ) locked;
  if said_relation is not null then
    renewed_relations := memory.renew_relations(p_rows, said_shown);
  end if;

  changed_memories := memory.set_mentions(p_rows, is_given, memory_ids, pair_memory, pair_entity, pair_shown);
  perform memory.set_statements(p_rows, is_given, memory_ids, said_memory, said_relation, said_shown);

  -- What lost its last support is deleted; what is new or came back is owed.
  removed := memory.drop_unsupported(touched_entities, touched_relations);
  renewed_entities := renewed_entities || array(
    select e.id from memory.entities e
    where e.id = any (pair_entity) and not exists (select from memory.ledger l where l.projection = 'graph' and l.kind = 'entity' and l.id = e.id::text)
  );
  renewed_relations := renewed_relations || array(
    select x.id from memory.relations x
    where x.id = any (said_relation || said_shown)
      and not exists (select from memory.ledger l where l.projection = 'graph' and l.kind = 'relation' and l.id = x.id::text)
  );
  if cardinality(renewed_entities) > 0 then
    perform memory.owe('graph', 'entity', renewed_entities);
    perform memory.owe('embeddings', 'entity', renewed_entities);
  end if;
  if cardinality(renewed_relations) > 0 then
    perform memory.owe('graph', 'relation', renewed_relations);
  end if;
  if p_bump and cardinality(changed_memories) > 0 then
    update memory.memories set revision = revision + 1 where id = any (changed_memories);
    perform memory.owe('graph', 'memory', changed_memories);
  end if;
  return memory.refs('entity', renewed_entities) || memory.refs('relation', renewed_relations) || removed
    || case when p_bump then memory.refs('memory', changed_memories) else '[]' end;
end $$;

-- Stores extracted links and settles the debt, in one transaction. A result made from an older version is refused; so is one whose
-- drain has lost its lease. One that is empty, where the very same text gave links before, changes and settles nothing: it is named in
-- `emptied`. Unless that is accepted, for all by `accept_empty` or for one by its hint (`memory_retry_dead_v1`).
--   {"rows": [{id, number, version, entities, relations}], "accept_empty"?, "lease"?: {name, fence}}
--   -> {"stored": n, "superseded": n, "emptied": [id, …], "touched": [[kind, id], …]}
create or replace function public.memory_store_links_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  accepted jsonb;
  emptied uuid[] := '{}';
  paid integer;
  touched jsonb := '[]';
begin
  perform memory.check_lease(p -> 'lease');
  perform memory.keep_aliases(array(
    select distinct namespace from memory.memories where id in (select (r ->> 'id')::uuid from jsonb_array_elements(p -> 'rows') r)));
  perform id from memory.memories where id in (select (r ->> 'id')::uuid from jsonb_array_elements(p -> 'rows') r) order by id for update;
  if not coalesce((p ->> 'accept_empty')::boolean, false) then
    emptied := array(
      select m.id
      from jsonb_array_elements(p -> 'rows') r
      join memory.memories m on m.id = (r ->> 'id')::uuid and m.deleted_at is null and m.version = (r ->> 'version')::integer
      join memory.ledger l on l.projection = 'entities' and l.kind = 'memory' and l.id = r ->> 'id' and l.settled_version = m.version
      where jsonb_array_length(r -> 'entities') = 0 and jsonb_array_length(r -> 'relations') = 0
        and not coalesce((l.hint ->> 'accept_empty')::boolean, false)
        and (exists (select from memory.mentions n where n.memory_id = m.id and n.extracted)
          or exists (select from memory.statements s where s.memory_id = m.id and s.extracted)));
  end if;
  select coalesce(jsonb_agg(jsonb_build_object(
      'memory', m.id, 'namespace', m.namespace, 'version', m.version, 'valid_from', m.created_at,
      'entities', r -> 'entities', 'relations', r -> 'relations')), '[]')
  into accepted
  from jsonb_array_elements(p -> 'rows') r join memory.memories m on m.id = (r ->> 'id')::uuid
  where m.deleted_at is null and m.version = (r ->> 'version')::integer and m.id <> all (emptied);
  if jsonb_array_length(accepted) > 0 then
    touched := memory.store_links(accepted, 'extracted', true);
  end if;
  with paid_rows as (
    update memory.ledger l
    set owed_number = null, owed_since = null, settled_revision = coalesce(m.revision, 0), settled_version = coalesce(m.version, 0),
        settled_at = clock_timestamp(), attempts = 0, retry_at = null, last_error = null, parked_at = null, forced = null, hint = null
    from jsonb_array_elements(p -> 'rows') r left join memory.memories m on m.id = (r ->> 'id')::uuid
    where l.projection = 'entities' and l.kind = 'memory' and l.id = r ->> 'id' and l.owed_number = (r ->> 'number')::bigint
      and (m.id is null or m.deleted_at is not null or m.version = (r ->> 'version')::integer)
      and (m.id is null or m.id <> all (emptied))
    returning 1
  )
  select count(*) into paid from paid_rows;
  return jsonb_build_object('stored', paid, 'superseded', jsonb_array_length(p -> 'rows') - paid - cardinality(emptied),
    'emptied', to_jsonb(emptied), 'touched', touched);
end $$;

-- Entities as they are read: found by a name, with who mentions them; and what was merged. Nothing here writes.

-- The live entity with this name (of one that was merged: the one that it is shown as), else the names nearest to it (by trigram-free means: same beginning, then nearest vector).
--   {"namespace", "key", "vector"?} -> {"entity": {id, name, type}|null, "suggestions": [name, …]}
create or replace function public.memory_find_entity_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  found_entity jsonb;
  near jsonb := '[]';
begin
  if not exists (select from memory.namespaces where name = p ->> 'namespace') then
    perform memory.raise_error(404, 'namespace_unknown', 'There is no namespace of this name; the first save creates one.', jsonb_build_object('namespace', p ->> 'namespace'));
  end if;
  select jsonb_build_object('id', e.id, 'name', e.name, 'type', e.type) into found_entity
  from memory.entities e where e.id = memory.shown_as(memory.entity_named(p ->> 'namespace', p ->> 'key')) and e.deleted_at is null;
  if found_entity is null then
    select coalesce(jsonb_agg(name), '[]') into near from (
      select e.name from (
        select name, name_key from memory.entities where namespace = p ->> 'namespace' and deleted_at is null
        union all select name, name_key from memory.aliases where namespace = p ->> 'namespace' and name is not null
      ) e
      where e.name_key ^@ (p ->> 'key') or position(p ->> 'key' in e.name_key) > 0
      order by length(e.name_key), e.name_key limit 5
    ) x;
    if jsonb_array_length(near) = 0 and p ->> 'vector' is not null then
      select coalesce(jsonb_agg(name), '[]') into near from (
        select e.name from memory.embeddings v join memory.entities e on e.id = v.id
        where v.kind = 'entity' and v.namespace = p ->> 'namespace' and e.deleted_at is null
          and v.generation = (select id from memory.generations where state = 'active')
        order by v.v <=> (p ->> 'vector')::vector limit 5
      ) x;
    end if;
  end if;
  return jsonb_build_object('entity', found_entity, 'suggestions', near);
end $$;

-- The merges of a namespace, the oldest first, a page at a time. A name that no memory says any more is null.
--   {"namespace", "limit", "after"?: [merged_at, id]} -> [{id, name, type, entity_id, entity, merged_into, merged_at, merged_by}, …]
create or replace function public.memory_aliases_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  page jsonb;
begin
  perform memory.known_namespace(p ->> 'namespace');
  select coalesce(jsonb_agg(jsonb_build_object('id', a.alias_id, 'name', a.name, 'type', a.type, 'entity_id', a.entity_id, 'entity', e.name,
    'merged_into', coalesce(o.name, r.name), 'merged_at', a.merged_at, 'merged_by', a.merged_by) order by a.merged_at, a.alias_id), '[]') into page
  from (
    select * from memory.aliases
    where namespace = p ->> 'namespace'
      and (p -> 'after' is null or (merged_at, alias_id) > ((p -> 'after' ->> 0)::timestamptz, (p -> 'after' ->> 1)::uuid))
    order by merged_at, alias_id limit (p ->> 'limit')::integer
  ) a
  join memory.entities e on e.id = a.entity_id
  join memory.entities r on r.id = a.parent_id
  left join memory.aliases o on o.alias_id = a.parent_id;
  return page;
end $$;

-- One entity as it is shown, what was merged into it, and which memories mention it under which name, the newest first.
--   {"namespace", "name": {name, key}, "limit"}
--   -> {id, name, type, revision, aliases: [as of memory_aliases_v1], mentions: n, memories: [{memory, entity_id, name, given, extracted, version, valid_from}, …]}
create or replace function public.memory_entity_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  named memory.entities;
  result jsonb;
begin
  perform memory.known_namespace(p ->> 'namespace');
  named := memory.named_entity(p ->> 'namespace', p -> 'name');
  with family as (
    select memory.shown_as(named.id) as id union all select alias_id from memory.aliases where entity_id = memory.shown_as(named.id)
  ), said as (
    select m.memory_id, m.entity_id, coalesce(a.name, e.name) as name, m.given, m.extracted, m.version, m.valid_from
    from family f join memory.mentions m on m.entity_id = f.id join memory.entities e on e.id = m.entity_id
    left join memory.aliases a on a.alias_id = m.entity_id
  )
  select jsonb_build_object('id', e.id, 'name', e.name, 'type', e.type, 'revision', e.revision,
    'aliases', (
      select coalesce(jsonb_agg(jsonb_build_object('id', a.alias_id, 'name', a.name, 'type', a.type, 'entity_id', a.entity_id, 'entity', e.name,
        'merged_into', coalesce(o.name, r.name), 'merged_at', a.merged_at, 'merged_by', a.merged_by) order by a.merged_at, a.alias_id), '[]')
      from memory.aliases a join memory.entities r on r.id = a.parent_id left join memory.aliases o on o.alias_id = a.parent_id
      where a.entity_id = e.id),
    'mentions', (select count(distinct memory_id) from said),
    'memories', (
      select coalesce(jsonb_agg(jsonb_build_object('memory', s.memory_id, 'entity_id', s.entity_id, 'name', s.name, 'given', s.given, 'extracted', s.extracted,
        'version', s.version, 'valid_from', s.valid_from) order by s.valid_from desc, s.memory_id, s.entity_id), '[]')
      from (select * from said order by valid_from desc, memory_id, entity_id limit (p ->> 'limit')::integer) s))
  into result
  from memory.entities e where e.id = memory.shown_as(named.id) and e.deleted_at is null;
  if result is null then
    perform memory.raise_error(404, 'entity_unknown', format('No memory of this namespace mentions %L.', p -> 'name' ->> 'name'),
      jsonb_build_object('namespace', p ->> 'namespace', 'name', p -> 'name' ->> 'name'));
  end if;
  return result;
end $$;

-- A page of the live entities of a namespace, by name.
--   {"namespace", "limit", "type"?, "prefix"?: key, "after"?: [key, id]} -> [{id, name, type, key, mentions, newest}, …]
--   `mentions` counts memories; `newest` is when the newest of them was written.
create or replace function public.memory_entities_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  page jsonb;
begin
  perform memory.known_namespace(p ->> 'namespace');
  select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'name', g.name, 'type', g.type, 'key', g.name_key, 'mentions', m.mentions, 'newest', m.newest)
    order by g.name_key collate "C", g.id), '[]') into page
  from (
    select e.id, e.name, e.type, e.name_key from memory.entities e
    where e.namespace = p ->> 'namespace' and e.deleted_at is null
      and (p ->> 'type' is null or e.type = p ->> 'type')
      and (p ->> 'prefix' is null or starts_with(e.name_key, p ->> 'prefix'))
      and (p -> 'after' is null or (e.name_key collate "C", e.id) > (p -> 'after' ->> 0, (p -> 'after' ->> 1)::uuid))
    order by e.name_key collate "C", e.id limit (p ->> 'limit')::integer
  ) g
  cross join lateral (
    select count(distinct n.memory_id) as mentions, max(n.valid_from) as newest from memory.mentions n
    where n.shown_id = g.id or (n.entity_id = g.id and n.shown_id is null)
  ) m;
  return page;
end $$;

-- What lives as long as a memory says it: entities and relations whose last support is gone are deleted, versioned like any other write.

-- Deletes entities and relations, of those given, that nothing supports any more. Returns the refs that changed.
create or replace function memory.drop_unsupported(p_entities uuid[], p_relations uuid[]) returns jsonb
language plpgsql as $$
declare
  gone_entities uuid[];
  gone_relations uuid[];
  renamed uuid[];
begin
  with gone as (
    update memory.relations r
    set revision = r.revision + 1, deleted_at = clock_timestamp(), predicate = null
    where r.id = any (p_relations) and r.deleted_at is null and r.adopted_at is null
      and not exists (select from memory.statements s where s.relation_id = r.id and s.shown_id is null)
      and not exists (select from memory.statements s where s.shown_id = r.id)
    returning r.id
  )
  select coalesce(array_agg(id), '{}') into gone_relations from gone;
  with gone as (
    update memory.entities e
    set revision = e.revision + 1, deleted_at = clock_timestamp(), name = null, name_key = null, type = null, aliases = '{}', summary = null, curated = '{}'
    where e.id = any (p_entities) and e.deleted_at is null
      and not exists (select from memory.mentions m where m.entity_id = e.id and m.shown_id is null)
      and not exists (select from memory.mentions m where m.shown_id = e.id)
    returning e.id
  )
  select coalesce(array_agg(id), '{}') into gone_entities from gone;
  renamed := memory.forget_unsaid_names(p_entities);
  if cardinality(renamed) > 0 then
    delete from memory.embeddings where kind = 'entity' and id = any (renamed);  -- a vector tells the name
    perform memory.owe('graph', 'entity', renamed);
    perform memory.owe('embeddings', 'entity', renamed);
  end if;
  if cardinality(gone_entities) > 0 then
    gone_relations := gone_relations || memory.drop_curated(gone_entities);
    delete from memory.embeddings where kind = 'entity' and id = any (gone_entities);
    update memory.ledger l
    set owed_number = null, owed_since = null, settled_revision = e.revision, settled_version = e.revision, settled_at = clock_timestamp(),
        attempts = 0, retry_at = null, last_error = null, parked_at = null
    from memory.entities e
    where l.projection = 'embeddings' and l.kind = 'entity' and l.id = e.id::text and e.id = any (gone_entities);
    perform memory.owe('graph', 'entity', gone_entities);
  end if;
  if cardinality(gone_relations) > 0 then
    perform memory.owe('graph', 'relation', gone_relations);
  end if;
  return memory.refs('entity', gone_entities || renamed) || memory.refs('relation', gone_relations);
end $$;

-- Takes away every support that some memories gave: the memories are being forgotten.
create or replace function memory.drop_links(p_memories uuid[]) returns jsonb
language plpgsql as $$
declare
  entity_ids uuid[];
  relation_ids uuid[];
begin
  select coalesce(array_agg(id), '{}') into entity_ids from (
    select id from memory.entities where id in (select unnest(array[entity_id, shown_id]) from memory.mentions where memory_id = any (p_memories)) order by id for update
  ) locked;
  select coalesce(array_agg(id), '{}') into relation_ids from (
    select id from memory.relations where id in (select unnest(array[relation_id, shown_id]) from memory.statements where memory_id = any (p_memories)) order by id for update
  ) locked;
  delete from memory.statements where memory_id = any (p_memories);
  delete from memory.mentions where memory_id = any (p_memories);
  return memory.drop_unsupported(entity_ids, relation_ids);
end $$;

-- What is known of one row: the record, what hangs on it here, the ledger, its attempts, the verdict that named it last.

-- Notes what became of a row that failed: each failure, and the settlement that ends them. Whoever fails or settles a row, the ledger
-- notices by itself; rows that never fail cost the comparison of two numbers. Ten attempts a row are kept.
create or replace function memory.note_attempt() returns trigger
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
begin
  insert into memory.attempts (projection, kind, id, outcome, attempt, error)
  values (new.projection, new.kind, new.id,
    case when new.attempts <= old.attempts then 'settled' when new.parked_at is not null then 'parked' else 'failed' end,
    greatest(new.attempts, old.attempts), case when new.attempts > old.attempts then new.last_error end);
  delete from memory.attempts a
  where a.projection = new.projection and a.kind = new.kind and a.id = new.id and a.n <= (
    select o.n from memory.attempts o where o.projection = new.projection and o.kind = new.kind and o.id = new.id order by o.n desc offset 10 limit 1);
  return null;
end $$;
create or replace trigger ledger_attempts after update of attempts on memory.ledger for each row
  when (new.attempts > old.attempts or (old.attempts > 0 and old.owed_number is not null and new.owed_number is null)) execute function memory.note_attempt();

-- Everything about one id, of whatever kind; the text only where it is asked for. An id that nobody knows has kind `unknown` and nothing.
--   {"id", "text"?: false} -> {kind, record|null, versions, links, embeddings, passages, ledger, attempts, verdict|null}
create or replace function public.memory_explain_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  p_id uuid := memory.as_uuid(p ->> 'id');
  shown boolean := coalesce((p ->> 'text')::boolean, false);
  m memory.memories;
  e memory.entities;
  r memory.relations;
  p_kind text := 'unknown';
  row_now jsonb;
  versions jsonb := '[]';
  links jsonb := '{}';
  named jsonb;
begin
  select * into m from memory.memories where id = p_id;
  select * into e from memory.entities where id = p_id;
  select * into r from memory.relations where id = p_id;
  if m.id is not null then
    p_kind := 'memory';
    row_now := jsonb_build_object('namespace', m.namespace, 'version', m.version, 'revision', m.revision, 'operation', m.operation,
      'created_at', m.created_at, 'updated_at', m.updated_at, 'expires_at', m.expires_at, 'deleted_at', m.deleted_at,
      'dh', (m.digest >> 32) & 4294967295, 'dl', m.digest & 4294967295, 'bucket', m.bucket, 'leaf', m.leaf)
      || case when shown then jsonb_build_object('text', m.text, 'key', m.key) else '{}' end;
    select coalesce(jsonb_agg(jsonb_build_object('version', h.version, 'revision', h.revision, 'operation', h.operation, 'at', h.at) order by h.version), '[]')
    into versions from (select * from memory.history where memory_id = p_id order by version desc limit 20) h;
    links := jsonb_build_object('mentions', (select count(*) from memory.mentions where memory_id = p_id), 'statements', (select count(*) from memory.statements where memory_id = p_id));
  elsif e.id is not null then
    p_kind := 'entity';
    row_now := jsonb_build_object('namespace', e.namespace, 'version', e.revision, 'revision', e.revision, 'type', e.type, 'created_at', e.created_at,
      'updated_at', e.updated_at, 'deleted_at', e.deleted_at, 'dh', (e.digest >> 32) & 4294967295, 'dl', e.digest & 4294967295, 'bucket', e.bucket, 'leaf', e.leaf)
      || case when shown then jsonb_build_object('name', e.name) else '{}' end;
    links := jsonb_build_object('mentions', (select count(*) from memory.mentions where entity_id = p_id));
  elsif r.id is not null then
    p_kind := 'relation';
    row_now := jsonb_build_object('namespace', r.namespace, 'version', r.revision, 'revision', r.revision, 'source', r.source_id, 'target', r.target_id,
      'created_at', r.created_at, 'updated_at', r.updated_at, 'deleted_at', r.deleted_at, 'dh', (r.digest >> 32) & 4294967295, 'dl', r.digest & 4294967295,
      'bucket', r.bucket, 'leaf', r.leaf) || case when shown then jsonb_build_object('predicate', r.predicate) else '{}' end;
    links := jsonb_build_object('statements', (select count(*) from memory.statements where relation_id = p_id));
  end if;
  select jsonb_build_object('at', v.at, 'mode', v.mode, 'verdict', v.id, 'findings', x.found) into named
  from memory.verdicts v, lateral (
    select jsonb_agg(f) as found from jsonb_array_elements(v.findings) f
    where f ->> 'id' in (p ->> 'id') or f ->> 'id' like (p ->> 'id') || '#%' or f -> 'hint' ->> 'owner' = p ->> 'id'
      or (f ->> 'subject' = 'mention' and f -> 'hint' ->> 'source' = p ->> 'id')
  ) x
  where x.found is not null and v.id > (select max(id) - 100 from memory.verdicts) order by v.id desc limit 1;
  return jsonb_build_object('kind', p_kind, 'record', row_now, 'versions', versions, 'links', links, 'verdict', named,
    'embeddings', (select coalesce(jsonb_agg(jsonb_build_object('passage', b.passage, 'version', b.version, 'generation', b.generation,
        'dimensions', vector_dims(b.v), 'indexed', b.indexed) order by b.generation, b.passage), '[]') from memory.embeddings b where b.id = p_id),
    'passages', (select coalesce(jsonb_agg(jsonb_build_object('ordinal', q.ordinal, 'version', q.version, 'characters', length(q.text)) order by q.ordinal), '[]')
      from memory.passages q where q.memory_id = p_id),
    'ledger', (select coalesce(jsonb_agg(jsonb_build_object('projection', l.projection, 'kind', l.kind, 'owed_number', l.owed_number, 'owed_since', l.owed_since,
        'settled_revision', l.settled_revision, 'settled_version', l.settled_version, 'settled_marker', l.settled_marker, 'settled_at', l.settled_at,
        'attempts', l.attempts, 'retry_at', l.retry_at, 'last_error', l.last_error, 'parked_at', l.parked_at, 'forced', l.forced) order by l.projection), '[]')
      from memory.ledger l where l.projection = any (array['entities', 'embeddings', 'graph']) and l.kind = any (array['memory', 'entity', 'relation']) and l.id = p ->> 'id'),
    'attempts', (select coalesce(jsonb_agg(jsonb_build_object('at', a.at, 'projection', a.projection, 'outcome', a.outcome, 'attempt', a.attempt, 'error', a.error) order by a.n), '[]')
      from (select * from memory.attempts t where t.projection = any (array['entities', 'embeddings', 'graph'])
        and t.kind = any (array['memory', 'entity', 'relation']) and t.id = p ->> 'id' order by n desc limit 10) a),
    'newest_verdict', (select jsonb_build_object('at', v.at, 'mode', v.mode, 'clean', v.clean) from memory.verdicts v order by v.id desc limit 1));
end $$;

-- Leases: one holder a name, for a while, by Postgres' clock alone. Who drains a projection is one of them.
-- A lease saves double work; the number that comes with it makes a late writer harmless. It presents {name, fence} to the function that
-- stores its result, which looks in the same transaction whether a higher number was granted.

-- Grants a lease, or returns null while another holder's is fresh. A holder that asks again gets a new number too.
-- Whoever merely asks takes no lock: it would wait for a writer that is just storing under this lease.
create or replace function memory.grant_lease(p_name text, p_holder text, p_seconds float8) returns memory.heartbeats
language plpgsql as $$
declare
  granted memory.heartbeats;
begin
  if exists (select from memory.heartbeats h where h.projection = p_name and h.holder <> p_holder and h.lease_until >= clock_timestamp()) then
    return null;
  end if;
  insert into memory.heartbeats as h (projection, holder, beat_at, lease_until, fence)
  values (p_name, p_holder, clock_timestamp(), clock_timestamp() + make_interval(secs => p_seconds), nextval('memory.fences'))
  on conflict (projection) do update
    set holder = excluded.holder, beat_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => p_seconds),
        fence = nextval('memory.fences')  -- under the row's lock, so that numbers rise in the order of grants
    where h.holder is null or h.holder = excluded.holder or h.lease_until < clock_timestamp()
  returning h.* into granted;
  return granted;
end $$;

-- Refuses what is written under a lease that was granted anew since. No lease, no question. Until this transaction ends nobody is
-- granted a higher number.
create or replace function memory.check_lease(p_lease jsonb) returns void
language plpgsql as $$
begin
  if p_lease is null or jsonb_typeof(p_lease) = 'null' then
    return;
  end if;
  perform from memory.heartbeats where projection = p_lease ->> 'name' and fence = (p_lease ->> 'fence')::bigint for key share;
  if not found then
    perform memory.raise_error(409, 'lease_lost', 'This lease has run out and was granted to another holder: nothing was written.',
      jsonb_build_object('name', p_lease ->> 'name', 'fence', (p_lease ->> 'fence')::bigint));
  end if;
end $$;

-- Grants a lease.  {"name", "holder", "lease_seconds"} -> {"fence", "lease_until"}
create or replace function public.memory_lease_acquire_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  granted memory.heartbeats := memory.grant_lease(p ->> 'name', p ->> 'holder', (p ->> 'lease_seconds')::float8);
  other memory.heartbeats;
begin
  if granted.fence is null then
    select * into other from memory.heartbeats where projection = p ->> 'name';
    perform memory.raise_error(409, 'lease_held', 'Another holder has this lease: it ends by itself, at the latest at the time given.',
      jsonb_build_object('name', p ->> 'name', 'holder', other.holder, 'until', other.lease_until));
  end if;
  return jsonb_build_object('fence', granted.fence, 'lease_until', granted.lease_until);
end $$;

-- Renews a lease that nobody else was granted since, also one that has run out.  {"name", "fence", "lease_seconds"} -> {"fence", "lease_until"}
create or replace function public.memory_lease_renew_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  renewed memory.heartbeats;
begin
  update memory.heartbeats
  set beat_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => (p ->> 'lease_seconds')::float8)
  where projection = p ->> 'name' and fence = (p ->> 'fence')::bigint and holder is not null
  returning * into renewed;
  if renewed.fence is null then
    perform memory.raise_error(409, 'lease_lost', 'This lease was given back, or has run out and was granted to another holder.',
      jsonb_build_object('name', p ->> 'name', 'fence', (p ->> 'fence')::bigint));
  end if;
  return jsonb_build_object('fence', renewed.fence, 'lease_until', renewed.lease_until);
end $$;

-- Gives a lease back; of one that is another's by now, nothing.  {"name", "fence"} -> boolean: whether it was ours
create or replace function public.memory_lease_release_v1(input text) returns jsonb
language sql security definer set search_path = memory, extensions, public, pg_temp as $$
  with released as (
    update memory.heartbeats set holder = null, lease_until = null
    where projection = input::jsonb ->> 'name' and fence = (input::jsonb ->> 'fence')::bigint and holder is not null
    returning 1
  )
  select to_jsonb(exists (select from released))
$$;

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

-- How much there is: of what a filter means, and by namespace. Nothing here writes.

-- How many memories a request to forget would find.  {"namespace", "thread"?, "metadata"?, "created_before"?} -> n
create or replace function public.memory_count_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
begin
  perform memory.known_namespace(p ->> 'namespace');
  return to_jsonb((select count(*) from memory.memories m where memory.chosen(m, p)));
end $$;

-- What some namespaces hold, a page of them by name.
--   {"limit", "after"?: name} -> [{name, memories, entities, relations, bytes, newest, outside_edits}, …]
--   `memories` are live and not expired; `bytes` is what was written of them, texts and metadata, in UTF-8.
create or replace function public.memory_namespace_counts_v1(input text) returns jsonb
language sql stable security definer set search_path = memory, extensions, public, pg_temp as $$
  with page as (
    select n.name, n.outside_edits from memory.namespaces n
    where input::jsonb ->> 'after' is null or n.name > input::jsonb ->> 'after'
    order by n.name limit (input::jsonb ->> 'limit')::integer
  )
  select coalesce(jsonb_agg(jsonb_build_object(
      'name', g.name, 'memories', coalesce(m.memories, 0), 'bytes', coalesce(m.bytes, 0), 'newest', m.newest,
      'entities', coalesce(e.entities, 0), 'relations', coalesce(r.relations, 0), 'outside_edits', g.outside_edits
    ) order by g.name), '[]')
  from page g
  left join (
    select x.namespace, count(*) as memories, sum(octet_length(x.text) + octet_length(x.metadata::text)) as bytes, max(x.created_at) as newest
    from memory.memories x
    where x.namespace in (select name from page) and x.deleted_at is null and (x.expires_at is null or x.expires_at > now())
    group by x.namespace
  ) m on m.namespace = g.name
  left join (
    select x.namespace, count(*) as entities from memory.entities x
    where x.namespace in (select name from page) and x.deleted_at is null group by x.namespace
  ) e on e.namespace = g.name
  left join (
    select x.namespace, count(*) as relations from memory.relations x
    where x.namespace in (select name from page) and x.deleted_at is null group by x.namespace
  ) r on r.namespace = g.name
$$;

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

-- Edits that somebody made in the graph, taken into the record as revisions of their own where a namespace's policy says so, and only while
-- the record shows what the plan saw; that is checked under the rows' locks, in the order of `entities/links.sql`.

-- Makes outside edits part of the record: new revisions with their origin, owed like any other write, each only while the record shows
-- what the plan saw and the namespace adopts.
--   {"identity", "rows": [{change: edit, id, revision, fields: {name?, key?, type?, aliases?, summary?}}
--                       | {change: add, source, target, source_revision, target_revision, predicate} | {change: remove, id, revision}, …]}
--   -> {"rows": [{outcome: adopted|held|refused, reason?, id?, revision?}, …], "touched": [[kind, id], …]}; `held` means that the record says so already
create or replace function public.memory_adopt_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  item jsonb;
  result jsonb;
  results jsonb := '[]';
  touched jsonb := '[]';
begin
  perform memory.same_record(p ->> 'identity');
  perform id from memory.entities
  where id in (
    select memory.as_uuid(i) from jsonb_array_elements(p -> 'rows') r, unnest(array[r ->> 'id', r ->> 'source', r ->> 'target']) i
    where r ->> 'change' in ('edit', 'add')
  ) order by id for update;
  perform id from memory.relations
  where id in (select memory.as_uuid(r ->> 'id') from jsonb_array_elements(p -> 'rows') r where r ->> 'change' = 'remove') order by id for update;
  for item in select value from jsonb_array_elements(p -> 'rows') loop
    result := case item ->> 'change' when 'edit' then memory.adopt_edit(item) when 'add' then memory.adopt_added(item) when 'remove' then memory.adopt_removed(item) end;
    if result is null then
      perform memory.raise_error(400, 'plan_invalid', 'A change that is adopted is an edit, an addition or a removal.');
    end if;
    results := results || jsonb_build_array(result - 'touched');
    touched := touched || coalesce(result -> 'touched', '[]');
  end loop;
  return jsonb_build_object('rows', results, 'touched', touched);
end $$;

create or replace function memory.refused(p_reason text) returns jsonb language sql immutable as $$
  select jsonb_build_object('outcome', 'refused', 'reason', p_reason)
$$;

create or replace function memory.adopts(p_namespace text) returns boolean language sql stable as $$
  select exists (select from memory.namespaces where name = p_namespace and outside_edits = 'adopt')
$$;

-- Whether the graph had this revision of a row, and nothing is on its way there: only then is a difference somebody's deed.
create or replace function memory.shown_at(p_kind text, p_id uuid, p_revision integer) returns boolean language sql stable as $$
  select exists (select from memory.ledger where projection = 'graph' and kind = p_kind and id = p_id::text and owed_number is null and settled_revision = p_revision)
$$;

-- Curated fields of an entity, as a person left them in the graph.
create or replace function memory.adopt_edit(item jsonb) returns jsonb language plpgsql as $$
declare
  e memory.entities;
  f jsonb := item -> 'fields';
  hash bytea;
begin
  select * into e from memory.entities where id = memory.as_uuid(item ->> 'id');
  if e.id is null or e.deleted_at is not null or e.revision <> (item ->> 'revision')::integer or not memory.shown_at('entity', e.id, e.revision) then
    return memory.refused('changed');
  elsif not memory.adopts(e.namespace) then
    return memory.refused('policy');
  end if;
  if f ? 'name' then
    hash := memory.keyed_hash('entity', e.namespace, f ->> 'key');
    if exists (select from memory.entities where name_hash = hash and id <> e.id and deleted_at is null)
      or exists (select from memory.entity_names where name_hash = hash and entity_id <> e.id) then
      return memory.refused('name_taken');
    end if;
    if hash <> e.name_hash then
      insert into memory.entity_names (name_hash, entity_id, found_as)
      values (hash, e.id, coalesce((select found_as from memory.entity_names where entity_id = e.id limit 1), e.name_key))
      on conflict (name_hash) do nothing;
    end if;
  end if;
  update memory.entities
  set name = coalesce(f ->> 'name', name), name_key = coalesce(f ->> 'key', name_key), type = coalesce(f ->> 'type', type),
      aliases = case when f ? 'aliases' then array(select jsonb_array_elements_text(f -> 'aliases')) else aliases end,
      summary = case when f ? 'summary' then f ->> 'summary' else summary end,
      curated = array(select distinct c from unnest(curated || array(select jsonb_object_keys(f - 'key'))) c order by c), revision = revision + 1
  where id = e.id;
  insert into memory.adoptions (change, kind, subject, revision, entities, before)
  values ('edit', 'entity', e.id, e.revision + 1, array[e.id],
    (select jsonb_object_agg(k, to_jsonb(e) -> k) from jsonb_object_keys(f - 'key') k));
  perform memory.owe('graph', 'entity', array[e.id]);
  perform memory.owe('embeddings', 'entity', array[e.id]);
  return jsonb_build_object('outcome', 'adopted', 'id', e.id, 'revision', e.revision + 1, 'touched', memory.refs('entity', array[e.id]));
end $$;

-- A relation that a person drew between two entities of the record.
create or replace function memory.adopt_added(item jsonb) returns jsonb language plpgsql as $$
declare
  s memory.entities;
  t memory.entities;
  x memory.relations;
  hash bytea;
begin
  select * into s from memory.entities where id = memory.as_uuid(item ->> 'source') and deleted_at is null;
  select * into t from memory.entities where id = memory.as_uuid(item ->> 'target') and deleted_at is null;
  if s.id is null or t.id is null or s.namespace <> t.namespace
    or s.revision <> (item ->> 'source_revision')::integer or t.revision <> (item ->> 'target_revision')::integer then
    return memory.refused('changed');
  elsif not memory.adopts(s.namespace) then
    return memory.refused('policy');
  end if;
  hash := memory.keyed_hash('relation', s.id::text, item ->> 'predicate', t.id::text);
  insert into memory.relations as r (namespace, source_id, predicate, target_id, name_hash, adopted_at)
  values (s.namespace, s.id, item ->> 'predicate', t.id, hash, clock_timestamp()) on conflict (name_hash) do nothing
  returning r.* into x;
  if x.id is null then
    select * into x from memory.relations where name_hash = hash for update;
    if x.deleted_at is null then
      return jsonb_build_object('outcome', 'held', 'id', x.id, 'revision', x.revision);
    end if;
    update memory.relations set predicate = item ->> 'predicate', deleted_at = null, adopted_at = clock_timestamp(), revision = revision + 1
    where id = x.id returning * into x;
  end if;
  delete from memory.retractions where relation_id = x.id;
  insert into memory.adoptions (change, kind, subject, revision, entities) values ('add', 'relation', x.id, x.revision, array[s.id, t.id]);
  perform memory.owe('graph', 'relation', array[x.id]);
  return jsonb_build_object('outcome', 'adopted', 'id', x.id, 'revision', x.revision, 'touched', memory.refs('relation', array[x.id]));
end $$;

-- A relation that a person took away: it loses every support that it has.
create or replace function memory.adopt_removed(item jsonb) returns jsonb language plpgsql as $$
declare
  x memory.relations;
begin
  select * into x from memory.relations where id = memory.as_uuid(item ->> 'id');
  if x.id is null or x.deleted_at is not null or x.revision <> (item ->> 'revision')::integer or not memory.shown_at('relation', x.id, x.revision) then
    return memory.refused('changed');
  elsif not memory.adopts(x.namespace) then
    return memory.refused('policy');
  end if;
  insert into memory.adoptions (change, kind, subject, revision, entities, before)
  values ('remove', 'relation', x.id, x.revision + 1, array[x.source_id, x.target_id], jsonb_build_object('predicate', x.predicate,
    'memories', (select coalesce(jsonb_agg(jsonb_build_array(memory_id, given, extracted) order by memory_id), '[]') from memory.statements where coalesce(shown_id, relation_id) = x.id)));
  -- Also what it was named between entities that are merged into these: an undone merge must not bring it back.
  insert into memory.retractions (relation_id)
  select x.id union select relation_id from memory.statements where shown_id = x.id
  on conflict (relation_id) do update set at = excluded.at;
  delete from memory.statements where coalesce(shown_id, relation_id) = x.id;
  update memory.relations set revision = revision + 1, deleted_at = clock_timestamp(), predicate = null, adopted_at = null where id = x.id;
  perform memory.owe('graph', 'relation', array[x.id]);
  return jsonb_build_object('outcome', 'adopted', 'id', x.id, 'revision', x.revision + 1, 'touched', memory.refs('relation', array[x.id]));
end $$;

-- Entities are being deleted: nothing that a person wrote of them stays, and no relation that was drawn to one by hand.
-- Returns the relations that go with them.
create or replace function memory.drop_curated(p_entities uuid[]) returns uuid[] language plpgsql as $$
declare
  gone uuid[];
begin
  delete from memory.entity_names where entity_id = any (p_entities);
  update memory.adoptions set before = null where entities && p_entities and before is not null;
  with dropped as (
    update memory.relations r set revision = r.revision + 1, deleted_at = clock_timestamp(), predicate = null, adopted_at = null
    where r.adopted_at is not null and (r.source_id = any (p_entities) or r.target_id = any (p_entities))
      and not exists (select from memory.statements s where coalesce(s.shown_id, s.relation_id) = r.id)
    returning r.id
  )
  select coalesce(array_agg(id), '{}') into gone from dropped;
  return gone;
end $$;

-- What becomes of edits that somebody makes in the graph, namespace by namespace. Adopting them: `adoption.sql`.

-- What becomes of outside edits, of every namespace.  {} -> [{namespace, outside_edits}, …]
create or replace function public.memory_policies_v1(input text) returns jsonb
language sql stable security definer set search_path = memory, extensions, public, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_object('namespace', name, 'outside_edits', outside_edits) order by name), '[]') from memory.namespaces
$$;

-- Says what becomes of outside edits.  {"namespace", "outside_edits": record-wins|adopt} -> {namespace, outside_edits}
create or replace function public.memory_set_policy_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
begin
  perform memory.known_namespace(p ->> 'namespace');
  if p ->> 'outside_edits' is null or p ->> 'outside_edits' not in ('record-wins', 'adopt') then
    perform memory.raise_error(400, 'policy_unknown', 'A policy is `record-wins` or `adopt`.');
  end if;
  update memory.namespaces set outside_edits = p ->> 'outside_edits' where name = p ->> 'namespace';
  return jsonb_build_object('namespace', p ->> 'namespace', 'outside_edits', p ->> 'outside_edits');
end $$;

-- Repair by plan. A row is owed only while the record shows what the plan saw; that is checked under the rows' locks, in the transaction
-- that owes. Locks in the order of `entities/links.sql`. Outside edits that become part of the record: `adoption.sql`.

-- Raises unless the plan was made for this record.
create or replace function memory.same_record(p_identity text) returns void language plpgsql stable as $$
begin
  if p_identity is distinct from (select value from memory.settings where name = 'identity') then
    perform memory.raise_error(409, 'plan_foreign', 'This plan was made for another record: nothing was done. Make one here, with `memory-pipelines repair --plan`.');
  end if;
end $$;

-- The present numbers of subjects, `[[projection, kind, id], …]` in order; `known` false where the record has never had one.
create or replace function memory.subject_states(p_rows jsonb)
returns table (n bigint, projection text, kind text, id text, known boolean, revision integer, version integer, deleted boolean, namespace text, characters bigint)
language sql stable as $$
  select r.n, r.row ->> 0, r.row ->> 1, r.row ->> 2, coalesce(m.id, e.id, x.id) is not null, coalesce(m.revision, e.revision, x.revision),
    coalesce(m.version, e.revision, x.revision), coalesce(m.deleted_at, e.deleted_at, x.deleted_at) is not null, coalesce(m.namespace, e.namespace, x.namespace),
    case when r.row ->> 0 = 'entities' then length(m.text)
         when r.row ->> 0 = 'embeddings' and e.id is not null then length(e.name)
         when r.row ->> 0 = 'embeddings' then coalesce((select sum(length(q.text)) from memory.passages q where q.memory_id = m.id), length(m.text)) end
  from jsonb_array_elements(p_rows) with ordinality r(row, n)
  left join memory.memories m on r.row ->> 1 = 'memory' and m.id = memory.as_uuid(r.row ->> 2)
  left join memory.entities e on r.row ->> 1 = 'entity' and e.id = memory.as_uuid(r.row ->> 2)
  left join memory.relations x on r.row ->> 1 = 'relation' and x.id = memory.as_uuid(r.row ->> 2)
$$;

-- What a plan notes of each row: the record's numbers, the ledger's, and how many characters a model would be given. No text.
--   {"rows": [[projection, kind, id], …]} -> {"identity", "at", "rows": [{known, revision, version, deleted, namespace, characters, number, parked,
--     settled_at, settled_revision, error}, …]} in the order given
create or replace function public.memory_repair_look_v1(input text) returns jsonb
language sql stable security definer set search_path = memory, extensions, public, pg_temp as $$
  select jsonb_build_object('identity', (select value from memory.settings where name = 'identity'), 'at', clock_timestamp(), 'rows', coalesce((
    select jsonb_agg(jsonb_build_object('known', s.known, 'revision', s.revision, 'version', s.version, 'deleted', s.deleted, 'namespace', s.namespace,
      'characters', coalesce(s.characters, 0), 'number', l.owed_number, 'parked', l.parked_at is not null, 'settled_at', l.settled_at,
      'settled_revision', l.settled_revision, 'error', l.last_error) order by s.n)
    from memory.subject_states(input::jsonb -> 'rows') s
    left join memory.ledger l on l.projection = s.projection and l.kind = s.kind and l.id = s.id), '[]'))
$$;

-- Owes the rows of a plan, each only while the record shows the numbers that the plan saw. A row that was settled since is done
-- already, so that applying a plan twice costs nothing. `unledger` deletes a ledger row whose subject the record never had.
--   {"identity", "rows": [{action: owe|unledger, projection, kind, id, revision|null, version|null, settled_at|null, number|null, forced?, hint?}, …]}
--   -> {"rows": [owed|unledgered|settled|refused, …]} in the order given
create or replace function public.memory_repair_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  asked jsonb;
  outcomes text[];
begin
  perform memory.same_record(p ->> 'identity');
  select coalesce(jsonb_agg(jsonb_build_array(r ->> 'projection', r ->> 'kind', r ->> 'id') order by n), '[]') into asked
  from jsonb_array_elements(p -> 'rows') with ordinality x(r, n);
  perform id from memory.memories where id in (select memory.as_uuid(r ->> 2) from jsonb_array_elements(asked) r where r ->> 1 = 'memory') order by id for share;
  perform id from memory.entities where id in (select memory.as_uuid(r ->> 2) from jsonb_array_elements(asked) r where r ->> 1 = 'entity') order by id for share;
  perform id from memory.relations where id in (select memory.as_uuid(r ->> 2) from jsonb_array_elements(asked) r where r ->> 1 = 'relation') order by id for share;
  with planned as (
    select x.n, x.r, s.projection, s.kind, s.id,
      case
        when s.revision is distinct from (x.r ->> 'revision')::integer or s.version is distinct from (x.r ->> 'version')::integer then 'refused'
        when x.r ->> 'action' = 'unledger' and s.known then 'refused'
        when x.r ->> 'action' = 'unledger' and l.id is null then 'settled'
        when x.r ->> 'action' = 'unledger' and l.owed_number is distinct from (x.r ->> 'number')::bigint then 'refused'
        when x.r ->> 'action' = 'unledger' then 'unledgered'
        when l.owed_number is null and l.settled_at is distinct from (x.r ->> 'settled_at')::timestamptz then 'settled'
        else 'owed'
      end as outcome
    from jsonb_array_elements(p -> 'rows') with ordinality x(r, n)
    join memory.subject_states(asked) s on s.n = x.n
    left join memory.ledger l on l.projection = s.projection and l.kind = s.kind and l.id = s.id
  ), owed as (
    insert into memory.ledger as l (projection, kind, id, owed_number, owed_since, forced, hint)
    select o.projection, o.kind, o.id, nextval('memory.owings'), clock_timestamp(), (o.r ->> 'forced')::integer, nullif(o.r -> 'hint', 'null')
    from (select distinct on (projection, kind, id) * from planned where outcome = 'owed' order by projection, kind, id, n) o
    on conflict (projection, kind, id) do update
      set owed_number = excluded.owed_number, owed_since = coalesce(l.owed_since, excluded.owed_since), forced = excluded.forced,
          hint = coalesce(excluded.hint, l.hint), attempts = 0, retry_at = null, last_error = null, parked_at = null
  ), gone as (
    delete from memory.ledger l using planned g
    where g.outcome = 'unledgered' and l.projection = g.projection and l.kind = g.kind and l.id = g.id
  )
  select array_agg(outcome order by n) into outcomes from planned;
  return jsonb_build_object('rows', coalesce(to_jsonb(outcomes), '[]'));
end $$;

-- Search: vectors and full text, each ranked on its own, fused by reciprocal rank.

-- Any word of a question may match. Words are stemmed; a question of stop words only matches nothing.
create or replace function memory.any_word(query text) returns tsquery language sql immutable strict parallel safe as $$
  select nullif(replace(plainto_tsquery('english', query)::text, ' & ', ' | '), '')::tsquery
$$;

-- Memories of a namespace that have expired and wait for maintenance: a search must not spend places on them.
create or replace function memory.expired_in(p_namespace text) returns uuid[] language sql stable as $$
  select array(select m.id from memory.memories m where m.namespace = p_namespace and m.deleted_at is null and m.expires_at <= now())
$$;

-- Memories nearest to a vector: one row each, with its best passage, best first.
-- A namespace of up to `p_exact` passages is scanned exactly; a larger one takes the HNSW index, beside an exact scan of
-- the rows that wait outside it. Passages are seen until enough different memories are found. The index gives up after
-- `hnsw.max_scan_tuples` rows, of which few may be of this namespace: where they are too few, it is scanned exactly after all.
create or replace function memory.nearest(
  p_namespace text, p_vector text, p_limit integer, p_exact integer, p_filtered boolean, p jsonb
) returns table (id uuid, passage smallint, rank bigint)
language plpgsql stable as $$
declare
  g memory.generations;
  many boolean;
  depth integer := greatest(p_limit * 4, 60);
  got integer;
  seen integer;
  hidden uuid[];
  typed text;
  live text;
  exact_sql text;
  index_sql text;
  ids uuid[];
  passages smallint[];
begin
  select * into g from memory.generations where state = 'active';
  if g.id is null or p_vector is null then
    return;
  end if;
  if vector_dims(p_vector::vector) <> g.dimensions then
    perform memory.raise_error(400, 'dimension_mismatch', 'The question''s vector has the wrong number of dimensions for the active generation.',
      jsonb_build_object('dimensions', vector_dims(p_vector::vector), 'expected', g.dimensions));
  end if;
  select count(*) > p_exact into many
  from (select from memory.embeddings e where e.generation = g.id and e.namespace = p_namespace and e.kind = 'memory' limit p_exact + 1) x;
  -- A filter leaves few rows: then exact is faster and loses nothing.
  many := many and not p_filtered;
  if p_filtered then
    live := 'and e.id in (select m.id from memory.memories m where memory.passes_filter(m, $3))';
  else
    hidden := memory.expired_in(p_namespace);
    live := case when cardinality(hidden) > 0 then 'and e.id <> all ($4)' else '' end;
  end if;
  loop
    exact_sql := format(
      'select e.id, e.passage, e.v <=> $1::vector as d from memory.embeddings e where e.generation = %s and e.namespace = $2 and e.kind = ''memory'' %s %s order by d limit %s',
      g.id, case when many then 'and not e.indexed' else '' end, live, depth);
    if many then
      typed := format('(e.v::%s(%s) <=> $1::%s(%s))', memory.vector_type(g.dimensions), g.dimensions, memory.vector_type(g.dimensions), g.dimensions);
      perform set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', least(greatest(depth, 100), 1000)::text, true);
      index_sql := format(
        '(select * from (select e.id, e.passage, %s as d from memory.embeddings e where e.generation = %s and e.indexed and e.namespace = $2 and e.kind = ''memory'' %s order by %s limit %s) i) union all ',
        typed, g.id, live, typed, depth);
    else
      index_sql := '';
    end if;
    execute format(
      'with near as (%s (%s)), cut as (select * from near order by d limit %s), best as (select distinct on (c.id) c.id, c.passage, c.d from cut c order by c.id, c.d)
       select array_agg(b.id order by b.d), array_agg(b.passage order by b.d), count(*), (select count(*) from cut) from best b',
      index_sql, exact_sql, depth)
    into ids, passages, got, seen using p_vector, p_namespace, p, hidden;
    exit when got >= p_limit or (seen < depth and not many);
    if seen < depth then
      many := false;
    else
      depth := depth * 4;
    end if;
  end loop;
  return query select x.id, x.passage, x.n from unnest(ids, passages) with ordinality x(id, passage, n) where x.n <= p_limit;
end $$;

-- Whether a live memory passes a request's filters.
create or replace function memory.passes_filter(m memory.memories, p jsonb) returns boolean language sql stable as $$
  select m.namespace = p ->> 'namespace' and m.deleted_at is null and (m.expires_at is null or m.expires_at > now())
    and (p ->> 'thread' is null or m.thread = p ->> 'thread')
    and (p -> 'metadata' is null or m.metadata @> (p -> 'metadata'))
    and (p ->> 'created_after' is null or m.created_at >= (p ->> 'created_after')::timestamptz)
    and (p ->> 'created_before' is null or m.created_at < (p ->> 'created_before')::timestamptz)
$$;

-- Memories whose passages hold any word of the question: one row each, with its best passage, best first.
-- ts_rank without dividing by length: on the diary the right entry was among the first five for 19 of 25 held-back
-- questions, against 9 with ts_rank_cd and 3 with division.
create or replace function memory.worded(p_namespace text, p_query text, p_limit integer, p_filtered boolean, p jsonb)
returns table (id uuid, passage smallint, rank bigint)
language plpgsql stable as $$
declare
  words_wanted tsquery := memory.any_word(p_query);
  depth integer := greatest(p_limit * 4, 60);
  got integer;
  seen integer;
  hidden uuid[];
  live text;
  ids uuid[];
  passages smallint[];
begin
  if words_wanted is null then
    return;
  end if;
  if p_filtered then
    live := 'and q.memory_id in (select m.id from memory.memories m where memory.passes_filter(m, $3))';
  else
    hidden := memory.expired_in(p_namespace);
    live := case when cardinality(hidden) > 0 then 'and q.memory_id <> all ($4)' else '' end;
  end if;
  loop
    execute format(
      'with ranked as (
         select q.memory_id as id, q.ordinal as passage, ts_rank(q.words, $1) as r
         from memory.passages q where q.words @@ $1 and q.namespace = $2 %s
         order by r desc limit %s
       ), best as (select distinct on (c.id) c.id, c.passage, c.r from ranked c order by c.id, c.r desc, c.passage)
       select array_agg(b.id order by b.r desc, b.id), array_agg(b.passage order by b.r desc, b.id), count(*), (select count(*) from ranked) from best b',
      live, depth)
    into ids, passages, got, seen using words_wanted, p_namespace, p, hidden;
    exit when got >= p_limit or seen < depth;
    depth := depth * 4;
  end loop;
  return query select x.id, x.passage, x.n from unnest(ids, passages) with ordinality x(id, passage, n) where x.n <= p_limit;
end $$;

-- The hits of a search, best first. Runs as whoever calls it.
--   {"namespace", "query", "vector"?: "[…]", "limit", "exact", "thread"?, "metadata"?, "created_after"?, "created_before"?}
--   -> [{id, namespace, key, thread, text, passage, score, created_at, metadata}, …]
-- Score: sum over both lists of 1 / (60 + rank) (Cormack, Clarke & Büttcher, SIGIR 2009).
create or replace function memory.search_hits(p jsonb) returns jsonb
language plpgsql stable as $$
declare
  wanted integer := (p ->> 'limit')::integer;
  candidates integer := greatest(wanted * 2, 30);
  filtered boolean := p ? 'thread' or p ? 'metadata' or p ? 'created_after' or p ? 'created_before';
  hits jsonb;
begin
  perform memory.known_namespace(p ->> 'namespace');
  select coalesce(jsonb_agg(h.hit order by h.score desc, h.id), '[]') into hits
  from (
    select m.id, f.score, jsonb_build_object('id', m.id, 'namespace', m.namespace, 'key', m.key, 'thread', m.thread, 'text', m.text,
      'passage', coalesce(q.text, ''), 'score', f.score, 'created_at', m.created_at, 'metadata', m.metadata) as hit
    from (
      select a.id, (array_agg(a.passage order by a.rank, a.arm desc))[1] as passage, sum(1.0 / (60 + a.rank)) as score
      from (
        select v.id, v.passage, v.rank, 'vector' as arm
        from memory.nearest(p ->> 'namespace', p ->> 'vector', candidates, (p ->> 'exact')::integer, filtered, p) v
        union all
        select w.id, w.passage, w.rank, 'words' from memory.worded(p ->> 'namespace', p ->> 'query', candidates, filtered, p) w
      ) a
      group by a.id
    ) f
    join memory.memories m on m.id = f.id and m.deleted_at is null and (m.expires_at is null or m.expires_at > now())
    left join memory.passages q on q.memory_id = f.id and q.ordinal = f.passage
    order by f.score desc, m.id
    limit wanted
  ) h;
  return hits;
end $$;

-- A search by the service; see memory.search_hits.
create or replace function public.memory_search_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
begin
  return memory.search_hits(input::jsonb);
end $$;

-- How things stand.

-- What is owed, since when, what is parked, who drains, and how much there is.  {"budget_seconds"}
create or replace function public.memory_status_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  result jsonb;
begin
  with owed as (
    select projection, count(*) filter (where parked_at is null) as owed, count(*) filter (where parked_at is not null and dropped_at is null) as parked,
      count(*) filter (where parked_at is not null and dropped_at is not null) as dropped,
      count(*) filter (where parked_at is null and (retry_at is null or retry_at <= now())) as ready,
      extract(epoch from clock_timestamp() - min(owed_since) filter (where parked_at is null)) as oldest,
      min(owed_number) filter (where parked_at is null and (retry_at is null or retry_at <= now())) as first_ready
    from memory.ledger where owed_number is not null group by projection
  )
  select jsonb_build_object(
    'projections', (
      select jsonb_object_agg(p, jsonb_build_object('owed', coalesce(o.owed, 0), 'ready', coalesce(o.ready, 0), 'parked', coalesce(o.parked, 0), 'dropped', coalesce(o.dropped, 0), 'oldest_owed_seconds', o.oldest, 'first_ready', o.first_ready,
        'draining', exists (select from memory.heartbeats h where h.projection = p and h.holder is not null and h.lease_until > clock_timestamp())))
      from unnest(array['entities', 'embeddings', 'graph']) p left join owed o on o.projection = p),
    'dead_events', (select count(*) from memory.dead_events), 'newest_number', (select last_value from memory.owings), 'settled_marker', (select settled_marker from memory.graph_state))
  into result;
  return result;
end $$;

-- How much the record holds.  {} -> {memories, forgotten, passages, embeddings, entities, mentions, relations, namespaces: {name: memories}}
create or replace function public.memory_counts_v1(input text) returns jsonb
language sql stable security definer set search_path = memory, extensions, public, pg_temp as $$
  select jsonb_build_object(
    'memories', (select count(*) from memory.memories where deleted_at is null),
    'forgotten', (select count(*) from memory.memories where deleted_at is not null),
    'passages', (select count(*) from memory.passages),
    'embeddings', (select count(*) from memory.embeddings),
    'embeddings_waiting', (select count(*) from memory.embeddings where not indexed),
    'entities', (select count(*) from memory.entities where deleted_at is null),
    'mentions', (select count(*) from memory.shown_mentions),
    'relations', (select count(*) from memory.relations where deleted_at is null),
    'namespaces', (select coalesce(jsonb_object_agg(n.name, coalesce(c.n, 0)), '{}') from memory.namespaces n
      left join (select namespace, count(*) as n from memory.memories where deleted_at is null group by namespace) c on c.namespace = n.name))
$$;

-- Whether the record answers, and what it is.
create or replace function public.memory_health_v1(input text) returns jsonb
language sql stable security definer set search_path = memory, extensions, public, pg_temp as $$
  select jsonb_build_object('server', 'Postgres', 'version', current_setting('server_version'),
    'pgvector', (select extversion from pg_extension where extname = 'vector'),
    'identity', (select value from memory.settings where name = 'identity'),
    'generation', (select jsonb_build_object('id', id, 'model', model, 'dimensions', dimensions) from memory.generations where state = 'active'))
$$;

-- One page of one task of maintenance; repeat while "done" is the limit.
--   {"task": expire|fold|claim, "limit", "lease"?: {name, fence}} -> {"done": n, "touched": [[kind, id], …]}
create or replace function public.memory_maintain_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  expired uuid[];
  buried jsonb;
begin
  perform memory.check_lease(p -> 'lease');
  case p ->> 'task'
  when 'expire' then
    expired := array(select id from memory.memories where deleted_at is null and expires_at <= now() limit (p ->> 'limit')::integer);
    buried := memory.bury(expired, 'expired');
    return jsonb_build_object('done', jsonb_array_length(buried -> 'ids'), 'touched', memory.refs('memory', expired) || (buried -> 'touched'));
  when 'fold' then
    return jsonb_build_object('done', memory.fold_embeddings((p ->> 'limit')::integer));
  when 'claim' then  -- a number above every claim so far: the fence to raise before tombstones are purged
    return jsonb_build_object('done', nextval('memory.claims'));
  else
    perform memory.raise_error(400, 'task_unknown', 'There is no such maintenance task.', jsonb_build_object('task', p ->> 'task'));
  end case;
end $$;

-- Drains begin, claim and end. What a claimed row looks like: `present.sql`; settling: `settling.sql`; owing again: `owing.sql`;
-- failures: `dead_letters.sql`. Projections that live in this database are stored in `embeddings.sql` and `entities/links.sql`.

-- Takes the projection for a drain unless another one's heartbeat is fresh: a lease, as `leases.sql` has them.
--   {"projection", "holder", "lease_seconds"} -> its fencing number, or 0
create or replace function public.memory_begin_drain_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
begin
  return to_jsonb(coalesce((memory.grant_lease(p ->> 'projection', p ->> 'holder', (p ->> 'lease_seconds')::float8)).fence, 0));
end $$;

-- Gives the projection back.  {"projection", "holder"}
create or replace function public.memory_end_drain_v1(input text) returns jsonb
language sql security definer set search_path = memory, extensions, public, pg_temp as $$
  update memory.heartbeats set holder = null, lease_until = null where projection = input::jsonb ->> 'projection' and holder = input::jsonb ->> 'holder';
  select 'true'::jsonb
$$;

-- Claims a batch: numbers it, notes each row's owed number, and only then reads the rows' present state, so that a debt
-- which arrives in between is never settled by it. Renews the holder's heartbeat.
-- Nothing is locked: a lease saves double work, the owed number and the marker make it harmless.
--   {"projection", "refs": [[kind, id], …]|null, "limit", "owed_for_seconds", "after"?: owed number, "holder"?, "lease_seconds"?}
--   -> {"claim", "issued", "settled_marker", "rows": [{kind, id, number, attempts, forced, hint, state}, …]}
create or replace function public.memory_claim_v1(input text) returns jsonb
language plpgsql volatile security definer set search_path = memory, extensions, public, pg_temp set enable_nestloop = off set enable_seqscan = off as $$
declare
  p jsonb := input::jsonb;
  p_projection text := p ->> 'projection';
  p_limit integer := (p ->> 'limit')::integer;
  noted memory.ledger[] := '{}';
  wanted record;
  rows jsonb;
  number bigint;
begin
  if p ->> 'holder' is not null then
    update memory.heartbeats
    set beat_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => (p ->> 'lease_seconds')::float8)
    where projection = p_projection and holder = p ->> 'holder';
  end if;
  if jsonb_typeof(p -> 'refs') = 'array' then
    for wanted in select r ->> 0 as kind, array_agg(r ->> 1) as ids from jsonb_array_elements(p -> 'refs') r group by 1 loop
      noted := noted || array(
        select l from memory.ledger l
        where l.projection = p_projection and l.kind = wanted.kind and l.id = any (wanted.ids)
          and l.owed_number is not null and l.parked_at is null and (l.retry_at is null or l.retry_at <= now())
        order by l.owed_number limit p_limit);
    end loop;
  end if;
  if p ->> 'owed_for_seconds' is not null and cardinality(noted) < p_limit then
    noted := noted || array(
      select l from memory.ledger l
      where l.projection = p_projection and l.owed_number is not null and l.parked_at is null and (l.retry_at is null or l.retry_at <= now())
        and l.owed_number > coalesce((p ->> 'after')::bigint, 0)
        and l.owed_since <= clock_timestamp() - make_interval(secs => (p ->> 'owed_for_seconds')::float8)
      order by l.owed_number limit p_limit);
  end if;
  -- Oldest debts first: an entity is owed before the relation that needs it.
  noted := array(select l from (select distinct on (l.kind, l.id) l, l.owed_number from unnest(noted) l order by l.kind, l.id) x order by x.owed_number limit p_limit);
  if cardinality(noted) = 0 then
    return jsonb_build_object('claim', 0, 'issued', 0, 'settled_marker', 0, 'rows', '[]'::jsonb);
  end if;
  number := nextval('memory.claims');
  select jsonb_agg(jsonb_build_object('kind', l.kind, 'id', l.id, 'number', l.owed_number, 'attempts', l.attempts, 'forced', l.forced, 'hint', l.hint, 'state', s.state)
    order by l.owed_number)
  into rows
  from unnest(noted) l
  left join (
    select k.kind, x.id, x.state
    from (select n.kind, array_agg(n.id) as ids from unnest(noted) n group by n.kind) k, memory.present_state(p_projection, k.kind, k.ids) x
  ) s on s.kind = l.kind and s.id = l.id;
  return jsonb_build_object('claim', number, 'issued', (select last_value from memory.claims),
    'settled_marker', (select settled_marker from memory.graph_state), 'rows', rows);
end $$;

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

-- The present state of a subject, as each projection needs it. Nothing here writes.

-- What the graph must hold of a live row: the only place that says so. Audits compare with the same functions. They take
-- columns, not rows: a whole row as an argument would fetch and copy its text.
create or replace function memory.graph_memory(id uuid, namespace text, revision integer, created_at timestamptz, digest bigint, bucket smallint, leaf smallint)
returns jsonb language sql immutable parallel safe as $$
  select jsonb_build_object('id', id, 'namespace', namespace, 'revision', revision, 'created_at', memory.millis(created_at),
    'dh', (digest >> 32) & 4294967295, 'dl', digest & 4294967295, 'bucket', bucket, 'leaf', leaf)
$$;
create or replace function memory.graph_entity(id uuid, namespace text, name text, type text, revision integer, digest bigint, bucket smallint, leaf smallint,
  aliases text[], summary text)
returns jsonb language sql immutable parallel safe as $$
  select jsonb_build_object('id', id, 'namespace', namespace, 'name', name, 'type', type, 'revision', revision,
    'dh', (digest >> 32) & 4294967295, 'dl', digest & 4294967295, 'bucket', bucket, 'leaf', leaf)
    || case when aliases = '{}' and summary is null then '{}'  -- only where a person has curated them
         else jsonb_strip_nulls(jsonb_build_object('aliases', case when aliases <> '{}' then to_jsonb(aliases) end, 'summary', summary)) end
$$;
create or replace function memory.graph_relation(id uuid, namespace text, predicate text, revision integer, digest bigint)
returns jsonb language sql immutable parallel safe as $$
  select jsonb_build_object('id', id, 'namespace', namespace, 'predicate', predicate, 'revision', revision,
    'dh', (digest >> 32) & 4294967295, 'dl', digest & 4294967295)
$$;

-- The present state of owed subjects, as a projection needs it. Unknown subjects come without one.
-- A memory's mentions come as one text, `entity high low;…`: as JSON objects they took most of a claim's time.
-- Both sides of every join are small and found by index, so they are hashed: without statistics, right after a bulk
-- load, the planner would take nested loops over whole subqueries (measured: 13 s instead of 0.3 s).
create or replace function memory.present_state(p_projection text, p_kind text, p_ids text[]) returns table (id text, state jsonb)
language plpgsql stable set enable_nestloop = off set enable_seqscan = off as $$
declare
  known uuid[] := memory.as_uuids(p_ids);
begin
  if p_projection = 'graph' and p_kind = 'memory' then
    return query
    select m.id::text, jsonb_build_object('revision', m.revision, 'version', m.version, 'deleted', m.deleted_at is not null,
      'props', case when m.deleted_at is null then memory.graph_memory(m.id, m.namespace, m.revision, m.created_at, m.digest, m.bucket, m.leaf) end,
      'mentions', coalesce(x.mentions, ''))
    from memory.memories m
    left join (
      select n.memory_id, string_agg(n.entity_id || ' ' || ((n.digest >> 32) & 4294967295) || ' ' || (n.digest & 4294967295), ';') as mentions
      from memory.shown_mentions n where n.memory_id = any (known) group by n.memory_id
    ) x on x.memory_id = m.id
    where m.id = any (known);
  elsif p_projection = 'graph' and p_kind = 'entity' then
    return query
    select e.id::text, jsonb_build_object('revision', e.revision, 'version', e.revision, 'deleted', e.deleted_at is not null,
      'props', case when e.deleted_at is null then memory.graph_entity(e.id, e.namespace, e.name, e.type, e.revision, e.digest, e.bucket, e.leaf, e.aliases, e.summary) end)
    from memory.entities e where e.id = any (known);
  elsif p_projection = 'graph' and p_kind = 'relation' then
    return query
    select r.id::text, jsonb_build_object('revision', r.revision, 'version', r.revision, 'deleted', r.deleted_at is not null,
      'source', r.source_id, 'target', r.target_id, 'props', case when r.deleted_at is null then memory.graph_relation(r.id, r.namespace, r.predicate, r.revision, r.digest) end)
    from memory.relations r where r.id = any (known);
  elsif p_projection = 'entities' then
    return query
    select m.id::text, jsonb_build_object('revision', m.revision, 'version', m.version, 'deleted', m.deleted_at is not null, 'namespace', m.namespace, 'text', m.text)
    from memory.memories m where m.id = any (known);
  elsif p_projection = 'embeddings' and p_kind = 'memory' then
    return query
    select m.id::text, jsonb_build_object('revision', m.revision, 'version', m.version, 'deleted', m.deleted_at is not null, 'namespace', m.namespace,
      'text', case when l.id is not null then m.text end, 'passages', coalesce(x.passages, '[]'))
    from memory.memories m
    left join (
      select h.id from memory.ledger h where h.projection = 'embeddings' and h.kind = 'memory' and h.id = any (p_ids) and h.hint is not null
    ) l on l.id = m.id::text
    left join (
      select q.memory_id, jsonb_agg(q.text order by q.ordinal) as passages from memory.passages q where q.memory_id = any (known) group by q.memory_id
    ) x on x.memory_id = m.id
    where m.id = any (known);
  elsif p_projection = 'embeddings' and p_kind = 'entity' then
    return query
    select e.id::text, jsonb_build_object('revision', e.revision, 'version', e.revision, 'deleted', e.deleted_at is not null, 'namespace', e.namespace,
      'passages', jsonb_build_array(e.name))
    from memory.entities e where e.id = any (known);
  end if;
end $$;

-- Debts of the graph are settled after it has the rows durably; what a graph that was rolled back has lost is owed again.

-- Settles graph rows that the graph now has, each only if its owed number is still the one that was noted.
-- The claim's own look at `settled_marker` is old by now: another batch may have been settled, and lost, since. So a claim
-- from before the last rollback settles nothing; and a marker that another claim was given too proves that the graph was
-- rolled back between the two: all that was settled from there on is owed again, and nothing is settled.
-- Every marker that the batch was given counts, also of a statement whose rows were all refused.
--   {"claim", "markers": [n, …], "rows": [{kind, id, number, revision, version, marker|null}, …]} -> {"settled": n, "lost": rows owed again}
create or replace function public.memory_settle_graph_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  p_claim bigint := (p ->> 'claim')::bigint;
  twice bigint;
  paid integer;
  highest bigint;
begin
  if (select void_claim from memory.graph_state for update) >= p_claim then  -- one settlement, or recovery, at a time
    return jsonb_build_object('settled', 0, 'lost', 0);
  end if;
  insert into memory.graph_batches (marker, claim)
  select m::bigint, p_claim from jsonb_array_elements_text(p -> 'markers') m on conflict (marker) do nothing;
  select min(b.marker) into twice from memory.graph_batches b
  where b.marker in (select m::bigint from jsonb_array_elements_text(p -> 'markers') m) and b.claim <> p_claim;
  if twice is not null then
    return jsonb_build_object('settled', 0, 'lost', memory.owe_settled_above(twice - 1));
  end if;
  -- A row that is locked is being owed anew, in an order of that writer's own: it is left owed, and nobody waits in a ring.
  with free as (
    select r.*
    from jsonb_to_recordset(p -> 'rows') r(kind text, id text, number bigint, revision integer, version integer, marker bigint)
    join memory.ledger l on l.projection = 'graph' and l.kind = r.kind and l.id = r.id and l.owed_number = r.number
    for update of l skip locked
  ), paid_rows as (
    update memory.ledger l
    set owed_number = null, owed_since = null, settled_revision = f.revision, settled_version = f.version, settled_marker = f.marker,
        settled_at = clock_timestamp(), attempts = 0, retry_at = null, last_error = null, parked_at = null, forced = null, hint = null
    from free f
    where l.projection = 'graph' and l.kind = f.kind and l.id = f.id and l.owed_number = f.number
    returning l.settled_marker
  )
  select count(*), max(settled_marker) into paid, highest from paid_rows;
  if highest is not null then
    update memory.graph_state set settled_marker = highest where settled_marker < highest;
    delete from memory.graph_batches where marker < highest - 10000;
  end if;
  return jsonb_build_object('settled', paid, 'lost', 0);
end $$;

-- Owes again what was settled above a marker, the newest first, and voids every claim so far: whoever has applied one and not
-- settled it does it again. Returns how many rows are owed because of it, at most `p_limit` at once.
create or replace function memory.owe_settled_above(p_marker bigint, p_limit integer default null) returns integer
language plpgsql set enable_seqscan = off as $$
declare
  lost integer;
begin
  update memory.graph_state set void_claim = (select last_value from memory.claims);
  update memory.ledger l
  set owed_number = coalesce(l.owed_number, nextval('memory.owings')), owed_since = coalesce(l.owed_since, clock_timestamp()),
      settled_marker = null, attempts = 0, retry_at = null, parked_at = null
  from (
    select kind, id from memory.ledger where projection = 'graph' and settled_marker > p_marker order by settled_marker desc limit p_limit
  ) t
  where l.projection = 'graph' and l.kind = t.kind and l.id = t.id and l.settled_marker > p_marker;
  get diagnostics lost = row_count;
  return lost;
end $$;

-- The graph was seen at a marker below one that was settled: what was settled above it is owed again, a page at a time. Until the
-- last page the graph stays below, so that every batch is refused.
--   {"marker", "limit"} -> {"owed": n, "settled_marker": the marker to raise the graph to}
create or replace function public.memory_owe_lost_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  highest bigint;
begin
  select settled_marker into highest from memory.graph_state for update;
  return jsonb_build_object('owed', memory.owe_settled_above((p ->> 'marker')::bigint, (p ->> 'limit')::integer), 'settled_marker', highest);
end $$;

-- What each projection holds of a memory, and what of it is owed. Nothing here writes.

-- What some memories mention and state that the graph does not show yet, whoever owes it.  {"ids"} -> [[kind, id], …]
create or replace function public.memory_owed_links_v1(input text) returns jsonb
language sql stable security definer set search_path = memory, extensions, public, pg_temp as $$
  with chosen as (
    select i::uuid as id from jsonb_array_elements_text(input::jsonb -> 'ids') i
  ), links as (
    select 'entity' as kind, coalesce(m.shown_id, m.entity_id)::text as id from chosen c join memory.mentions m on m.memory_id = c.id
    union
    select 'relation', coalesce(s.shown_id, s.relation_id)::text from chosen c join memory.statements s on s.memory_id = c.id
  )
  select coalesce(jsonb_agg(jsonb_build_array(k.kind, k.id)), '[]')
  from links k join memory.ledger l on l.projection = 'graph' and l.kind = k.kind and l.id = k.id and l.owed_number is not null
$$;

-- Which version each projection holds of one memory.  {"id"}
create or replace function public.memory_sync_state_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p_id uuid := (input::jsonb ->> 'id')::uuid;
  result jsonb;
begin
  select jsonb_build_object('id', m.id, 'version', m.version, 'revision', m.revision, 'forgotten', m.deleted_at is not null, 'projections', (
    select jsonb_object_agg(l.projection, jsonb_build_object('owed', l.owed_number is not null, 'settled_version', l.settled_version,
      'settled_revision', l.settled_revision, 'owed_seconds', extract(epoch from clock_timestamp() - l.owed_since),
      'parked', case when l.parked_at is not null then l.last_error end))
    from memory.ledger l where l.kind = 'memory' and l.id = m.id::text))
  into result from memory.memories m where m.id = p_id;
  if result is null then
    perform memory.raise_error(404, 'memory_unknown', 'There is no memory with this id.', jsonb_build_object('id', p_id));
  end if;
  return result;
end $$;

-- Closed to everyone but the service: applied last, so that it covers every table and function above.
-- Hosted projects grant new public functions to `anon` and `authenticated` by default, so both are named. Where the three roles
-- of a Supabase project are missing they are made, without a login, so that a REST server put in front later finds them closed;
-- a migrating role that may make none leaves them out.
do $$
declare
  f record;
  t record;
  r text;
begin
  foreach r in array array['anon', 'authenticated', 'service_role'] loop
    if not exists (select from pg_roles where rolname = r)
      and exists (select from pg_roles where rolname = current_user and (rolcreaterole or rolsuper)) then
      begin
        execute format('create role %I nologin noinherit', r);
      exception when duplicate_object or unique_violation then
        raise notice 'role % was made by another database of this server at the same moment', r;
      end;
    end if;
  end loop;
  for t in select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = 'memory' loop
    execute format('alter table %s enable row level security', t.name);
    execute format('revoke all on %s from public', t.name);
  end loop;
  execute 'revoke all on schema memory from public';
  for f in
    select p.oid::regprocedure as name, n.nspname = 'public' as callable
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'memory' or (n.nspname = 'public' and p.proname ~ '^memory_.*_v[0-9]+$')
  loop
    execute format('revoke all on function %s from public', f.name);
    foreach r in array array['anon', 'authenticated'] loop
      if exists (select from pg_roles where rolname = r) then
        execute format('revoke all on function %s from %I', f.name, r);
      end if;
    end loop;
    if f.callable and exists (select from pg_roles where rolname = 'service_role') then
      execute format('grant execute on function %s to service_role', f.name);
    end if;
  end loop;
end $$;

insert into memory.settings values ('functions', '80592bfb444892356509064eaa6dbd184e1f474ee38aaa8dc77930f551164110') on conflict (name) do update set value = excluded.value;

reset check_function_bodies;
reset search_path;
notify pgrst, 'reload schema';
