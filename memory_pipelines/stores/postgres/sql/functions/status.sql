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
