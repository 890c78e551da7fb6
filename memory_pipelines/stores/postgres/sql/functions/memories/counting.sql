-- How much there is: of what a filter means, and by namespace. Nothing here writes.

-- How many memories a request to forget would find.  {"namespace", "thread"?, "metadata"?, "created_before"?} -> n
create or replace function public.memory_count_v1(input text) returns jsonb
language plpgsql stable security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
begin
  perform memory.known_namespace(p ->> 'namespace');
  return to_jsonb((select count(*) from memory.memories m where memory.chosen(m, p)));
end $$;

-- What some namespaces hold, a page of them by name.
--   {"limit", "after"?: name} -> [{name, memories, entities, relations, bytes, newest, outside_edits}, …]
--   `memories` are live and not expired; `bytes` is what was written of them, texts and metadata, in UTF-8.
create or replace function public.memory_namespace_counts_v1(input text) returns jsonb
language sql stable security definer set search_path = memory, extensions, public, pg_temp as $$
  with page as (
    select n.name, n.outside_edits from memory.namespaces n
    where input::jsonb ->> 'after' is null or n.name > input::jsonb ->> 'after'
    order by n.name limit (input::jsonb ->> 'limit')::integer
  )
  select coalesce(jsonb_agg(jsonb_build_object(
      'name', g.name, 'memories', coalesce(m.memories, 0), 'bytes', coalesce(m.bytes, 0), 'newest', m.newest,
      'entities', coalesce(e.entities, 0), 'relations', coalesce(r.relations, 0), 'outside_edits', g.outside_edits
    ) order by g.name), '[]')
  from page g
  left join (
    select x.namespace, count(*) as memories, sum(octet_length(x.text) + octet_length(x.metadata::text)) as bytes, max(x.created_at) as newest
    from memory.memories x
    where x.namespace in (select name from page) and x.deleted_at is null and (x.expires_at is null or x.expires_at > now())
    group by x.namespace
  ) m on m.namespace = g.name
  left join (
    select x.namespace, count(*) as entities from memory.entities x
    where x.namespace in (select name from page) and x.deleted_at is null group by x.namespace
  ) e on e.namespace = g.name
  left join (
    select x.namespace, count(*) as relations from memory.relations x
    where x.namespace in (select name from page) and x.deleted_at is null group by x.namespace
  ) r on r.namespace = g.name
$$;
