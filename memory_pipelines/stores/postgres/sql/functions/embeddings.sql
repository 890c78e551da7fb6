-- Embeddings: generations, storing, folding into the vector index.

-- The active generation for a model, made on first use. A different model is refused: vectors of two models do not compare.
--   {"model", "dimensions"} -> {"generation"}
create or replace function public.memory_generation_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  g memory.generations;
begin
  select * into g from memory.generations where state = 'active';
  if g.id is null then
    perform pg_advisory_xact_lock(hashtext('memory.generations'));
    select * into g from memory.generations where state = 'active';
  end if;
  if g.id is null then
    insert into memory.generations (model, dimensions, state) values (p ->> 'model', (p ->> 'dimensions')::integer, 'active') returning * into g;
    execute format(
      'create index if not exists %I on memory.embeddings using hnsw ((v::%s(%s)) %s) where generation = %s and indexed',
      'embeddings_hnsw_' || g.id, memory.vector_type(g.dimensions), g.dimensions, memory.vector_type(g.dimensions) || '_cosine_ops', g.id);
  end if;
  if g.model <> p ->> 'model' or g.dimensions <> (p ->> 'dimensions')::integer then
    perform memory.raise_error(409, 'generation_conflict',
      format('This record is embedded with %s (%s dimensions); the configured embedder is %s (%s). Set MEMORY_EMBEDDER back.',
        g.model, g.dimensions, p ->> 'model', p ->> 'dimensions'));
  end if;
  return jsonb_build_object('generation', g.id);
end $$;

-- pgvector indexes `vector` up to 2,000 dimensions, `halfvec` up to 4,000.
create or replace function memory.vector_type(dimensions integer) returns text language sql immutable strict as $$
  select case when dimensions > 2000 then 'halfvec' else 'vector' end
$$;

-- The work of the two functions below it. Rows are found by index: a session whose plans were made while the tables were
-- small would go on reading them whole as they grow.
create or replace function memory.store_embeddings(p jsonb, p_vectors vector[]) returns jsonb
language plpgsql set search_path = memory, extensions, public, pg_temp set enable_seqscan = off as $$
declare
  p_generation smallint := (p ->> 'generation')::smallint;
  dimension integer := (select dimensions from memory.generations where id = p_generation);
  wrong integer := (select vector_dims(v) from unnest(p_vectors) v where vector_dims(v) <> dimension limit 1);
  kinds text[];
  ids uuid[];
  versions integer[];
  counts integer[];
  namespaces text[];
  fresh uuid[];  -- live, and still of the version that the result was made from
  gone uuid[];   -- forgotten, or unknown
  memory_ids uuid[];  -- fresh or gone
  entity_ids uuid[];
  paid integer;
begin
  select array_agg(r.kind order by n), array_agg(memory.as_uuid(r.id) order by n), array_agg(r.version order by n), array_agg(coalesce(r.vectors, 0) order by n)
  into kinds, ids, versions, counts
  from rows from (jsonb_to_recordset(p -> 'rows') as (kind text, id text, version integer, vectors integer)) with ordinality r(kind, id, version, vectors, n);
  if (select sum(c) from unnest(counts) c) <> cardinality(p_vectors) then
    perform memory.raise_error(400, 'vectors_invalid', 'There are not as many vectors as the rows say.');
  end if;
  if wrong is not null then
    perform memory.raise_error(400, 'dimension_mismatch', 'A vector has the wrong number of dimensions for the active generation.',
      jsonb_build_object('dimensions', wrong, 'expected', dimension));
  end if;
  perform set_config('synchronous_commit', 'off', true);  -- a crash takes result and settlement together: it is owed still
  perform id from memory.memories where id in (select r.id from unnest(kinds, ids) r(kind, id) where r.kind = 'memory') order by id for no key update;
  perform id from memory.entities where id in (select r.id from unnest(kinds, ids) r(kind, id) where r.kind = 'entity') order by id for no key update;
  select coalesce(array_agg(r.id) filter (where r.version = coalesce(m.version, e.revision)), '{}'),
         coalesce(array_agg(r.id) filter (where m.id is null and e.id is null), '{}'),
         array_agg(coalesce(m.namespace, e.namespace) order by r.n),
         array_agg(r.id) filter (where r.kind = 'memory' and (m.id is null or m.version = r.version)),
         array_agg(r.id) filter (where r.kind = 'entity' and (e.id is null or e.revision = r.version))
  into fresh, gone, namespaces, memory_ids, entity_ids
  from unnest(kinds, ids, versions) with ordinality r(kind, id, version, n)
  left join memory.memories m on r.kind = 'memory' and m.id = r.id and m.deleted_at is null
  left join memory.entities e on r.kind = 'entity' and e.id = r.id and e.deleted_at is null;

  -- Passages that were cut again.
  if jsonb_path_exists(p, '$.rows[*].passages') then
    insert into memory.passages (memory_id, ordinal, version, namespace, text)
    select m.id, n - 1, m.version, m.namespace, t
    from jsonb_array_elements(p -> 'rows') r, memory.memories m, jsonb_array_elements_text(r -> 'passages') with ordinality x(t, n)
    where m.id = memory.as_uuid(r ->> 'id') and m.id = any (fresh) and jsonb_typeof(r -> 'passages') = 'array'
    on conflict (memory_id, ordinal) do update set version = excluded.version, namespace = excluded.namespace, text = excluded.text;
    delete from memory.passages q
    using jsonb_array_elements(p -> 'rows') r
    where q.memory_id = any (fresh) and q.memory_id = memory.as_uuid(r ->> 'id') and jsonb_typeof(r -> 'passages') = 'array'
      and q.ordinal >= jsonb_array_length(r -> 'passages');
  end if;
  delete from memory.passages where memory_id = any (gone);

  delete from memory.embeddings where kind = 'memory' and id = any (memory_ids);
  delete from memory.embeddings where kind = 'entity' and id = any (entity_ids);
  insert into memory.embeddings (kind, id, passage, generation, version, namespace, v)
  select r.kind, r.id, r.passage, p_generation, r.version, r.namespace, v.v
  from unnest(p_vectors) with ordinality v(v, n)
  join (
    select x.kind, x.id, x.version, x.namespace, g - 1 as passage, row_number() over (order by x.n, g) as n
    from unnest(kinds, ids, versions, namespaces, counts) with ordinality x(kind, id, version, namespace, count, n), generate_series(1, x.count) g
  ) r on r.n = v.n
  where r.id = any (fresh);

  with paid_rows as (
    update memory.ledger l
    set owed_number = null, owed_since = null, settled_revision = r.version, settled_version = r.version, settled_at = clock_timestamp(),
        attempts = 0, retry_at = null, last_error = null, parked_at = null, forced = null, hint = null
    from jsonb_to_recordset(p -> 'rows') r(kind text, id text, number bigint, version integer)
    where l.projection = 'embeddings' and l.kind = r.kind and l.id = r.id and l.owed_number = r.number
      and memory.as_uuid(r.id) = any (fresh || gone)
    returning 1
  )
  select count(*) into paid from paid_rows;
  return jsonb_build_object('stored', paid, 'superseded', jsonb_array_length(p -> 'rows') - paid);
end $$;

-- Stores vectors and settles the debt, in one transaction. A result made from an older version is refused; what is
-- forgotten or unknown loses its vectors.
--   {"generation", "rows": [{kind, id, number, version, vectors: how many, passages?}, …], "vectors": ["[…]", …]} -> {"stored": n, "superseded": n}
--   The vectors stand in the order of their rows. `passages` only where the text was cut again, to repair them.
create or replace function public.memory_store_embeddings_v1(input text) returns jsonb
language sql security definer set search_path = memory, extensions, public, pg_temp as $$
  select memory.store_embeddings(input::jsonb, array(select v::vector from jsonb_array_elements_text(input::jsonb -> 'vectors') with ordinality x(v, n) order by n))
$$;

-- The same with the vectors beside the JSON, as binary: for transports that can send it.
create or replace function public.memory_store_vectors_v1(input text, vectors vector[]) returns jsonb
language sql security definer set search_path = memory, extensions, public, pg_temp as $$
  select memory.store_embeddings(input::jsonb, vectors)
$$;

-- Moves one page of the tail into the vector index.  {"limit"} -> {"done": n}
create or replace function memory.fold_embeddings(p_limit integer) returns integer
language plpgsql as $$
declare
  n integer;
begin
  update memory.embeddings e set indexed = true
  from (
    select id, passage, generation, kind from memory.embeddings
    where not indexed and generation = (select id from memory.generations where state = 'active') limit p_limit for update skip locked
  ) t
  where e.id = t.id and e.passage = t.passage and e.generation = t.generation and e.kind = t.kind;
  get diagnostics n = row_count;
  return n;
end $$;
