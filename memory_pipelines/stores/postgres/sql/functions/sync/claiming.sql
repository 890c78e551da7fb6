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
