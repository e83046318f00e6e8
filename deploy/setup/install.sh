#!/usr/bin/env bash
# Set up the project in .venv; a second run finds its own stamps and installs nothing.
# usage: install.sh demo     what runs: node, worker, a Redis for machines without one; Debian: Orthanc, redis-server
#        install.sh check    that, and what reads the code (ruff, mypy, import-linter, pytest); Debian: only what builds
#        install.sh test     that, and the viewer OHIF; Debian: Orthanc, redis-server and the judges of our objects
# As root missing Debian packages are installed (no questions, no service started); otherwise what is present is used.
# The package itself goes in as a wheel, never as a link to the sources: what is run and tested is what a site installs.
# A changed source means a new wheel, which takes a second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

level=${1:-demo}
case $level in
    demo) extras=worker,demo ;;
    check | test) extras=worker,demo,dev ;;
    *) sed -n '3,5s/^# //p' "$0" >&2; exit 2 ;;
esac
stamps=.venv/.setup
# Without a word the Python of the .venv stays, so that PYTHON= is said once.
python=${PYTHON:-$(cat $stamps/interpreter 2>/dev/null || true)}
command -v "${python:=python3}" >/dev/null || [ -n "${PYTHON:-}" ] || python=python3
export PYTHON=$python
pip=(.venv/bin/python -m pip --disable-pip-version-check)
constraints=(-c deploy/constraints/node.txt -c deploy/constraints/worker.txt -c deploy/constraints/dev.txt)

mkdir -p build
exec 9>build/lock
flock 9

# --- what stands, by digest ---------------------------------------------------------------------------------------
digest() { sha256sum | cut -c1-20; }
python_is() { echo "$PWD $("$python" -VV 2>&1)"; }
libraries_are() {
    # Of pyproject.toml what names libraries, not how the code is checked; a compiler that came since builds PyRadiomics.
    { python_is; sed '/^\[tool\./,$d' pyproject.toml; cat deploy/constraints/*.txt deploy/setup/radiomics.sh
        command -v gcc cc || true; } | digest
}
sources_are() {
    local roots=() root
    for root in node workers models README.md LICENSE pyproject.toml; do [ -e "$root" ] && roots+=("$root"); done
    find "${roots[@]}" -type f ! -name '*.py[co]' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | digest
}
stamped() { cat "$stamps/$1" 2>/dev/null || true; }
have_libraries() {
    local stamp
    stamp=$(stamped libraries)
    [ "$stamp" = "$(libraries_are) $extras" ] || [ "$stamp" = "$(libraries_are) worker,demo,dev" ]
}

# --- Debian packages ----------------------------------------------------------------------------------------------
packages=$(bash deploy/setup/packages.sh missing "$level" | xargs)
looked=all
if [ -n "$packages" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    bash deploy/setup/preflight.sh worker before-apt
    looked=after-apt
    if ! bash deploy/setup/packages.sh install "$level"; then
        [ -z "${CRLM_TEST_REQUIRE_ALL:-}" ] || exit 1
        echo "note: the set-up goes on with what is present" >&2
    fi
fi

# --- Python packages ----------------------------------------------------------------------------------------------
if ! have_libraries; then
    bash deploy/setup/preflight.sh worker $looked
    if [ -n "$packages" ] && [ "$(id -u)" != 0 ]; then
        echo "note: not installed here: $packages; what is present is used (make system prints and installs the list)" >&2
    fi
    # A .venv of another Python, or one that was moved, is made anew.
    if [ -e .venv ] && { ! .venv/bin/python -c pass 2>/dev/null ||
        { [ -n "$(stamped python)" ] && [ "$(stamped python)" != "$(python_is)" ]; }; }; then rm -rf .venv; fi
    [ -x .venv/bin/python ] || { echo "== .venv of $("$python" -V)"; "$python" -m venv .venv; }
    mkdir -p "$stamps"
    rm -f "$stamps"/*
    python_is >"$stamps/python"
    command -v "$python" >"$stamps/interpreter"
    echo "== Python packages ($extras)"
    "${pip[@]}" install -qq "${constraints[@]}" hatchling setuptools wheel numpy
    "${pip[@]}" install -qq --no-build-isolation "${constraints[@]}" ".[$extras]"
    bash deploy/setup/radiomics.sh || true
    .venv/bin/python -P -c 'from workers.measurement.radiomics.engine import load; load()' # half a minute, once
    "${pip[@]}" check >/dev/null || { "${pip[@]}" check >&2; exit 1; }
    sources_are >"$stamps/sources"
    echo "$(libraries_are) $extras" >"$stamps/libraries"
fi

sources=$(sources_are)
if [ "$(stamped sources)" != "$sources" ]; then
    echo "== the sources changed: a new wheel"
    "${pip[@]}" install -qq --no-deps --no-build-isolation --force-reinstall .
    echo "$sources" >"$stamps/sources"
fi

# --- what looks at our objects --------------------------------------------------------------------------------------
if [ "$level" = test ] && ! bash deploy/setup/viewer.sh; then
    [ -z "${CRLM_TEST_REQUIRE_ALL:-}" ] || exit 1
fi
