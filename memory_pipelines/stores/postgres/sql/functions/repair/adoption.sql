-- Edits that somebody made in the graph, taken into the record as revisions of their own where a namespace's policy says so, and only while
-- the record shows what the plan saw; that is checked under the rows' locks, in the order of `entities/links.sql`.

-- Makes outside edits part of the record: new revisions with their origin, owed like any other write, each only while the record shows
-- what the plan saw and the namespace adopts.
--   {"identity", "rows": [{change: edit, id, revision, fields: {name?, key?, type?, aliases?, summary?}}
--                       | {change: add, source, target, source_revision, target_revision, predicate} | {change: remove, id, revision}, …]}
--   -> {"rows": [{outcome: adopted|held|refused, reason?, id?, revision?}, …], "touched": [[kind, id], …]}; `held` means that the record says so already
create or replace function public.memory_adopt_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  item jsonb;
  result jsonb;
  results jsonb := '[]';
  touched jsonb := '[]';
begin
  perform memory.same_record(p ->> 'identity');
  perform id from memory.entities
  where id in (
    select memory.as_uuid(i) from jsonb_array_elements(p -> 'rows') r, unnest(array[r ->> 'id', r ->> 'source', r ->> 'target']) i
    where r ->> 'change' in ('edit', 'add')
  ) order by id for update;
  perform id from memory.relations
  where id in (select memory.as_uuid(r ->> 'id') from jsonb_array_elements(p -> 'rows') r where r ->> 'change' = 'remove') order by id for update;
  for item in select value from jsonb_array_elements(p -> 'rows') loop
    result := case item ->> 'change' when 'edit' then memory.adopt_edit(item) when 'add' then memory.adopt_added(item) when 'remove' then memory.adopt_removed(item) end;
    if result is null then
      perform memory.raise_error(400, 'plan_invalid', 'A change that is adopted is an edit, an addition or a removal.');
    end if;
    results := results || jsonb_build_array(result - 'touched');
    touched := touched || coalesce(result -> 'touched', '[]');
  end loop;
  return jsonb_build_object('rows', results, 'touched', touched);
end $$;

create or replace function memory.refused(p_reason text) returns jsonb language sql immutable as $$
  select jsonb_build_object('outcome', 'refused', 'reason', p_reason)
$$;

create or replace function memory.adopts(p_namespace text) returns boolean language sql stable as $$
  select exists (select from memory.namespaces where name = p_namespace and outside_edits = 'adopt')
$$;

-- Whether the graph had this revision of a row, and nothing is on its way there: only then is a difference somebody's deed.
create or replace function memory.shown_at(p_kind text, p_id uuid, p_revision integer) returns boolean language sql stable as $$
  select exists (select from memory.ledger where projection = 'graph' and kind = p_kind and id = p_id::text and owed_number is null and settled_revision = p_revision)
$$;

-- Curated fields of an entity, as a person left them in the graph.
create or replace function memory.adopt_edit(item jsonb) returns jsonb language plpgsql as $$
declare
  e memory.entities;
  f jsonb := item -> 'fields';
  hash bytea;
begin
  select * into e from memory.entities where id = memory.as_uuid(item ->> 'id');
  if e.id is null or e.deleted_at is not null or e.revision <> (item ->> 'revision')::integer or not memory.shown_at('entity', e.id, e.revision) then
    return memory.refused('changed');
  elsif not memory.adopts(e.namespace) then
    return memory.refused('policy');
  end if;
  if f ? 'name' then
    hash := memory.keyed_hash('entity', e.namespace, f ->> 'key');
    if exists (select from memory.entities where name_hash = hash and id <> e.id and deleted_at is null)
      or exists (select from memory.entity_names where name_hash = hash and entity_id <> e.id) then
      return memory.refused('name_taken');
    end if;
    if hash <> e.name_hash then
      insert into memory.entity_names (name_hash, entity_id, found_as)
      values (hash, e.id, coalesce((select found_as from memory.entity_names where entity_id = e.id limit 1), e.name_key))
      on conflict (name_hash) do nothing;
    end if;
  end if;
  update memory.entities
  set name = coalesce(f ->> 'name', name), name_key = coalesce(f ->> 'key', name_key), type = coalesce(f ->> 'type', type),
      aliases = case when f ? 'aliases' then array(select jsonb_array_elements_text(f -> 'aliases')) else aliases end,
      summary = case when f ? 'summary' then f ->> 'summary' else summary end,
      curated = array(select distinct c from unnest(curated || array(select jsonb_object_keys(f - 'key'))) c order by c), revision = revision + 1
  where id = e.id;
  insert into memory.adoptions (change, kind, subject, revision, entities, before)
  values ('edit', 'entity', e.id, e.revision + 1, array[e.id],
    (select jsonb_object_agg(k, to_jsonb(e) -> k) from jsonb_object_keys(f - 'key') k));
  perform memory.owe('graph', 'entity', array[e.id]);
  perform memory.owe('embeddings', 'entity', array[e.id]);
  return jsonb_build_object('outcome', 'adopted', 'id', e.id, 'revision', e.revision + 1, 'touched', memory.refs('entity', array[e.id]));
end $$;

-- A relation that a person drew between two entities of the record.
create or replace function memory.adopt_added(item jsonb) returns jsonb language plpgsql as $$
declare
  s memory.entities;
  t memory.entities;
  x memory.relations;
  hash bytea;
begin
  select * into s from memory.entities where id = memory.as_uuid(item ->> 'source') and deleted_at is null;
  select * into t from memory.entities where id = memory.as_uuid(item ->> 'target') and deleted_at is null;
  if s.id is null or t.id is null or s.namespace <> t.namespace
    or s.revision <> (item ->> 'source_revision')::integer or t.revision <> (item ->> 'target_revision')::integer then
    return memory.refused('changed');
  elsif not memory.adopts(s.namespace) then
    return memory.refused('policy');
  end if;
  hash := memory.keyed_hash('relation', s.id::text, item ->> 'predicate', t.id::text);
  insert into memory.relations as r (namespace, source_id, predicate, target_id, name_hash, adopted_at)
  values (s.namespace, s.id, item ->> 'predicate', t.id, hash, clock_timestamp()) on conflict (name_hash) do nothing
  returning r.* into x;
  if x.id is null then
    select * into x from memory.relations where name_hash = hash for update;
    if x.deleted_at is null then
      return jsonb_build_object('outcome', 'held', 'id', x.id, 'revision', x.revision);
    end if;
    update memory.relations set predicate = item ->> 'predicate', deleted_at = null, adopted_at = clock_timestamp(), revision = revision + 1
    where id = x.id returning * into x;
  end if;
  delete from memory.retractions where relation_id = x.id;
  insert into memory.adoptions (change, kind, subject, revision, entities) values ('add', 'relation', x.id, x.revision, array[s.id, t.id]);
  perform memory.owe('graph', 'relation', array[x.id]);
  return jsonb_build_object('outcome', 'adopted', 'id', x.id, 'revision', x.revision, 'touched', memory.refs('relation', array[x.id]));
end $$;

-- A relation that a person took away: it loses every support that it has.
create or replace function memory.adopt_removed(item jsonb) returns jsonb language plpgsql as $$
declare
  x memory.relations;
begin
  select * into x from memory.relations where id = memory.as_uuid(item ->> 'id');
  if x.id is null or x.deleted_at is not null or x.revision <> (item ->> 'revision')::integer or not memory.shown_at('relation', x.id, x.revision) then
    return memory.refused('changed');
  elsif not memory.adopts(x.namespace) then
    return memory.refused('policy');
  end if;
  insert into memory.adoptions (change, kind, subject, revision, entities, before)
  values ('remove', 'relation', x.id, x.revision + 1, array[x.source_id, x.target_id], jsonb_build_object('predicate', x.predicate,
    'memories', (select coalesce(jsonb_agg(jsonb_build_array(memory_id, given, extracted) order by memory_id), '[]') from memory.statements where coalesce(shown_id, relation_id) = x.id)));
  -- Also what it was named between entities that are merged into these: an undone merge must not bring it back.
  insert into memory.retractions (relation_id)
  select x.id union select relation_id from memory.statements where shown_id = x.id
  on conflict (relation_id) do update set at = excluded.at;
  delete from memory.statements where coalesce(shown_id, relation_id) = x.id;
  update memory.relations set revision = revision + 1, deleted_at = clock_timestamp(), predicate = null, adopted_at = null where id = x.id;
  perform memory.owe('graph', 'relation', array[x.id]);
  return jsonb_build_object('outcome', 'adopted', 'id', x.id, 'revision', x.revision + 1, 'touched', memory.refs('relation', array[x.id]));
end $$;

-- Entities are being deleted: nothing that a person wrote of them stays, and no relation that was drawn to one by hand.
-- Returns the relations that go with them.
create or replace function memory.drop_curated(p_entities uuid[]) returns uuid[] language plpgsql as $$
declare
  gone uuid[];
begin
  delete from memory.entity_names where entity_id = any (p_entities);
  update memory.adoptions set before = null where entities && p_entities and before is not null;
  with dropped as (
    update memory.relations r set revision = r.revision + 1, deleted_at = clock_timestamp(), predicate = null, adopted_at = null
    where r.adopted_at is not null and (r.source_id = any (p_entities) or r.target_id = any (p_entities))
      and not exists (select from memory.statements s where coalesce(s.shown_id, s.relation_id) = r.id)
    returning r.id
  )
  select coalesce(array_agg(id), '{}') into gone from dropped;
  return gone;
end $$;
