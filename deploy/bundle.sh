#!/usr/bin/env bash
# Carry an installation to a machine without internet: everything in one folder, each file with its digest.
# usage: bundle.sh images FOLDER    on a connected machine with an engine: build, pull and save every image of compose.yaml
#        bundle.sh wheels FOLDER    on a connected machine of the same Debian: every Python package, for systemd
#                                   (PYTHON= another Python than the Debian's)
#        bundle.sh load FOLDER      on the other machine: compare every digest, then load the images, if there are any
# ENGINE=podman takes podman in place of docker, and podman-compose where it has no compose of its own. The weights of the
# networks go their own way: docs/models.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

engine=${ENGINE:-docker}
what=${1:-} folder=${2:-}
[ -n "$folder" ] || { sed -n '3,7s/^# //p' "$0" >&2; exit 2; }

sources() { # what compose and systemd need beside images and packages, as it stands in the last commit
    git archive --format=tar.gz --prefix=crlm-node/ -o "$folder/crlm-node.tar.gz" HEAD
}
images() { # of every service and profile, as deploy/.env has its variables
    [ ! -f deploy/.env ] || { set -a && . deploy/.env && set +a; }
    sed -n 's/^ *image: *//p' deploy/compose.yaml | while read -r image; do eval "echo $image"; done | LC_ALL=C sort -u
}
seal() { (cd "$folder" && find . -type f ! -name SHA256SUMS -print0 | LC_ALL=C sort -z | xargs -0 sha256sum >SHA256SUMS); }

case $what in
    images)
        mkdir -p "$folder"
        sources
        compose=("$engine" compose)
        "${compose[@]}" version >/dev/null 2>&1 || compose=("$engine-compose")
        "${compose[@]}" -f deploy/compose.yaml build
        mapfile -t images < <(images)
        for image in "${images[@]}"; do [[ $image == crlm-node* ]] || "$engine" pull -q "$image"; done
        several=()
        if [[ $("$engine" --version) == podman* ]]; then several=(--multi-image-archive); fi
        "$engine" save "${several[@]}" -o "$folder/images.tar" "${images[@]}"
        # What was fetched by a tag is written down by its digest.
        "$engine" image inspect --format '{{.Id}} {{join .RepoTags ","}} {{join .RepoDigests ","}}' "${images[@]}" \
            >"$folder/images.txt"
        seal
        ;;
    wheels)
        mkdir -p "$folder/wheels"
        sources
        python=${PYTHON:-/usr/bin/python3} # of the Debian: what is fetched depends on it, to the third number
        packer=$(mktemp -d)
        trap 'rm -rf "$packer"' EXIT
        "$python" -m venv "$packer"
        # Wheels of all, for there nothing can be built.
        "$packer/bin/python" -m pip wheel -q -w "$folder/wheels" -c deploy/constraints/node.txt \
            -c deploy/constraints/worker.txt '.[worker]'
        seal
        echo "there, with $("$python" -V) as here: pip install --no-index --find-links $folder/wheels 'crlm-node[worker]'"
        ;;
    load)
        [ -f "$folder/SHA256SUMS" ] || { echo "bundle.sh: $folder holds no SHA256SUMS: it is no bundle" >&2; exit 1; }
        (cd "$folder" && sha256sum --quiet --strict --check SHA256SUMS) ||
            { echo "bundle.sh: the bundle is not what was packed: carry it again; nothing was loaded" >&2; exit 1; }
        if [ -f "$folder/images.tar" ]; then "$engine" load -i "$folder/images.tar"; fi
        ;;
    *) sed -n '3,7s/^# //p' "$0" >&2; exit 2 ;;
esac
