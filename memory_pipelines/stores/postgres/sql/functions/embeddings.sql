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

-- Stores vectors and settles the debt, in one transaction. A result made from an older version is refused; what is
-- forgotten or unknown loses its vectors.
--   {"generation", "rows": [{kind, id, number, version, passages?}, …], "vectors": [{k: kind, i: id, n: passage, v: "[…]"}, …]}
--   or "staged" and "staged_rows": the batch of `staged_vectors` that holds so many vectors. `passages` only where the text was
--   cut again, to repair them.   -> {"stored": n, "superseded": n}
create or replace function public.memory_store_embeddings_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  p_generation smallint := (p ->> 'generation')::smallint;
  dimension integer := (select dimensions from memory.generations where id = p_generation);
  wrong jsonb;
  memory_ids uuid[];
  entity_ids uuid[];
  gone_memories uuid[];
  gone_entities uuid[];
  paid integer;
begin
  -- Between COPY and this call the server may have crashed, or a forget removed what it forgot.
  if (select count(*) from memory.staged_vectors where batch = (p ->> 'staged')::uuid) <> (p ->> 'staged_rows')::integer then
    perform memory.raise_error(503, 'record_unavailable', 'The staged vectors are not all there any more. The batch is still owed.');
  end if;
  perform id from memory.memories
  where id in (select memory.as_uuid(r.id) from jsonb_to_recordset(p -> 'rows') r(kind text, id text) where r.kind = 'memory')
  order by id for no key update;
  perform id from memory.entities
  where id in (select memory.as_uuid(r.id) from jsonb_to_recordset(p -> 'rows') r(kind text, id text) where r.kind = 'entity')
  order by id for no key update;

  select coalesce(array_agg(m.id), '{}') into memory_ids
  from jsonb_to_recordset(p -> 'rows') r(kind text, id text, version integer) join memory.memories m on m.id = memory.as_uuid(r.id)
  where r.kind = 'memory' and m.deleted_at is null and m.version = r.version;
  select coalesce(array_agg(e.id), '{}') into entity_ids
  from jsonb_to_recordset(p -> 'rows') r(kind text, id text, version integer) join memory.entities e on e.id = memory.as_uuid(r.id)
  where r.kind = 'entity' and e.deleted_at is null and e.revision = r.version;
  select coalesce(array_agg(memory.as_uuid(r.id)) filter (where r.kind = 'memory'), '{}'),
         coalesce(array_agg(memory.as_uuid(r.id)) filter (where r.kind = 'entity'), '{}')
  into gone_memories, gone_entities
  from jsonb_to_recordset(p -> 'rows') r(kind text, id text)
  left join memory.memories m on r.kind = 'memory' and m.id = memory.as_uuid(r.id) and m.deleted_at is null
  left join memory.entities e on r.kind = 'entity' and e.id = memory.as_uuid(r.id) and e.deleted_at is null
  where m.id is null and e.id is null;

  -- Passages that were cut again.
  insert into memory.passages (memory_id, ordinal, version, namespace, text)
  select m.id, n - 1, m.version, m.namespace, t
  from jsonb_array_elements(p -> 'rows') r, memory.memories m, jsonb_array_elements_text(r -> 'passages') with ordinality x(t, n)
  where m.id = memory.as_uuid(r ->> 'id') and m.id = any (memory_ids) and jsonb_typeof(r -> 'passages') = 'array'
  on conflict (memory_id, ordinal) do update set version = excluded.version, namespace = excluded.namespace, text = excluded.text;
  delete from memory.passages q
  using jsonb_array_elements(p -> 'rows') r
  where q.memory_id = any (memory_ids) and q.memory_id = memory.as_uuid(r ->> 'id') and jsonb_typeof(r -> 'passages') = 'array'
    and q.ordinal >= jsonb_array_length(r -> 'passages');
  delete from memory.passages where memory_id = any (gone_memories);

  delete from memory.embeddings where kind = 'memory' and id = any (memory_ids || gone_memories);
  delete from memory.embeddings where kind = 'entity' and id = any (entity_ids || gone_entities);
  insert into memory.embeddings (kind, id, passage, generation, version, namespace, v)
  select x.k, x.i, x.n, p_generation, coalesce(m.version, e.revision), coalesce(m.namespace, e.namespace), x.v
  from (
    select j.k, j.i, j.n, j.v::vector from jsonb_to_recordset(p -> 'vectors') j(k text, i uuid, n smallint, v text)
    union all
    select kind, id, passage, v from memory.staged_vectors where batch = (p ->> 'staged')::uuid
  ) x(k, i, n, v)
  left join memory.memories m on x.k = 'memory' and m.id = x.i and m.id = any (memory_ids)
  left join memory.entities e on x.k = 'entity' and e.id = x.i and e.id = any (entity_ids)
  where m.id is not null or e.id is not null;

  select jsonb_build_object('id', e.id, 'dimensions', vector_dims(e.v), 'expected', dimension) into wrong
  from memory.embeddings e where e.id = any (memory_ids || entity_ids) and vector_dims(e.v) <> dimension limit 1;
  delete from memory.staged_vectors where batch = (p ->> 'staged')::uuid;
  if wrong is not null then
    perform memory.raise_error(400, 'dimension_mismatch', 'A vector has the wrong number of dimensions for the active generation.', wrong);
  end if;

  with paid_rows as (
    update memory.ledger l
    set owed_number = null, owed_since = null, settled_revision = r.version, settled_version = r.version, settled_at = clock_timestamp(),
        attempts = 0, retry_at = null, last_error = null, parked_at = null, forced = null, hint = null
    from jsonb_to_recordset(p -> 'rows') r(kind text, id text, number bigint, version integer)
    where l.projection = 'embeddings' and l.kind = r.kind and l.id = r.id and l.owed_number = r.number
      and memory.as_uuid(r.id) = any (case r.kind when 'memory' then memory_ids || gone_memories else entity_ids || gone_entities end)
    returning 1
  )
  select count(*) into paid from paid_rows;
  return jsonb_build_object('stored', paid, 'superseded', jsonb_array_length(p -> 'rows') - paid);
end $$;

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
