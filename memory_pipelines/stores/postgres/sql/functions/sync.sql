-- The ledger's protocol: begin, claim, settle, owe again; failures are charged in `dead_letters.sql`. `embeddings.sql` and `entities.sql` store results of the
-- projections that live in this database; the graph's are settled here, after the graph has them durably.

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
