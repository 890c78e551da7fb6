-- Who may log in to the Postgres of docker-compose.yml, with the passwords that .env has now; run by psql at each start, as superuser.
-- On Supabase's image most of the roles are there already; on a plain Postgres with pgvector they are made.
\getenv authenticator_password AUTHENTICATOR_PASSWORD
\getenv service_password MEMORY_SERVICE_PASSWORD
\getenv dagster_password DAGSTER_PASSWORD

select format('create role %I nologin noinherit', name)
from unnest(array['anon', 'authenticated', 'service_role']) as name
where not exists (select from pg_roles where rolname = name) \gexec
select format('create role %I login', name)
from unnest(array['postgres', 'authenticator', 'memory_service', 'dagster']) as name
where not exists (select from pg_roles where rolname = name) \gexec

-- PostgREST: nobody, until a token says which of the three.
alter role authenticator with login noinherit password :'authenticator_password';
grant anon, authenticated, service_role to authenticator;

-- The platform's own processes: what service_role may, which is to call the functions. They own nothing.
alter role memory_service with login inherit password :'service_password';
grant service_role to memory_service;
-- A drain reads up to a thousand rows a call; a hosted project ends such calls after 8 s as well.
alter role memory_service set statement_timeout = '60s';

-- Dagster's history: a database of its own, which is nobody else's.
alter role dagster with login password :'dagster_password';
select 'create database dagster owner dagster' where not exists (select from pg_database where datname = 'dagster') \gexec
revoke all on database dagster from public;
