-- What the stores must show, said by the record: sums and digests for the quick audit, expected rows for the deep one,
-- exact anti-joins for what lives beside the record. Nothing here writes but the verdict.

-- Sums per bucket, or per leaf of some buckets, of what must be live in the graph.
--   {"kind": memory|entity|mention|relation, "buckets"?: [b, …]} -> [[bucket, count, high, low], …] or [[bucket, leaf, count, high, low], …]
create or replace function public.memory_audit_sums_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  live text := case p ->> 'kind'
    when 'memory' then 'select bucket, leaf, digest from memory.memories where deleted_at is null'
    when 'entity' then 'select bucket, leaf, digest from memory.entities where deleted_at is null'
    when 'relation' then 'select bucket, leaf, digest from memory.relations where deleted_at is null'
    when 'mention' then 'select m.bucket, m.leaf, n.digest from memory.shown_mentions n join memory.memories m on m.id = n.memory_id where m.deleted_at is null'
  end;
  sums jsonb;
begin
  if p -> 'buckets' is null then
    execute format('select coalesce(jsonb_agg(jsonb_build_array(bucket, n, h, l)), ''[]'') from (
      select bucket, count(*) as n, sum((digest >> 32) & 4294967295) as h, sum(digest & 4294967295) as l from (%s) x group by bucket) y', live) into sums;
  else
    execute format('select coalesce(jsonb_agg(jsonb_build_array(bucket, leaf, n, h, l)), ''[]'') from (
      select bucket, leaf, count(*) as n, sum((digest >> 32) & 4294967295) as h, sum(digest & 4294967295) as l from (%s) x
      where bucket = any ($1) group by bucket, leaf) y', live)
    into sums using array(select b::smallint from jsonb_array_elements_text(p -> 'buckets') b);
  end if;
  return sums;
end $$;

-- Rows as the graph must show them, with what the ledger says, in one statement. Chosen by ids, by (bucket, leaf) cells,
-- or by a range of buckets; tombstones come too when asked for by id. A mention's id is `memory:entity`. What is parked is
-- not on its way: it counts as not owed, so that what it left undone is found, and put right with what was seen.
--   {"kind", "ids"?: [id, …], "cells"?: [[bucket, leaf], …], "buckets"?: [from, below]}
--   -> [{id, revision, deleted, owed_seconds|null, settled_at, props, source, target}, …]
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
        case when s.deleted_at is null then memory.graph_entity(s.id, s.namespace, s.name, s.type, s.revision, s.digest, s.bucket, s.leaf) end as props,
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
      ''settled_at'', l.settled_at)), ''[]'')
    from (%s) x
    left join (select * from memory.ledger where projection = ''graph'' and kind = $3 and id = any ($1::text[])) l on l.id = x.owner', body)
  into rows
  using chosen, case when p_kind = 'mention' and p ? 'ids' then array(select jsonb_array_elements_text(p -> 'ids')) end,
    case p_kind when 'mention' then 'memory' else p_kind end;
  return rows;
end $$;

-- Differences in one page of passages and embeddings, exactly, by id range. Rows that are owed are left to the ledger's own audit.
--   {"after": id|null, "limit"} -> {"findings": [{kind, store, subject, id, expected, actual, hint}], "passages": n, "embeddings": n, "next": id|null}
create or replace function public.memory_audit_embeddings_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp set enable_nestloop = off as $$
declare
  p jsonb := input::jsonb;
  g memory.generations;
  low uuid := coalesce((p ->> 'after')::uuid, '00000000-0000-0000-0000-000000000000');
  high uuid;
  blank text := e'\t\n\u000b\f\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000';
  result jsonb;
begin
  select * into g from memory.generations where state = 'active';
  select id into high from (
    select id from memory.memories where id > low union select id from memory.entities where id > low order by id limit (p ->> 'limit')::integer
  ) x order by id desc limit 1;
  if (select count(*) from (select from memory.memories where id > high union all select from memory.entities where id > high limit 1) x) = 0 then
    high := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  end if;
  with owed as (
    select kind, memory.as_uuid(id) as id from memory.ledger where projection = 'embeddings' and owed_number is not null
  ), live as (
    select id, version, namespace, text from memory.memories where deleted_at is null and id > low and id <= high
  ), wanted as (
    select 'memory' as kind, m.id, q.ordinal as passage, m.version, m.namespace from memory.passages q join live m on m.id = q.memory_id
    union all
    select 'entity', e.id, 0::smallint, e.revision, e.namespace from memory.entities e where e.deleted_at is null and e.id > low and e.id <= high
  ), had as (
    select kind, id, passage, version, namespace, generation, vector_dims(v) as dims from memory.embeddings where id > low and id <= high
  ), vectors as (
    select coalesce(w.kind, h.kind) as owner_kind, coalesce(w.id, h.id) as owner, coalesce(w.passage, h.passage) as passage,
      w.version as wanted_version, h.version as had_version, h.dims, h.generation,
      case when w.id is null then 'orphan' when h.id is null then 'missing' when h.version < w.version then 'stale' when h.version > w.version then 'ahead'
           when h.dims <> g.dimensions then 'wrong_dimension' when h.namespace <> w.namespace then 'edited' end as finding
    from wanted w full join had h on h.kind = w.kind and h.id = w.id and h.passage = w.passage and h.generation = g.id
  ), uncovered as (  -- texts that their passages do not make up, but for white space (as Python strips it: `domain/passages.py`)
    select m.id, m.version, m.text, q.last
    from live m
    left join (
      select memory_id, string_agg(text, ' ' order by ordinal) as joined, max(ordinal) as last
      from memory.passages where memory_id > low and memory_id <= high group by memory_id
    ) q on q.memory_id = m.id
    where q.joined is null or (q.joined <> m.text and translate(q.joined, blank, '') <> translate(m.text, blank, ''))
  ), cut as (
    select q.memory_id as owner, q.ordinal, m.version as wanted_version, q.version as had_version,
      case when m.id is null then 'orphan' when q.version <> m.version then 'stale'
           when q.namespace <> m.namespace or (u.id is not null and position(q.text in u.text) = 0) then 'edited' end as finding
    from memory.passages q left join live m on m.id = q.memory_id left join uncovered u on u.id = q.memory_id
    where q.memory_id > low and q.memory_id <= high
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
    from vectors where finding is not null
    union all
    select finding, 'passages', 'passage', owner || '#' || ordinal,
      case when wanted_version is not null then jsonb_build_object('version', wanted_version) end,
      case when had_version is not null then jsonb_build_object('version', had_version) end, 'memory', owner
    from texts
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

-- Debts too old, and subjects the ledger does not know.  {"budget_seconds"} -> {"pending": n, "findings": […]}
create or replace function public.memory_audit_ledger_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  budget interval := make_interval(secs => (input::jsonb ->> 'budget_seconds')::float8);
  result jsonb;
begin
  with late as (
    select case when parked_at is not null then 'parked' else 'owed_too_long' end as kind, projection, l.kind as subject, id, owed_since, attempts, last_error
    from memory.ledger l where owed_number is not null and (owed_since < clock_timestamp() - budget or parked_at is not null)
    order by owed_number limit 1000
  ), unledgered as (
    select p.projection, s.kind, s.id
    from (select 'memory' as kind, id from memory.memories union all select 'entity', id from memory.entities union all select 'relation', id from memory.relations) s
    join (values ('graph', 'memory'), ('graph', 'entity'), ('graph', 'relation'), ('embeddings', 'memory'), ('embeddings', 'entity'), ('entities', 'memory')) p(projection, kind)
      on p.kind = s.kind
    where not exists (select from memory.ledger l where l.projection = p.projection and l.kind = s.kind and l.id = s.id::text)
    limit 1000
  )
  select jsonb_build_object(
    'pending', (select count(*) from memory.ledger where owed_number is not null and parked_at is null and owed_since >= clock_timestamp() - budget),
    'findings', coalesce((select jsonb_agg(jsonb_build_object('kind', l.kind, 'store', 'ledger', 'subject', l.subject, 'id', l.id,
        'expected', jsonb_build_object('projection', l.projection, 'owed', false),
        'actual', jsonb_build_object('projection', l.projection, 'owed_since', l.owed_since, 'attempts', l.attempts, 'error', l.last_error),
        'hint', jsonb_build_object('projection', l.projection))) from late l), '[]')
      || coalesce((select jsonb_agg(jsonb_build_object('kind', 'unledgered', 'store', 'ledger', 'subject', u.kind, 'id', u.id,
        'expected', jsonb_build_object('projection', u.projection), 'actual', null, 'hint', jsonb_build_object('projection', u.projection))) from unledgered u), '[]'))
  into result;
  return result;
end $$;

-- Keeps a verdict.  {mode, clean, checked, pending, kinds, findings, seconds, repaired} -> {"id"}
create or replace function public.memory_save_verdict_v1(input text) returns jsonb
language sql security definer set search_path = memory, extensions, public, pg_temp as $$
  insert into memory.verdicts (mode, clean, checked, pending, kinds, findings, seconds, repaired)
  select mode, clean, checked, pending, kinds, findings, seconds, repaired
  from jsonb_to_record(input::jsonb) v(mode text, clean boolean, checked jsonb, pending integer, kinds jsonb, findings jsonb, seconds float8, repaired integer)
  returning jsonb_build_object('id', id)
$$;

-- Stored verdicts, newest first.  {"limit"} -> [verdict, …]
create or replace function public.memory_verdicts_v1(input text) returns jsonb
language sql stable security definer set search_path = memory, extensions, public, pg_temp as $$
  select coalesce(jsonb_agg(to_jsonb(v) order by v.id desc), '[]')
  from (select * from memory.verdicts order by id desc limit (input::jsonb ->> 'limit')::integer) v
$$;
