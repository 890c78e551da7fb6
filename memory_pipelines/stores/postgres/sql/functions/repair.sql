-- Repair by plan, and outside edits that become part of the record. A row is owed, or an edit adopted, only while the record shows
-- what the plan saw; that is checked under the rows' locks, in the transaction that owes. Locks in the order of `entities.sql`.

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

-- Links in which an entity that a person has renamed is named as it was found, whichever of its names the text uses.
create or replace function memory.resolve_names(p_rows jsonb) returns jsonb language plpgsql stable as $$
declare
  renamed jsonb;
begin
  if not exists (select from memory.entity_names) then
    return p_rows;
  end if;
  select jsonb_object_agg(w.namespace || e'\x1f' || w.key, n.found_as) into renamed
  from (
    select distinct r ->> 'namespace' as namespace, e ->> 'key' as key from jsonb_array_elements(p_rows) r, jsonb_array_elements(r -> 'entities') e
  ) w
  join memory.entity_names n on n.name_hash = memory.keyed_hash('entity', w.namespace, w.key);
  if renamed is null then
    return p_rows;
  end if;
  return (
    select jsonb_agg(r || jsonb_build_object(
      'entities', (
        select coalesce(jsonb_agg(e || jsonb_build_object('key', coalesce(renamed ->> (space || (e ->> 'key')), e ->> 'key')) order by i), '[]')
        from jsonb_array_elements(r -> 'entities') with ordinality y(e, i)),
      'relations', (
        select coalesce(jsonb_agg(x || jsonb_build_object('source_key', source, 'target_key', target) order by i), '[]')
        from jsonb_array_elements(r -> 'relations') with ordinality y(x, i),
          lateral (select coalesce(renamed ->> (space || (x ->> 'source_key')), x ->> 'source_key') as source,
                          coalesce(renamed ->> (space || (x ->> 'target_key')), x ->> 'target_key') as target) k
        where source <> target or x ->> 'source_key' = x ->> 'target_key')  -- two names of one entity are no relation
      ) order by n)
    from jsonb_array_elements(p_rows) with ordinality z(r, n), lateral (select (r ->> 'namespace') || e'\x1f' as space) q
  );
end $$;

-- Which entity a name means, alive or not.
create or replace function memory.entity_named(p_namespace text, p_key text) returns uuid language sql stable as $$
  select coalesce((select n.entity_id from memory.entity_names n where n.name_hash = h), (select e.id from memory.entities e where e.name_hash = h))
  from memory.keyed_hash('entity', p_namespace, p_key) h
$$;

-- What becomes of outside edits, of every namespace.  {} -> [{namespace, outside_edits}, …]
create or replace function public.memory_policies_v1(input text) returns jsonb
language sql stable security definer set search_path = memory, extensions, public, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_object('namespace', name, 'outside_edits', outside_edits) order by name), '[]') from memory.namespaces
$$;

-- Says what becomes of outside edits.  {"namespace", "outside_edits": record-wins|adopt} -> {namespace, outside_edits}
create or replace function public.memory_set_policy_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
begin
  perform memory.known_namespace(p ->> 'namespace');
  if p ->> 'outside_edits' is null or p ->> 'outside_edits' not in ('record-wins', 'adopt') then
    perform memory.raise_error(400, 'policy_unknown', 'A policy is `record-wins` or `adopt`.');
  end if;
  update memory.namespaces set outside_edits = p ->> 'outside_edits' where name = p ->> 'namespace';
  return jsonb_build_object('namespace', p ->> 'namespace', 'outside_edits', p ->> 'outside_edits');
end $$;
