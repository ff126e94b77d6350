-- Two users instead of one: `concord_loop` for runs and tasks, `concord_labeling` for labeling, which keeps judges' answers and its
-- notes on batches and sees nothing of any run. Run it as the owner of the database after `concord migrate` (again after each
-- upgrade that brings tables): psql concord -v ON_ERROR_STOP=1 -f roles.sql
-- Then give each a password (\password concord_loop) and each service its URL: the Secrets `concord-state` of runs and tasks, and
-- one of its own for labeling.
DO $$ BEGIN CREATE ROLE concord_loop LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE concord_labeling LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO concord_loop, concord_labeling;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, concord_loop, concord_labeling;
DO $$
DECLARE
  one record;
BEGIN
  FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'concord_schema' LOOP
    EXECUTE format(
      'GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I',
      one.tablename,
      CASE WHEN starts_with(one.tablename, 'llm_') THEN 'concord_labeling' ELSE 'concord_loop' END
    );
  END LOOP;
END $$;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO concord_loop;
-- Which version the tables have, both may see and neither may change.
GRANT SELECT ON concord_schema TO concord_loop, concord_labeling;
