-- What is known of one row: the record, what hangs on it here, the ledger, its attempts, the verdict that named it last.

-- Notes what became of a row that failed: each failure, and the settlement that ends them. Whoever fails or settles a row, the ledger
-- notices by itself; rows that never fail cost the comparison of two numbers. Ten attempts a row are kept.
create or replace function memory.note_attempt() returns trigger
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
begin
  insert into memory.attempts (projection, kind, id, outcome, attempt, error)
  values (new.projection, new.kind, new.id,
    case when new.attempts <= old.attempts then 'settled' when new.parked_at is not null then 'parked' else 'failed' end,
    greatest(new.attempts, old.attempts), case when new.attempts > old.attempts then new.last_error end);
  delete from memory.attempts a
  where a.projection = new.projection and a.kind = new.kind and a.id = new.id and a.n <= (
    select o.n from memory.attempts o where o.projection = new.projection and o.kind = new.kind and o.id = new.id order by o.n desc offset 10 limit 1);
  return null;
end $$;
create or replace trigger ledger_attempts after update of attempts on memory.ledger for each row
  when (new.attempts > old.attempts or (old.attempts > 0 and old.owed_number is not null and new.owed_number is null)) execute function memory.note_attempt();

-- Everything about one id, of whatever kind; the text only where it is asked for. An id that nobody knows has kind `unknown` and nothing.
--   {"id", "text"?: false} -> {kind, record|null, versions, links, embeddings, passages, ledger, attempts, verdict|null}
create or replace function public.memory_explain_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  p_id uuid := memory.as_uuid(p ->> 'id');
  shown boolean := coalesce((p ->> 'text')::boolean, false);
  m memory.memories;
  e memory.entities;
  r memory.relations;
  p_kind text := 'unknown';
  row_now jsonb;
  versions jsonb := '[]';
  links jsonb := '{}';
  named jsonb;
begin
  select * into m from memory.memories where id = p_id;
  select * into e from memory.entities where id = p_id;
  select * into r from memory.relations where id = p_id;
  if m.id is not null then
    p_kind := 'memory';
    row_now := jsonb_build_object('namespace', m.namespace, 'version', m.version, 'revision', m.revision, 'operation', m.operation,
      'created_at', m.created_at, 'updated_at', m.updated_at, 'expires_at', m.expires_at, 'deleted_at', m.deleted_at,
      'dh', (m.digest >> 32) & 4294967295, 'dl', m.digest & 4294967295, 'bucket', m.bucket, 'leaf', m.leaf)
      || case when shown then jsonb_build_object('text', m.text, 'key', m.key) else '{}' end;
    select coalesce(jsonb_agg(jsonb_build_object('version', h.version, 'revision', h.revision, 'operation', h.operation, 'at', h.at) order by h.version), '[]')
    into versions from (select * from memory.history where memory_id = p_id order by version desc limit 20) h;
    links := jsonb_build_object('mentions', (select count(*) from memory.mentions where memory_id = p_id), 'statements', (select count(*) from memory.statements where memory_id = p_id));
  elsif e.id is not null then
    p_kind := 'entity';
    row_now := jsonb_build_object('namespace', e.namespace, 'version', e.revision, 'revision', e.revision, 'type', e.type, 'created_at', e.created_at,
      'updated_at', e.updated_at, 'deleted_at', e.deleted_at, 'dh', (e.digest >> 32) & 4294967295, 'dl', e.digest & 4294967295, 'bucket', e.bucket, 'leaf', e.leaf)
      || case when shown then jsonb_build_object('name', e.name) else '{}' end;
    links := jsonb_build_object('mentions', (select count(*) from memory.mentions where entity_id = p_id));
  elsif r.id is not null then
    p_kind := 'relation';
    row_now := jsonb_build_object('namespace', r.namespace, 'version', r.revision, 'revision', r.revision, 'source', r.source_id, 'target', r.target_id,
      'created_at', r.created_at, 'updated_at', r.updated_at, 'deleted_at', r.deleted_at, 'dh', (r.digest >> 32) & 4294967295, 'dl', r.digest & 4294967295,
      'bucket', r.bucket, 'leaf', r.leaf) || case when shown then jsonb_build_object('predicate', r.predicate) else '{}' end;
    links := jsonb_build_object('statements', (select count(*) from memory.statements where relation_id = p_id));
  end if;
  select jsonb_build_object('at', v.at, 'mode', v.mode, 'verdict', v.id, 'findings', x.found) into named
  from memory.verdicts v, lateral (
    select jsonb_agg(f) as found from jsonb_array_elements(v.findings) f
    where f ->> 'id' in (p ->> 'id') or f ->> 'id' like (p ->> 'id') || '#%' or f -> 'hint' ->> 'owner' = p ->> 'id'
      or (f ->> 'subject' = 'mention' and f -> 'hint' ->> 'source' = p ->> 'id')
  ) x
  where x.found is not null and v.id > (select max(id) - 100 from memory.verdicts) order by v.id desc limit 1;
  return jsonb_build_object('kind', p_kind, 'record', row_now, 'versions', versions, 'links', links, 'verdict', named,
    'embeddings', (select coalesce(jsonb_agg(jsonb_build_object('passage', b.passage, 'version', b.version, 'generation', b.generation,
        'dimensions', vector_dims(b.v), 'indexed', b.indexed) order by b.generation, b.passage), '[]') from memory.embeddings b where b.id = p_id),
    'passages', (select coalesce(jsonb_agg(jsonb_build_object('ordinal', q.ordinal, 'version', q.version, 'characters', length(q.text)) order by q.ordinal), '[]')
      from memory.passages q where q.memory_id = p_id),
    'ledger', (select coalesce(jsonb_agg(jsonb_build_object('projection', l.projection, 'kind', l.kind, 'owed_number', l.owed_number, 'owed_since', l.owed_since,
        'settled_revision', l.settled_revision, 'settled_version', l.settled_version, 'settled_marker', l.settled_marker, 'settled_at', l.settled_at,
        'attempts', l.attempts, 'retry_at', l.retry_at, 'last_error', l.last_error, 'parked_at', l.parked_at, 'forced', l.forced) order by l.projection), '[]')
      from memory.ledger l where l.projection = any (array['entities', 'embeddings', 'graph']) and l.kind = any (array['memory', 'entity', 'relation']) and l.id = p ->> 'id'),
    'attempts', (select coalesce(jsonb_agg(jsonb_build_object('at', a.at, 'projection', a.projection, 'outcome', a.outcome, 'attempt', a.attempt, 'error', a.error) order by a.n), '[]')
      from (select * from memory.attempts t where t.projection = any (array['entities', 'embeddings', 'graph'])
        and t.kind = any (array['memory', 'entity', 'relation']) and t.id = p ->> 'id' order by n desc limit 10) a),
    'newest_verdict', (select jsonb_build_object('at', v.at, 'mode', v.mode, 'clean', v.clean) from memory.verdicts v order by v.id desc limit 1));
end $$;
