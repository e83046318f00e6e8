#!/bin/sh
# Orthanc with its passwords from files: each secret NAME becomes the variable NAME, which its configuration names as ${NAME}.
set -eu
for file in "${SECRETS:-/run/secrets}"/ORTHANC_*; do
    [ -f "$file" ] || continue
    value=$(cat "$file")
    export "$(basename "$file")=$value"
done
exec Orthanc "$@"
