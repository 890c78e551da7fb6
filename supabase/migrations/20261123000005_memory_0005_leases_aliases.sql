-- Made by `make migrations` from memory_pipelines/stores/postgres/sql: change it there.
-- Either the Supabase CLI applies these files, or `memory-pipelines migrate` does the same; both keep the same account of it.
set search_path = public, extensions;
set check_function_bodies = off;

-- Leases with fencing numbers, and names that mean another entity.

-- A lease is a heartbeat with a number: each time it is granted it takes a new one, and a writer that presents an older one is
-- refused. `fence` is unique so that it counts as a key of the row: granting then conflicts with `for key share`, which a writer
-- holds until it commits, and renewing (which leaves the number alone) does not.
create sequence memory.fences as bigint;
alter table memory.heartbeats add column fence bigint unique;

-- Entities that were merged into another. The entity's own row is a tombstone meanwhile; what it was called stands here for as
-- long as some memory says that name, or one that was merged into it.
--   parent_id   what it was merged into      entity_id   what it is shown as: the end of the chain of parents
create table memory.aliases (
  alias_id uuid primary key,
  namespace text not null,
  parent_id uuid not null,
  entity_id uuid not null,
  name text,
  type text,
  name_key text,
  merged_at timestamptz not null default clock_timestamp(),
  merged_by text,
  check (alias_id <> parent_id and alias_id <> entity_id)
);
create index aliases_entity on memory.aliases (entity_id);
create index aliases_parent on memory.aliases (parent_id);
create index aliases_namespace on memory.aliases (namespace);

-- A mention keeps the entity that was named, for ever; `shown_id` says as what it is shown where that is another one. So a merge
-- can be undone exactly. Statements the same, with relations.
alter table memory.mentions drop column digest, add column shown_id uuid;
alter table memory.mentions add column digest bigint not null
  generated always as (hashtextextended(memory_id::text || coalesce(shown_id, entity_id), 0)) stored;
create index mentions_shown on memory.mentions (shown_id) where shown_id is not null;
alter table memory.statements add column shown_id uuid;
create index statements_shown on memory.statements (shown_id) where shown_id is not null;

-- The mentions that projections show: a memory that names an entity in several ways mentions it once. Rows without a merge, nearly
-- all of them, are judged by their null alone.
create view memory.shown_mentions as
select n.memory_id, coalesce(n.shown_id, n.entity_id) as entity_id, n.digest
from memory.mentions n
where n.shown_id is null or not exists (
  select from memory.mentions o
  where o.memory_id = n.memory_id
    and (o.entity_id = n.shown_id and o.shown_id is null or o.shown_id = n.shown_id and o.entity_id < n.entity_id)
);

create table if not exists memory.migrations (version integer primary key, name text not null, applied_at timestamptz not null default now());
insert into memory.migrations (version, name) values (5, '0005_leases_aliases');

reset check_function_bodies;
reset search_path;
notify pgrst, 'reload schema';
