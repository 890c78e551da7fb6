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
