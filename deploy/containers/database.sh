#!/bin/sh
# pg_dump and pg_restore, for crlm-node backup and restore: of this Debian, whose PostgreSQL is the one of compose.yaml.
set -eu
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql-client
rm -rf /var/lib/apt/lists/*
