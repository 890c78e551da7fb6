-- What becomes of edits that somebody makes in the graph, namespace by namespace. Adopting them: `adoption.sql`.

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
