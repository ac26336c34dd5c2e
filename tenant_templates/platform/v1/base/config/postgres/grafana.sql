-- Run by the image at the first start, after the database is made. Grafana lets its users send any
-- SQL, so it asks as a user who can read everything and write nothing, in state read-only as well.
-- The password is the owner's: only Grafana itself sees it.
\getenv password POSTGRES_PASSWORD
CREATE ROLE grafana LOGIN PASSWORD :'password' CONNECTION LIMIT 10 IN ROLE pg_read_all_data;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '60s';
