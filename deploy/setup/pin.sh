#!/usr/bin/env bash
# Pin anew what deploy/constraints/ names: the newest versions that pyproject.toml allows, resolved in a clean environment.
# usage: pin.sh    (then run the tests, and say in CHANGELOG.md which number changed with a library, if one did)
# The version of torch is a choice: TORCH=2.13.0 pin.sh
# Each file holds only what the one before it does not: node.txt is all that a node has, worker.txt what a worker adds,
# dev.txt what the demo's Redis and the checks add.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
"${PYTHON:-python3}" -m venv "$box/venv"
pip=("$box/venv/bin/python" -m pip --disable-pip-version-check)

pinned() { "${pip[@]}" freeze --all --exclude pip --exclude crlm-node | sed 's/+[a-z0-9.]*$//' | LC_ALL=C sort -f; }
write() { # write FILE WHAT-IT-IS EARLIER...: what is installed now, without what the earlier files hold
    local file=deploy/constraints/$1 what=$2
    shift 2
    { echo "# $what Written by deploy/setup/pin.sh with $("${PYTHON:-python3}" -V)."; pinned | grep -vxFf <(cat /dev/null "$@") || true; } >"$file"
}

"${pip[@]}" uninstall -q -y setuptools || true
"${pip[@]}" install -q .
write node.txt "The node, exactly as tested (pip install -c deploy/constraints/node.txt .)."
# The newest torch may be a build for a GPU only; this one has builds for every device, and the others follow it.
"${pip[@]}" install -q -c deploy/constraints/node.txt "torch==${TORCH:-2.13.0}" '.[worker]' setuptools wheel
write worker.txt "What a worker adds; setuptools and wheel are there to build PyRadiomics." \
    deploy/constraints/node.txt
"${pip[@]}" install -q -c deploy/constraints/node.txt -c deploy/constraints/worker.txt '.[worker,demo,dev]'
write dev.txt "What the demo's own Redis and the checks add." deploy/constraints/node.txt deploy/constraints/worker.txt
wc -l deploy/constraints/*.txt
