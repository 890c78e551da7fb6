-- Takes back what grant.sql gave: functions, policies and rights.
do $$
declare
  f text;
  t text;
begin
  for f in
    select p.oid::regprocedure from pg_proc p
    where (p.pronamespace = 'public'::regnamespace and p.proname ~ '^memory_read_.*_v[0-9]+$')
  loop
    execute format('drop function %s', f);
  end loop;
  for t in select tablename from pg_policies where schemaname = 'memory' and policyname = 'end_user_reads' loop
    execute format('drop policy end_user_reads on memory.%I', t);
  end loop;
  revoke all on all tables in schema memory from authenticated;
  revoke all on all functions in schema memory from authenticated;
  revoke all on schema memory from authenticated;
  drop function if exists memory.own_request(text);
  drop function if exists memory.claimed_namespace();
end $$;
