-- What lives as long as a memory says it: entities and relations whose last support is gone are deleted, versioned like any other write.

-- Deletes entities and relations, of those given, that nothing supports any more. Returns the refs that changed.
create or replace function memory.drop_unsupported(p_entities uuid[], p_relations uuid[]) returns jsonb
language plpgsql as $$
declare
  gone_entities uuid[];
  gone_relations uuid[];
  renamed uuid[];
begin
  with gone as (
    update memory.relations r
    set revision = r.revision + 1, deleted_at = clock_timestamp(), predicate = null
    where r.id = any (p_relations) and r.deleted_at is null and r.adopted_at is null
      and not exists (select from memory.statements s where s.relation_id = r.id and s.shown_id is null)
      and not exists (select from memory.statements s where s.shown_id = r.id)
    returning r.id
  )
  select coalesce(array_agg(id), '{}') into gone_relations from gone;
  with gone as (
    update memory.entities e
    set revision = e.revision + 1, deleted_at = clock_timestamp(), name = null, name_key = null, type = null, aliases = '{}', summary = null, curated = '{}'
    where e.id = any (p_entities) and e.deleted_at is null
      and not exists (select from memory.mentions m where m.entity_id = e.id and m.shown_id is null)
      and not exists (select from memory.mentions m where m.shown_id = e.id)
    returning e.id
  )
  select coalesce(array_agg(id), '{}') into gone_entities from gone;
  renamed := memory.forget_unsaid_names(p_entities);
  if cardinality(renamed) > 0 then
    delete from memory.embeddings where kind = 'entity' and id = any (renamed);  -- a vector tells the name
    perform memory.owe('graph', 'entity', renamed);
    perform memory.owe('embeddings', 'entity', renamed);
  end if;
  if cardinality(gone_entities) > 0 then
    gone_relations := gone_relations || memory.drop_curated(gone_entities);
    delete from memory.embeddings where kind = 'entity' and id = any (gone_entities);
    update memory.ledger l
    set owed_number = null, owed_since = null, settled_revision = e.revision, settled_version = e.revision, settled_at = clock_timestamp(),
        attempts = 0, retry_at = null, last_error = null, parked_at = null
    from memory.entities e
    where l.projection = 'embeddings' and l.kind = 'entity' and l.id = e.id::text and e.id = any (gone_entities);
    perform memory.owe('graph', 'entity', gone_entities);
  end if;
  if cardinality(gone_relations) > 0 then
    perform memory.owe('graph', 'relation', gone_relations);
  end if;
  return memory.refs('entity', gone_entities || renamed) || memory.refs('relation', gone_relations);
end $$;

-- Takes away every support that some memories gave: the memories are being forgotten.
create or replace function memory.drop_links(p_memories uuid[]) returns jsonb
language plpgsql as $$
declare
  entity_ids uuid[];
  relation_ids uuid[];
begin
  select coalesce(array_agg(id), '{}') into entity_ids from (
    select id from memory.entities where id in (select unnest(array[entity_id, shown_id]) from memory.mentions where memory_id = any (p_memories)) order by id for update
  ) locked;
  select coalesce(array_agg(id), '{}') into relation_ids from (
    select id from memory.relations where id in (select unnest(array[relation_id, shown_id]) from memory.statements where memory_id = any (p_memories)) order by id for update
  ) locked;
  delete from memory.statements where memory_id = any (p_memories);
  delete from memory.mentions where memory_id = any (p_memories);
  return memory.drop_unsupported(entity_ids, relation_ids);
end $$;
