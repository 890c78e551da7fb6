-- Made by `make migrations` from memory_pipelines/stores/postgres/sql: change it there.
-- Either the Supabase CLI applies these files, or `memory-pipelines migrate` does the same; both keep the same account of it.
set search_path = public, extensions;
set check_function_bodies = off;

-- What is known of a failure, beside the row that it is charged to. Where `attempts` is 0 none of it means anything: paying a debt
-- does not wipe it, so that settling stays as cheap as it was.
alter table memory.ledger
  add column first_failed_at timestamptz,
  add column last_failed_at timestamptz,
  add column error_code text,
  add column tokens_spent bigint not null default 0,
  add column failed_seen integer,    -- the revision (graph) or version (others) that failed: only another one releases the row
  add column dropped_at timestamptz; -- of a parked row: since when its debt is given up knowingly
create index ledger_parked on memory.ledger (owed_number) where parked_at is not null;

-- Entries of the stream that could not be read, with what they held: parked before they are acknowledged.
create table memory.dead_events (
  id bigint primary key generated always as identity,
  projection text not null,
  entry text not null,
  payload text not null,
  problem text not null,
  at timestamptz not null default now()
);
-- An entry that was parked and not acknowledged comes again. A stream that starts over counts anew, so the payload is part of it.
create unique index dead_events_once on memory.dead_events (projection, entry, md5(payload));

create table if not exists memory.migrations (version integer primary key, name text not null, applied_at timestamptz not null default now());
insert into memory.migrations (version, name) values (4, '0004_dead_letters');

reset check_function_bodies;
reset search_path;
notify pgrst, 'reload schema';
