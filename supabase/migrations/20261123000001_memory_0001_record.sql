-- Made by `make migrations` from memory_pipelines/stores/postgres/sql: change it there.
-- Either the Supabase CLI applies these files, or `memory-pipelines migrate` does the same; both keep the same account of it.
set search_path = public, extensions;
set check_function_bodies = off;

-- The record: everything that must never be lost. Functions, grants and row level security follow in ../functions.
-- There are no foreign keys on purpose: the functions are the only writers, tombstones are never removed, and a key
-- check on every save would make each one lock its namespace's row.

create schema if not exists memory;

do $$
begin
  if not exists (select from pg_extension where extname = 'vector') then
    if exists (select from pg_namespace where nspname = 'extensions') then
      create extension vector schema extensions;
    else
      create extension vector schema public;
    end if;
  end if;
end $$;

-- Facts about this record: its identity, and the secret that hashes of names and keys are made with.
create table memory.settings (
  name text primary key,
  value text not null
);
insert into memory.settings values
  ('identity', gen_random_uuid()::text),
  ('pepper', gen_random_uuid()::text || gen_random_uuid()::text);

-- Three kinds of generated columns serve audits. They are written out, of built-in functions only, because a function of
-- our own in a generated column is called for every row (measured: an insert of 177 us instead of 40 us).
--   bucket  which 1/4096th of a kind an id belongs to: the first 12 bits of its sha256
--   leaf    which 1/256th of its bucket: the 8 bits after those. `<<`, `>>` and `|` have one precedence: each needs its parentheses
--   digest  64 bits over what a projection must show of the row; it travels as two halves, because no JSON number may
--           exceed 2^53 and sums of 32-bit halves stay exact in every graph engine

create table memory.namespaces (
  name text primary key,
  created_at timestamptz not null default now()
);

-- One row a memory, for ever. A tombstone keeps id, namespace, numbers, times and the key's hash; nothing a person wrote.
create table memory.memories (
  id uuid primary key,
  namespace text not null,
  key text,
  key_hash bytea,
  thread text,
  text text,
  metadata jsonb not null default '{}',
  source text,
  given jsonb,
  operation text not null,
  version integer not null,
  revision integer not null,
  content_hash bytea,
  created_at timestamptz not null,
  created_given boolean not null default false,
  updated_at timestamptz not null default now(),
  expires_at timestamptz,
  deleted_at timestamptz,
  bucket smallint not null generated always as ((get_byte(sha256(uuid_send(id)), 0) << 4) | (get_byte(sha256(uuid_send(id)), 1) >> 4)) stored,
  leaf smallint not null generated always as (((get_byte(sha256(uuid_send(id)), 1) & 15) << 4) | (get_byte(sha256(uuid_send(id)), 2) >> 4)) stored,
  digest bigint not null generated always as (
    hashtextextended(id::text || revision || ':' || extract(epoch from created_at - timestamptz '1970-01-01 00:00:00+00')
      || ':' || coalesce(encode(content_hash, 'hex'), '') || ':' || namespace, 0)
  ) stored,
  check ((deleted_at is null) = (text is not null))
);
create unique index memories_key on memory.memories (key_hash) where key_hash is not null;
create index memories_newest on memory.memories (namespace, created_at desc, id desc) where deleted_at is null;
create index memories_thread on memory.memories (namespace, thread, created_at desc) where thread is not null and deleted_at is null;
create index memories_expiry on memory.memories (expires_at) where expires_at is not null and deleted_at is null;
create index memories_bucket on memory.memories (bucket);

-- Versions that were replaced; the present one is the memory's own row. After a forget only numbers and times remain.
create table memory.history (
  memory_id uuid not null,
  version integer not null,
  revision integer not null,
  operation text not null,
  at timestamptz not null,
  text text,
  metadata jsonb,
  thread text,
  source text,
  primary key (memory_id, version)
);

-- Pieces of a text that are searched by words and by meaning.
create table memory.passages (
  memory_id uuid not null,
  ordinal smallint not null,
  version integer not null,
  namespace text not null,
  text text not null,
  words tsvector not null generated always as (to_tsvector('english', text)) stored,
  primary key (memory_id, ordinal)
);
create index passages_words on memory.passages using gin (words);
create index passages_namespace on memory.passages (namespace);

-- An embedding model in use. One is active; the others are being built or retired.
create table memory.generations (
  id smallint primary key generated always as identity,
  model text not null,
  dimensions integer not null,
  state text not null check (state in ('building', 'active', 'retired')),
  created_at timestamptz not null default now()
);
create unique index generations_active on memory.generations ((true)) where state = 'active';

-- Vectors in a table of their own, so that the vector index never slows a save. A new row waits outside that index
-- (`indexed` false) and is scanned exactly; maintenance folds it in.
create table memory.embeddings (
  kind text not null check (kind in ('memory', 'entity')),
  id uuid not null,
  passage smallint not null,
  generation smallint not null,
  version integer not null,
  namespace text not null,
  indexed boolean not null default false,
  v vector not null,
  primary key (id, passage, generation, kind)
);
-- Vectors of some hundred dimensions stay in the row: a scan of a namespace must not fetch each one from elsewhere.
alter table memory.embeddings alter column v set storage main;
create index embeddings_namespace on memory.embeddings (namespace, generation, kind, indexed);

create table memory.entities (
  id uuid primary key default gen_random_uuid(),
  namespace text not null,
  name text,
  type text,
  name_key text,
  name_hash bytea not null unique,
  revision integer not null default 1,
  created_at timestamptz not null default now(),
  deleted_at timestamptz,
  bucket smallint not null generated always as ((get_byte(sha256(uuid_send(id)), 0) << 4) | (get_byte(sha256(uuid_send(id)), 1) >> 4)) stored,
  leaf smallint not null generated always as (((get_byte(sha256(uuid_send(id)), 1) & 15) << 4) | (get_byte(sha256(uuid_send(id)), 2) >> 4)) stored,
  digest bigint not null generated always as (
    hashtextextended(id::text || revision || ':' || coalesce(type, '') || ':' || coalesce(name, '') || ':' || namespace, 0)
  ) stored,
  check ((deleted_at is null) = (name is not null))
);
create index entities_bucket on memory.entities (bucket);
create index entities_namespace on memory.entities (namespace) where deleted_at is null;

-- Which memory mentions which entity: said by its caller, found by extraction, or both. Gone when neither holds.
create table memory.mentions (
  memory_id uuid not null,
  entity_id uuid not null,
  given boolean not null default false,
  extracted boolean not null default false,
  version integer not null,
  valid_from timestamptz not null,
  valid_to timestamptz,
  digest bigint not null generated always as (hashtextextended(memory_id::text || entity_id, 0)) stored,
  primary key (memory_id, entity_id)
);
create index mentions_entity on memory.mentions (entity_id);

create table memory.relations (
  id uuid primary key default gen_random_uuid(),
  namespace text not null,
  source_id uuid not null,
  predicate text,
  target_id uuid not null,
  name_hash bytea not null unique,
  revision integer not null default 1,
  created_at timestamptz not null default now(),
  deleted_at timestamptz,
  bucket smallint not null generated always as ((get_byte(sha256(uuid_send(source_id)), 0) << 4) | (get_byte(sha256(uuid_send(source_id)), 1) >> 4)) stored,
  leaf smallint not null generated always as (((get_byte(sha256(uuid_send(source_id)), 1) & 15) << 4) | (get_byte(sha256(uuid_send(source_id)), 2) >> 4)) stored,
  digest bigint not null generated always as (
    hashtextextended(id::text || source_id || target_id || revision || ':' || coalesce(predicate, '') || ':' || namespace, 0)
  ) stored,
  check ((deleted_at is null) = (predicate is not null))
);
create index relations_bucket on memory.relations (bucket);

-- Which memory states which relation, and when that held.
create table memory.statements (
  relation_id uuid not null,
  memory_id uuid not null,
  given boolean not null default false,
  extracted boolean not null default false,
  version integer not null,
  valid_from timestamptz not null,
  valid_to timestamptz,
  primary key (relation_id, memory_id)
);
create index statements_memory on memory.statements (memory_id);

-- The ledger: per projection and subject, owed since when under which number, or settled at which revision under which
-- marker. Kept for ever; written in the transaction that creates or pays the debt.
create sequence memory.owings as bigint;
create table memory.ledger (
  projection text not null,
  kind text not null,
  id text not null,
  owed_number bigint,
  owed_since timestamptz,
  settled_revision integer,
  settled_version integer,
  settled_marker bigint,
  settled_at timestamptz,
  attempts integer not null default 0,
  retry_at timestamptz,
  last_error text,
  parked_at timestamptz,
  forced integer,
  hint jsonb,
  primary key (projection, kind, id)
) with (fillfactor = 80);
create index ledger_owed on memory.ledger (projection, owed_number) where owed_number is not null;
-- What a graph that was rolled back has lost is found without reading what it has not.
create index ledger_marker on memory.ledger (settled_marker) where projection = 'graph' and settled_marker is not null;

-- Batches are numbered by claims; the highest graph marker that a settlement stored is the line below which the graph
-- must never be seen again. Claims up to `void_claim` may have been applied to a graph that has been rolled back since.
create sequence memory.claims as bigint;
create table memory.graph_state (
  singleton boolean primary key default true check (singleton),
  settled_marker bigint not null default 0,
  void_claim bigint not null default 0
);
insert into memory.graph_state default values;

-- Which claim settled under which marker, of late: a marker that two of them were given proves a rollback in between.
create table memory.graph_batches (
  marker bigint primary key,
  claim bigint not null
);

-- Who drains a projection. A holder that stopped beating holds nothing.
create table memory.heartbeats (
  projection text primary key,
  holder text,
  beat_at timestamptz,
  lease_until timestamptz
);

create table memory.verdicts (
  id bigint primary key generated always as identity,
  at timestamptz not null default now(),
  mode text not null,
  clean boolean not null,
  checked jsonb not null,
  pending integer not null,
  kinds jsonb not null,
  findings jsonb not null,
  seconds double precision not null,
  repaired integer not null default 0
);

create table if not exists memory.migrations (version integer primary key, name text not null, applied_at timestamptz not null default now());
insert into memory.migrations (version, name) values (1, '0001_record');

reset check_function_bodies;
reset search_path;
notify pgrst, 'reload schema';
