-- Closed to everyone but the service: applied last, so that it covers every table and function above.
-- Hosted projects grant new public functions to `anon` and `authenticated` by default, so both are named. Where the three roles
-- of a Supabase project are missing they are made, without a login, so that a REST server put in front later finds them closed;
-- a migrating role that may make none leaves them out.
do $$
declare
  f record;
  t record;
  r text;
begin
  foreach r in array array['anon', 'authenticated', 'service_role'] loop
    if not exists (select from pg_roles where rolname = r)
      and exists (select from pg_roles where rolname = current_user and (rolcreaterole or rolsuper)) then
      begin
        execute format('create role %I nologin noinherit', r);
      exception when duplicate_object or unique_violation then
        raise notice 'role % was made by another database of this server at the same moment', r;
      end;
    end if;
  end loop;
  for t in select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = 'memory' loop
    execute format('alter table %s enable row level security', t.name);
    execute format('revoke all on %s from public', t.name);
  end loop;
  execute 'revoke all on schema memory from public';
  for f in
    select p.oid::regprocedure as name, n.nspname = 'public' as callable
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'memory' or (n.nspname = 'public' and p.proname ~ '^memory_.*_v[0-9]+$')
  loop
    execute format('revoke all on function %s from public', f.name);
    foreach r in array array['anon', 'authenticated'] loop
      if exists (select from pg_roles where rolname = r) then
        execute format('revoke all on function %s from %I', f.name, r);
      end if;
    end loop;
    if f.callable and exists (select from pg_roles where rolname = 'service_role') then
      execute format('grant execute on function %s to service_role', f.name);
    end if;
  end loop;
end $$;
