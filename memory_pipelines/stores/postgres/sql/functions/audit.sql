-- What the stores must show, said by the record: sums and digests for the quick audit, expected rows for the deep one,
-- exact anti-joins for what lives beside the record. Nothing here writes but the verdict.

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
