-- Made by `make migrations` from memory_pipelines/stores/postgres/sql: change it there.
-- Either the Supabase CLI applies these files, or `memory-pipelines migrate` does the same; both keep the same account of it.
set search_path = public, extensions;
set check_function_bodies = off;

-- What a person may curate in the graph, and what becomes of an edit there.

-- `record-wins` puts an outside edit back; `adopt` writes it to the record as a new revision.
alter table memory.namespaces add column outside_edits text not null default 'record-wins' check (outside_edits in ('record-wins', 'adopt'));

-- Curated names what a person has set by hand: extraction leaves it alone. The digest covers aliases and summary where there are
-- any, so that the digest of a row without them is what it was.
alter table memory.entities
  add column aliases text[] not null default '{}',
  add column summary text,
  add column curated text[] not null default '{}';
alter table memory.entities drop column digest;
alter table memory.entities add column digest bigint not null generated always as (
  hashtextextended(id::text || revision || ':' || coalesce(type, '') || ':' || coalesce(name, '') || ':' || namespace
    || case when aliases = '{}' then '' else e'\x1f' || hash_array_extended(aliases, 0) end || coalesce(e'\x1e' || summary, ''), 0)
) stored;

-- Other names under which texts mean an entity: a name that a person gave it, beside the one that it was found by.
create table memory.entity_names (
  name_hash bytea primary key,
  entity_id uuid not null,
  found_as text not null  -- key of the name whose hash the entity's own row has
);
create index entity_names_entity on memory.entity_names (entity_id);

-- A relation that was drawn by hand lives without a memory that states it, as long as both its ends do.
alter table memory.relations add column adopted_at timestamptz;
create index relations_adopted_source on memory.relations (source_id) where adopted_at is not null;
create index relations_adopted_target on memory.relations (target_id) where adopted_at is not null;

-- Relations that were taken away by hand: no extraction brings one back, a link that a caller gives does.
create table memory.retractions (
  relation_id uuid primary key,
  at timestamptz not null default clock_timestamp()
);

-- Where a revision came from that no caller wrote: what was there before. It is emptied when one of the entities is forgotten.
create table memory.adoptions (
  id bigint primary key generated always as identity,
  at timestamptz not null default clock_timestamp(),
  change text not null check (change in ('edit', 'add', 'remove')),
  kind text not null,
  subject uuid not null,
  revision integer not null,
  entities uuid[] not null,
  before jsonb
);
create index adoptions_subject on memory.adoptions (subject);
create index adoptions_entities on memory.adoptions using gin (entities);

-- It takes aliases and summary now.
drop function if exists memory.graph_entity(uuid, text, text, text, integer, bigint, smallint, smallint);

create table if not exists memory.migrations (version integer primary key, name text not null, applied_at timestamptz not null default now());
insert into memory.migrations (version, name) values (3, '0003_repair');

reset check_function_bodies;
reset search_path;
notify pgrst, 'reload schema';
