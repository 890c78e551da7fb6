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
