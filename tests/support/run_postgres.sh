#!/usr/bin/env bash
# Runs a PostgreSQL server of a test's own in the foreground, its data and its unix socket in DIRECTORY, without TCP. The
# process becomes the server, so that whoever started it can end it by pid in every way. `postgres` is the superuser,
# trusted without a password: only who may enter DIRECTORY reaches the socket.
#
# usage: run_postgres.sh DIRECTORY [NAME=VALUE...]     settings of postgresql.conf
set -euo pipefail

directory=$1
shift
shopt -s nullglob
versions=(/usr/lib/postgresql/*/bin)
[ ${#versions[@]} -gt 0 ] || { echo "$0: no PostgreSQL server here; tools/install_packages.sh services" >&2; exit 1; }
bin=${versions[-1]}

# The server refuses to run as root.
as_owner=()
if [ "$(id -u)" -eq 0 ]; then
  as_owner=(setpriv --reuid=postgres --regid=postgres --clear-groups)
  chown postgres "$directory"
fi
if [ ! -e "$directory/data/PG_VERSION" ]; then
  "${as_owner[@]}" "$bin/initdb" -D "$directory/data" -U postgres -A trust --no-locale -E UTF8 > "$directory/initdb.log"
fi
settings=()
for setting in "$@"; do settings+=(-c "$setting"); done
exec "${as_owner[@]}" "$bin/postgres" -D "$directory/data" -c listen_addresses= -c unix_socket_directories="$directory" \
  -c max_connections=40 -c shared_buffers=16MB "${settings[@]}"
