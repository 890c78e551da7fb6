-- The Postgres of docker-compose.yml: pgvector, and who may log in, with the passwords that .env has now. Run by psql at each start, as superuser.
-- The roles that a Supabase project has (`authenticator`, `anon`, `authenticated`, `service_role`, `postgres`) come with the image.
\getenv authenticator_password AUTHENTICATOR_PASSWORD
\getenv service_password MEMORY_SERVICE_PASSWORD
\getenv dagster_password DAGSTER_PASSWORD

create extension if not exists vector with schema extensions;

select format('create role %I login', name)
from unnest(array['memory_service', 'dagster']) as name
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
