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
