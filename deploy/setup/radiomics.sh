#!/usr/bin/env bash
# PyRadiomics into .venv. Its newest sdist does not build and an isolated build lacks numpy, so 3.0.1 (the same C sources)
# is built here with the numpy of .venv, once: the wheel is kept in build/wheels.
# Where it cannot be built, one sentence says so, the exit status is 1, and the worker runs without it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

version=3.0.1
wheels=build/wheels
log=build/pyradiomics.log
python=.venv/bin/python

mkdir -p "$wheels"
tag=$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
kept=("$wheels/pyradiomics-$version-$tag-"*"$(uname -m).whl")
if [ ! -f "${kept[0]}" ]; then
    echo "== PyRadiomics $version is being built"
    if ! "$python" -m pip wheel -qq --no-deps --no-build-isolation -w "$wheels" "pyradiomics==$version" >"$log" 2>&1; then
        echo "note: PyRadiomics could not be built for $("$python" -V) (see $log): the worker runs without it and says so" >&2
        exit 1
    fi
    kept=("$wheels/pyradiomics-$version-$tag-"*.whl)
fi
"$python" -m pip install -qq --no-deps --force-reinstall "${kept[0]}"
