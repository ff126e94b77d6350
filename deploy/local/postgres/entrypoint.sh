# As in the official image: POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB make the database the first time.
set -euo pipefail
if [ ! -f "$PGDATA/PG_VERSION" ]; then
  initdb -D "$PGDATA" -U "$POSTGRES_USER" -A scram-sha-256 --pwfile=<(echo "$POSTGRES_PASSWORD") -E UTF8 --locale=C.UTF-8
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start
  PGPASSWORD=$POSTGRES_PASSWORD createdb -U "$POSTGRES_USER" "${POSTGRES_DB:-$POSTGRES_USER}" || true
  pg_ctl -D "$PGDATA" -w -m fast stop
fi
exec postgres -D "$PGDATA" -c "listen_addresses=*" "$@"
