-- Made by `make migrations` from memory_pipelines/stores/postgres/sql: change it there.
-- Either the Supabase CLI applies these files, or `memory-pipelines migrate` does the same; both keep the same account of it.
set search_path = public, extensions;
set check_function_bodies = off;

-- Audits that can be interrupted, that know when the last one began, and what a row went through.

-- When the rows of entities and relations were last written; memories have it already.
alter table memory.entities add column if not exists updated_at timestamptz not null default now();
alter table memory.relations add column if not exists updated_at timestamptz not null default now();

-- A verdict says what it cost. `marker` is the graph's settled marker when its round began: an incremental round takes what
-- was settled above it. `more` findings were counted and not kept.
alter table memory.verdicts
  add column started_at timestamptz,
  add column marker bigint,
  add column more integer not null default 0,
  add column bytes bigint not null default 0,
  add column paused_seconds double precision not null default 0,
  add column resumed boolean not null default false;

-- How far a deep audit has come: one round at a time. The row goes when its verdict is kept.
create table memory.audit_rounds (
  mode text primary key,
  round bigint not null generated always as identity,
  started_at timestamptz not null default clock_timestamp(),
  at timestamptz not null default clock_timestamp(),
  marker bigint not null,
  step text,
  place text,
  tally jsonb not null default '{}',
  findings jsonb not null default '[]'
);

-- What became of rows that failed: written by a trigger on the ledger (functions/explain.sql), for failures and for the
-- settlement after them only, so that a row which never fails costs nothing. Ten a row are kept.
create table memory.attempts (
  projection text not null,
  kind text not null,
  id text not null,
  n bigint generated always as identity,
  at timestamptz not null default clock_timestamp(),
  outcome text not null,
  attempt integer not null,
  error text,
  primary key (projection, kind, id, n)
);

create table if not exists memory.migrations (version integer primary key, name text not null, applied_at timestamptz not null default now());
insert into memory.migrations (version, name) values (2, '0002_audit');

reset check_function_bodies;
reset search_path;
notify pgrst, 'reload schema';
