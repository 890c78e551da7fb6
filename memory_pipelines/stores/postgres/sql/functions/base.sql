-- Foundations that every other function stands on. Nothing here is callable from outside.

-- Raises an error in the one form that survives every transport: SQLSTATE PTnnn, our code as JSON in the detail.
create or replace function memory.raise_error(status integer, code text, message text, detail jsonb default '{}') returns void
language plpgsql as $$
begin
  raise exception using errcode = 'PT' || status, message = message, detail = (detail || jsonb_build_object('code', code))::text;
end $$;

-- A hash that names something without revealing it: of a key or an entity's name, salted with this record's secret.
create or replace function memory.keyed_hash(variadic parts text[]) returns bytea language sql stable parallel safe
set search_path = memory, extensions, public, pg_temp as $$
  select sha256(convert_to((select value from memory.settings where name = 'pepper') || e'\x1f' || array_to_string(parts, e'\x1f', e'\x1e'), 'UTF8'))
$$;

-- Whether a subject is still what a failed row was charged for: the same revision for the graph, the same version for others.
create or replace function memory.unchanged_since(p_projection text, p_kind text, p_id text, p_seen integer) returns boolean language plpgsql as $$
begin
  return p_seen is not distinct from case p_kind
    when 'memory' then (select case p_projection when 'graph' then m.revision else m.version end from memory.memories m where m.id = memory.as_uuid(p_id))
    when 'entity' then (select e.revision from memory.entities e where e.id = memory.as_uuid(p_id))
    when 'relation' then (select r.revision from memory.relations r where r.id = memory.as_uuid(p_id))
  end;
end $$;

-- Owes subjects to a projection under new numbers. A row that is owed already keeps the time since when. One that has failed, parked
-- or not, starts anew if what it failed on has changed; else it keeps its attempts, and stays parked.
create or replace function memory.owe(p_projection text, p_kind text, p_ids uuid[]) returns void language sql as $$
  insert into memory.ledger as l (projection, kind, id, owed_number, owed_since)
  select p_projection, p_kind, i::text, nextval('memory.owings'), clock_timestamp() from (select distinct unnest(p_ids) as i order by 1) ids
  on conflict (projection, kind, id) do update
    set owed_number = excluded.owed_number, owed_since = coalesce(l.owed_since, excluded.owed_since),
        attempts = case when l.attempts > 0 and memory.unchanged_since(l.projection, l.kind, l.id, l.failed_seen) then l.attempts else 0 end,
        retry_at = case when l.attempts > 0 and memory.unchanged_since(l.projection, l.kind, l.id, l.failed_seen) then l.retry_at end,
        last_error = case when l.attempts > 0 and memory.unchanged_since(l.projection, l.kind, l.id, l.failed_seen) then l.last_error end,
        parked_at = case when l.attempts > 0 and memory.unchanged_since(l.projection, l.kind, l.id, l.failed_seen) then l.parked_at end
$$;

-- Settles subjects whose result was stored in this very transaction.
create or replace function memory.settle_now(p_projection text, p_kind text, p_ids uuid[], p_revision integer, p_version integer)
returns void language sql as $$
  update memory.ledger
  set owed_number = null, owed_since = null, settled_revision = p_revision, settled_version = p_version, settled_at = clock_timestamp(),
      attempts = 0, retry_at = null, last_error = null, parked_at = null, forced = null, hint = null
  where projection = p_projection and kind = p_kind and id = any (p_ids::text[])
$$;

-- `[[kind, id], …]` as the event stream carries it.
create or replace function memory.refs(p_kind text, p_ids uuid[]) returns jsonb language sql immutable as $$
  select coalesce(jsonb_agg(jsonb_build_array(p_kind, i)), '[]') from unnest(p_ids) i
$$;

-- A UUID, or null for what is none: repairs look at ids that came from elsewhere. Not `strict`, which would keep it from
-- being inlined, and no regular expression.
create or replace function memory.as_uuid(id text) returns uuid language sql immutable parallel safe as $$
  select case when id like '________-____-____-____-____________' and translate(id, '0123456789abcdefABCDEF', '') = '----' then id::uuid end
$$;

-- The UUIDs among some ids. Nearly always all of them are, and are cast at once: looking at each took a third of a claim.
create or replace function memory.as_uuids(ids text[]) returns uuid[] language plpgsql immutable parallel safe as $$
begin
  return ids::uuid[];
exception when invalid_text_representation then
  return array(select memory.as_uuid(i) from unnest(ids) i where memory.as_uuid(i) is not null);
end $$;

-- Milliseconds since 1970, as the graph holds times.
create or replace function memory.millis(at timestamptz) returns bigint language sql immutable strict parallel safe as $$
  select floor(extract(epoch from at - timestamptz '1970-01-01 00:00:00+00') * 1000)::bigint
$$;

-- The record says when an entity or a relation was last written, whoever writes it.
create or replace function memory.stamp_update() returns trigger language plpgsql as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end $$;
create or replace trigger entities_stamp before update on memory.entities for each row
  when (old.revision is distinct from new.revision) execute function memory.stamp_update();
create or replace trigger relations_stamp before update on memory.relations for each row
  when (old.revision is distinct from new.revision) execute function memory.stamp_update();
