#!/usr/bin/env bash
# The Debian packages of the project: which are missing, and their installation.
# usage: packages.sh missing demo|check|test    print what is missing, one a line
#        packages.sh install demo|check|test    install that (as root; no questions; no service is started)
#        packages.sh ask                        print all that is missing and install it on consent (make system)
set -euo pipefail

running=(orthanc orthanc-dicomweb redis-server)
judging=(orthanc-python dcmtk dicom3tools libpixelmed-java default-jre-headless chromium postgresql prometheus systemd)
services=(orthanc redis-server postgresql prometheus)
python=${PYTHON:-python3}
policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}
mark='# placed by the set-up of crlm-node, for as long as it installs packages'

# What builds: asked of the tools themselves, for a Python from elsewhere brings its own venv and headers.
building() {
    command -v make >/dev/null || echo make
    if ! command -v "$python" >/dev/null; then
        printf '%s\n' python3 python3-venv python3-dev gcc libc6-dev
        return
    fi
    "$python" -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
    "$python" -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
        2>/dev/null || echo python3-dev
    command -v gcc >/dev/null || command -v cc >/dev/null || printf '%s\n' gcc libc6-dev
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing() {
    local wanted=() name
    case $1 in
        check) ;;
        demo) wanted=("${running[@]}") ;;
        test) wanted=("${running[@]}" "${judging[@]}") ;;
        *) echo "packages.sh: not a level: $1" >&2; exit 2 ;;
    esac
    building
    command -v dpkg-query >/dev/null || return 0
    for name in "${wanted[@]}"; do installed "$name" || echo "$name"; done
}

# While we install, policy-rc.d answers "do not start" (101) to every package; one that is there already is the
# administrator's, and stands. Ours, left behind by a killed run, is ours again.
hold_services() {
    if [ -e "$policy" ] && ! grep -qF "$mark" "$policy"; then return; fi
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
    chmod 755 "$policy"
}

known_to_apt() {
    local name
    for name in "$@"; do
        apt-cache policy "$name" 2>/dev/null | grep -q 'Candidate: [^(]' || return 1
    done
}

apt_install() {
    apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" </dev/null
}

install_all() {
    local log wanted=("$@") updated=no
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    hold_services
    echo "== Debian packages: ${wanted[*]}"
    if ! known_to_apt "${wanted[@]}"; then apt-get update -q >"$log" 2>&1 && updated=yes; fi
    if ! apt_install "${wanted[@]}" >>"$log" 2>&1; then
        # Lists of another day name files that are gone: once more with new ones.
        if [ $updated = no ]; then apt-get update -q >>"$log" 2>&1 || true; fi
        if ! apt_install "${wanted[@]}" >>"$log" 2>&1; then
            tail -n 15 "$log" >&2
            echo "apt-get could not install them (the end of its words is above): mend that, or install them yourself." >&2
            rm -f "$log"
            return 1
        fi
    fi
    rm -f "$log"
    keep_off "${wanted[@]}"
}

# A service that came with this set-up does not start at the next boot either: the node starts its own.
keep_off() {
    local name service
    for name in "$@"; do
        for service in "${services[@]}"; do
            if [ "$name" = "$service" ] && command -v update-rc.d >/dev/null; then
                update-rc.d "$service" disable >/dev/null 2>&1 || echo "note: $service may start at the next boot" >&2
            fi
        done
    done
}

ask() {
    local wanted answer=
    mapfile -t wanted < <(missing test)
    if [ ${#wanted[@]} = 0 ]; then echo "Nothing is missing."; return; fi
    echo "Missing: ${wanted[*]}"
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "Only root can install them on a Debian: sudo make system, or: apt-get install --no-install-recommends ${wanted[*]}" >&2
        return 1
    fi
    read -r -p "Install them, without starting any service? [y/N] " answer || true
    case $answer in
        y | Y | yes) install_all "${wanted[@]}" ;;
        *) echo "Nothing was installed." ;;
    esac
}

case ${1:-} in
    missing) missing "${2:-}" ;;
    install)
        mapfile -t names < <(missing "${2:-}")
        [ ${#names[@]} = 0 ] || install_all "${names[@]}"
        ;;
    ask) ask ;;
    *) sed -n '2,5s/^# //p' "$0" >&2; exit 2 ;;
esac
