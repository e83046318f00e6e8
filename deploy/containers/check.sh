#!/usr/bin/env bash
# An image without an engine: the steps of the Containerfile in a bare Debian, and what must be true of the result.
# usage, as root in a clone: deploy/setup/bare.sh deploy/containers/check.sh node|worker
set -euo pipefail
part=${1:?node or worker}
target=/opt/crlm-node

sh deploy/containers/account.sh
[ "$part" = worker ] || sh deploy/containers/database.sh
bash deploy/containers/install.sh "$part" $target

packages=$(echo $target/lib/python3*/site-packages)
fail() { echo "check.sh: $*" >&2; exit 1; }
mapfile -t variables < <(sed -n '/^ENV /,/[^\\]$/s/^\(ENV\)\? *\([A-Z_]*=[^ ]*\).*/\2/p' "deploy/containers/$part.Containerfile" |
    grep -v '^PATH=')
as_the_image() { # as its account, in its environment, with a file system that it cannot write outside of its home
    setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all \
        env -i PATH=$target/bin:/usr/bin:/bin HOME=/var/lib/crlm-node "${variables[@]}" "$@"
}

for name in pip setuptools wheel; do [ ! -e "$packages/$name" ] || fail "$name was left in the image"; done
[ -z "$(find $target -user 10001 -print -quit)" ] || fail "the account may change the program"
[ -z "$(find $target -perm -4000 -print -quit)" ] || fail "a setuid file"
[ -f "$target/share/crlm-node/models/demo/manifest.json" ] || fail "no models"
if [ "$part" = node ]; then
    for name in torch SimpleITK scipy totalsegmentator; do
        [ ! -e "$packages/$name" ] || fail "$name is in the image of the node"
    done
    for name in pg_dump pg_restore; do as_the_image "$name" --version || fail "$name, which backups need"; done
fi

cd /
as_the_image crlm-node --version
as_the_image crlm-node config check
for command in listen steward alive ledger; do as_the_image crlm-node $command --help >/dev/null || fail "$command"; done
as_the_image env CRLM_NODE_NETWORKS=false crlm-node ledger upgrade
if [ "$part" = worker ]; then
    as_the_image crlm-node worker --help >/dev/null
    as_the_image python -c 'import workers.cli, workers.tasks, torch; print("torch", torch.__version__)'
    as_the_image python -c '
import time, sys
from workers import compiled
from workers.measurement.radiomics.engine import load
made, begun = [one for one, _ in compiled._made], time.monotonic()
load()
print(f"{len(made)} loops loaded in {time.monotonic() - begun:.1f} s")
sys.exit(sum(sum(one.stats.cache_misses.values()) for one in made))' || fail "loops are compiled at each start"
else
    ! as_the_image crlm-node analyse / --out /tmp/out >/dev/null 2>&1 || fail "the node measures"
fi
touch_fails() { ! as_the_image touch "$1/x" 2>/dev/null || fail "$1 can be written"; }
touch_fails $target
touch_fails /etc/crlm-node
echo "check.sh: the $part's image holds $(du -sm $target | cut -f1) MB in $(find "$packages" -maxdepth 1 -name '*.dist-info' | wc -l) packages"
