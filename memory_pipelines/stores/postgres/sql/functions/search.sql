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
