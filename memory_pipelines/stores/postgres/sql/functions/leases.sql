-- Leases: one holder a name, for a while, by Postgres' clock alone. Who drains a projection is one of them.
-- A lease saves double work; the number that comes with it makes a late writer harmless. It presents {name, fence} to the function that
-- stores its result, which looks in the same transaction whether a higher number was granted.

-- Grants a lease, or returns null while another holder's is fresh. A holder that asks again gets a new number too.
-- Whoever merely asks takes no lock: it would wait for a writer that is just storing under this lease.
create or replace function memory.grant_lease(p_name text, p_holder text, p_seconds float8) returns memory.heartbeats
language plpgsql as $$
declare
  granted memory.heartbeats;
begin
  if exists (select from memory.heartbeats h where h.projection = p_name and h.holder <> p_holder and h.lease_until >= clock_timestamp()) then
    return null;
  end if;
  insert into memory.heartbeats as h (projection, holder, beat_at, lease_until, fence)
  values (p_name, p_holder, clock_timestamp(), clock_timestamp() + make_interval(secs => p_seconds), nextval('memory.fences'))
  on conflict (projection) do update
    set holder = excluded.holder, beat_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => p_seconds),
        fence = nextval('memory.fences')  -- under the row's lock, so that numbers rise in the order of grants
    where h.holder is null or h.holder = excluded.holder or h.lease_until < clock_timestamp()
  returning h.* into granted;
  return granted;
end $$;

-- Refuses what is written under a lease that was granted anew since. No lease, no question. Until this transaction ends nobody is
-- granted a higher number.
create or replace function memory.check_lease(p_lease jsonb) returns void
language plpgsql as $$
begin
  if p_lease is null or jsonb_typeof(p_lease) = 'null' then
    return;
  end if;
  perform from memory.heartbeats where projection = p_lease ->> 'name' and fence = (p_lease ->> 'fence')::bigint for key share;
  if not found then
    perform memory.raise_error(409, 'lease_lost', 'This lease has run out and was granted to another holder: nothing was written.',
      jsonb_build_object('name', p_lease ->> 'name', 'fence', (p_lease ->> 'fence')::bigint));
  end if;
end $$;

-- Grants a lease.  {"name", "holder", "lease_seconds"} -> {"fence", "lease_until"}
create or replace function public.memory_lease_acquire_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  granted memory.heartbeats := memory.grant_lease(p ->> 'name', p ->> 'holder', (p ->> 'lease_seconds')::float8);
  other memory.heartbeats;
begin
  if granted.fence is null then
    select * into other from memory.heartbeats where projection = p ->> 'name';
    perform memory.raise_error(409, 'lease_held', 'Another holder has this lease: it ends by itself, at the latest at the time given.',
      jsonb_build_object('name', p ->> 'name', 'holder', other.holder, 'until', other.lease_until));
  end if;
  return jsonb_build_object('fence', granted.fence, 'lease_until', granted.lease_until);
end $$;

-- Renews a lease that nobody else was granted since, also one that has run out.  {"name", "fence", "lease_seconds"} -> {"fence", "lease_until"}
create or replace function public.memory_lease_renew_v1(input text) returns jsonb
language plpgsql security definer set search_path = memory, extensions, public, pg_temp as $$
declare
  p jsonb := input::jsonb;
  renewed memory.heartbeats;
begin
  update memory.heartbeats
  set beat_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => (p ->> 'lease_seconds')::float8)
  where projection = p ->> 'name' and fence = (p ->> 'fence')::bigint and holder is not null
  returning * into renewed;
  if renewed.fence is null then
    perform memory.raise_error(409, 'lease_lost', 'This lease was given back, or has run out and was granted to another holder.',
      jsonb_build_object('name', p ->> 'name', 'fence', (p ->> 'fence')::bigint));
  end if;
  return jsonb_build_object('fence', renewed.fence, 'lease_until', renewed.lease_until);
end $$;

-- Gives a lease back; of one that is another's by now, nothing.  {"name", "fence"} -> boolean: whether it was ours
create or replace function public.memory_lease_release_v1(input text) returns jsonb
language sql security definer set search_path = memory, extensions, public, pg_temp as $$
  with released as (
    update memory.heartbeats set holder = null, lease_until = null
    where projection = input::jsonb ->> 'name' and fence = (input::jsonb ->> 'fence')::bigint and holder is not null
    returning 1
  )
  select to_jsonb(exists (select from released))
$$;
