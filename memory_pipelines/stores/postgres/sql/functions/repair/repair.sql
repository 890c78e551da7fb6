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
