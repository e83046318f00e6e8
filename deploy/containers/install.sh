#!/usr/bin/env bash
# What an image holds: an environment of its own with the node, or with the worker, exactly as tested. Run by the
# Containerfiles, and by bare.sh in a bare Debian.
# usage: install.sh node|worker TARGET        in a folder with the sources
#        TORCH_INDEX=URL install.sh worker TARGET    torch from another package index, one that fits the GPU
set -euo pipefail

part=${1:-} target=${2:-}
constraints=(-c deploy/constraints/node.txt)
case $part in
    node) wanted=. ;;
    worker) wanted='.[worker]' constraints+=(-c deploy/constraints/worker.txt) ;;
    *) sed -n '4,5s/^# //p' "$0" >&2; exit 2 ;;
esac
[ -n "$target" ] || { sed -n '4,5s/^# //p' "$0" >&2; exit 2; }

python3 -m venv "$target"
pip=("$target/bin/python" -m pip --disable-pip-version-check --no-cache-dir)
if [ "$part" = worker ] && [ -n "${TORCH_INDEX:-}" ]; then
    version=$(sed -n 's/^torch==//p' deploy/constraints/worker.txt)
    "${pip[@]}" install -q --index-url "$TORCH_INDEX" "torch==$version"
fi
"${pip[@]}" install -q "${constraints[@]}" "$wanted"
"${pip[@]}" check
if [ "$part" = worker ]; then
    # Half a minute here, or at each start of a worker: the loops of the radiomics, for whatever processor it will have.
    NUMBA_CPU_NAME=generic "$target/bin/python" -P -c 'from workers.measurement.radiomics.engine import load; load()'
fi

# What is there is what stays: an image has no installer.
"${pip[@]}" uninstall -q -y setuptools wheel || true
"${pip[@]}" uninstall -q -y pip
