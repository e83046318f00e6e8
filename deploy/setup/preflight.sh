#!/usr/bin/env bash
# What must be there before anything is installed; each thing that is not is said with its cure, in one sentence.
# usage: preflight.sh node|worker [all|before-apt|after-apt]
#   before-apt: apt is about to install packages, so what it brings (Python, venv, compiler) is not missed yet
#   after-apt: only that
# "stop:" lines end the set-up (exit 1); "note:" lines do not. It is plain bash, since Python is one of the things to look for.
set -uo pipefail

kind=${1:-worker}
when=${2:-all}
python=${PYTHON:-python3}
stops=0

stop() { echo "stop: $*" >&2; stops=$((stops + 1)); }
note() { echo "note: $*" >&2; }

check_python() {
    if ! command -v "$python" >/dev/null; then
        [ "$when" = before-apt ] && [ "$python" = python3 ] && return
        stop "no $python was found: install python3 (3.11 or later) with its venv module, or name one: make install PYTHON=/path/to/python3.11"
        return
    fi
    local version
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || version=unknown
    case $version in
        3.1[1-9] | 3.[2-9][0-9]) ;;
        *)
            stop "Python 3.11 or later is needed and $python is $version: name a newer one with make install PYTHON=/path/to/python3.11"
            return
            ;;
    esac
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        [ "$when" = before-apt ] && return
        stop "$python cannot make virtual environments: install its venv module (Debian: apt-get install python3-venv)"
    fi
}

check_disk() {
    local need_gb=6 free_kb used_kb=0
    [ "$kind" = node ] && need_gb=2
    free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
    # What an earlier set-up has put here counts as there already.
    [ -d .venv ] && used_kb=$(du -sk .venv | awk '{ print $1 }')
    if [ $((free_kb + used_kb)) -lt $((need_gb * 1000 * 1000)) ]; then
        stop "$((free_kb / 1000000)) GB are free here and $need_gb GB are needed: free some space, or clone the project onto a larger disk"
    fi
}

check_memory() {
    local bytes limit
    bytes=$(($(getconf _PHYS_PAGES) * $(getconf PAGE_SIZE)))
    limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
    if [ "$limit" != max ] && [ "$limit" -lt "$bytes" ]; then bytes=$limit; fi
    # A machine sold with 4 GB shows a little less.
    if [ "$bytes" -lt 3600000000 ]; then
        note "this machine has $((bytes / 1000000)) MB of memory and a full-size CT needs 4 GB: give it more, or expect a worker to be stopped in the middle"
    fi
}

check_compiler() {
    command -v "$python" >/dev/null || return 0
    local compiler headers
    compiler=$("$python" -c 'import sysconfig; print((sysconfig.get_config_var("CC") or "cc").split()[0])' 2>/dev/null)
    headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))' 2>/dev/null)
    if ! command -v "${compiler:-cc}" >/dev/null; then
        note "no C compiler was found, so PyRadiomics cannot be built and its features will be missing: install one (Debian: apt-get install gcc libc6-dev)"
    elif [ ! -f "$headers/Python.h" ]; then
        note "the headers of $python are missing, so PyRadiomics cannot be built and its features will be missing: install them (Debian: apt-get install python3-dev)"
    fi
}

check_python
if [ "$when" != after-apt ]; then
    check_disk
    check_memory
fi
if [ "$when" != before-apt ] && [ "$kind" = worker ]; then check_compiler; fi
[ $stops = 0 ]
