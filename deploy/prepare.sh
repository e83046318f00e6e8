#!/usr/bin/env bash
# The site's own files of the compose file: settings to edit, and passwords made by chance. What is there stays.
# usage: prepare.sh [FOLDER]    (default: deploy, which gets .env and site/)
# site/secrets is for its owner alone. The files in it can be read by whoever they are mounted for: an engine shows them
# inside with the numbers and rights that they have here.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-$here}
secrets=$folder/site/secrets

once() { # once FROM TO
    if [ -e "$2" ]; then echo "${2#"$folder"/}: kept"; return; fi
    install -D -m 644 "$1" "$2"
    echo "${2#"$folder"/}: made, to be edited"
}
once "$here/example/env" "$folder/.env"
once "$here/example/config.toml" "$folder/site/config.toml"
once "$here/../orthanc/orthanc.json" "$folder/site/orthanc.json"

umask 077
mkdir -p "$secrets"
chmod 700 "$secrets"
for name in ledger_password broker_password ORTHANC_PASSWORD grafana_password; do
    if [ -e "$secrets/$name" ]; then
        echo "site/secrets/$name: kept"
        continue
    fi
    head -c 24 /dev/urandom | base64 | tr -d '\n=' | tr '+/' '-_' >"$secrets/$name.new"
    chmod 444 "$secrets/$name.new"
    mv "$secrets/$name.new" "$secrets/$name"
    echo "site/secrets/$name: made"
done
