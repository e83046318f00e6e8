#!/bin/sh
# The broker of the compose file: its password from a file, in no command line and no variable that `inspect` shows.
# usage: redis.sh            start it
#        redis.sh answers    say whether it answers
set -eu
file=${BROKER_PASSWORD_FILE:-/run/secrets/broker_password}
port=${BROKER_PORT:-6379}

if [ "${1:-}" = answers ]; then
    answer=$(REDISCLI_AUTH=$(cat "$file") redis-cli -p "$port" ping)
    [ "$answer" = PONG ]
    exit
fi
exec redis-server - <<CONFIGURATION
port $port
protected-mode no
requirepass "$(cat "$file")"
save ""
appendonly no
maxmemory 256mb
maxmemory-policy noeviction
CONFIGURATION
