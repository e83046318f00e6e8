#!/usr/bin/env bash
# Try a command in a bare Debian made for the occasion: a machine with leftovers hides a missing install step.
# usage, as root: deploy/setup/bare.sh [--user] [--nothing] [--keep FOLDER] COMMAND...      e.g.  bare.sh make test
#   --user     as an ordinary user there (no right to install packages)
#   --nothing  without make, git and python3 too, which the README asks for: bare.sh --nothing .ci/run
#   --keep     leave the Debian in FOLDER; what stands in FOLDER from an earlier call is used again as it is
# It clones HEAD, takes mirror, proxies and pip's settings from this machine at run time, and gives the clone the folder
# ../shared (test data), if there is one, read-only. Needs debootstrap. Mounts and processes end with the command.
set -euo pipefail

user='' nothing='' folder=''
while :; do
    case ${1:-} in
        --user) user=visitor; shift ;;
        --nothing) nothing=yes; shift ;;
        --keep) folder=${2:?a folder}; shift 2 ;;
        *) break ;;
    esac
done
[ $# -gt 0 ] || { sed -n '3,6s/^# //p' "$0" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "bare.sh: a Debian is made with root's rights: sudo $0 $*" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "bare.sh: debootstrap is missing: apt-get install debootstrap" >&2; exit 2; }

project=$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)
keep=$folder
[ -n "$folder" ] || folder=$(mktemp -d)
finish() { [ -n "$keep" ] || rm -rf --one-file-system "$folder" "$folder.log"; }
trap finish EXIT

# --- the Debian ---------------------------------------------------------------------------------------------------
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
sources() { # the machine's own Debian mirrors, as one-line sources: those of this release, whoever else is configured
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v c="$codename" '$2 == c || index($2, c "-") == 1 { print "deb", $1, $2, $3 }' | sort -u
}
make_debian() {
    local mirror wanted=ca-certificates
    [ -n "$nothing" ] || wanted+=,make,git,python3,python3-venv
    mirror=$(sources | awk -v c="$codename" '$3 == c { print $2; exit }')
    debootstrap --variant=minbase --include=$wanted "$codename" "$folder" "$mirror" >"$folder.log" 2>&1 ||
        { tail -n 20 "$folder.log" >&2; exit 1; }
    rm -f "$folder.log"
    sources >"$folder/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::(http|https|Check-Valid-Until|Check-Date|Languages)\b' \
        >"$folder/etc/apt/apt.conf.d/90-as-on-the-host" || true
    cp -L /etc/resolv.conf /etc/hosts "$folder/etc/"
    local file
    for file in "${PIP_CERT:-}" "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}" /etc/pip.conf; do
        [ -f "$file" ] && install -D -m 644 "$file" "$folder$file"
    done
    [ -z "$user" ] || chroot "$folder" /usr/sbin/useradd -m "$user"
}
start=$SECONDS
[ -d "$folder/etc/apt" ] || { mkdir -p "$folder"; make_debian; }
[ -d "$folder/home/project" ] || git clone -q --no-hardlinks "$project" "$folder/home/project"
chmod 755 "$folder"
[ -z "$user" ] || chroot "$folder" chown -R "$user:" /home/project
echo "bare: a Debian $codename of $(du -sxm "$folder" | cut -f1) MB after $((SECONDS - start)) s"

# --- what comes in from outside, by name; and the command -----------------------------------------------------------
environment=(HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
[ -z "$user" ] || environment[0]=HOME=/home/$user
folders=()
while IFS='=' read -r name value; do
    case $name in
        PIP_* | SSL_CERT_FILE | REQUESTS_CA_BUNDLE | http_proxy | https_proxy | no_proxy) environment+=("$name=$value") ;;
        *) continue ;;
    esac
    # An index in a folder of this machine is shown to the Debian under the same name.
    for word in $value; do
        word=${word#file://}
        if [[ $word == /* && -d $word ]]; then folders+=("$word"); fi
    done
done < <(env)

# Inside namespaces of their own, so that nothing stays mounted or running.
inside() {
    mount --make-rprivate /
    mount -t proc proc "$folder/proc"
    mount --rbind /dev "$folder/dev"
    local place
    for place in "${folders[@]}"; do
        mkdir -p "$folder$place"
        mount --bind "$place" "$folder$place"
        mount -o remount,ro,bind "$folder$place"
    done
    if [ -d "$project/../shared" ]; then
        mkdir -p "$folder/home/shared"
        mount --bind "$project/../shared" "$folder/home/shared"
        mount -o remount,ro,bind "$folder/home/shared"
    fi
    local as=()
    [ -z "$user" ] || as=(setpriv --reuid "$user" --regid "$user" --clear-groups)
    # Not exec: this shell is process 1 there, and buries the orphans of the command.
    # shellcheck disable=SC2016  # $0 and $@ are of the inner shell
    chroot "$folder" "${as[@]}" env -i "${environment[@]}" bash -c 'cd /home/project && exec "$0" "$@"' "$@" || return $?
}
export -f inside
start=$SECONDS code=0
export folder project user
declare -p environment folders >"$folder/.bare"
unshare --mount --pid --fork --kill-child bash -c '. "$folder/.bare"; inside "$@"; exit $?' bash "$@" || code=$?
echo "bare: '$*' ended with $code after $((SECONDS - start)) s; $(du -sxm "$folder" | cut -f1) MB in all," \
    "$(du -sxm "$folder/home/project" | cut -f1) MB of them the project"
exit $code
