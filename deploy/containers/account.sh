#!/bin/sh
# The account that an image runs as, and the folder that is its own: the same numbers in every image and on the host.
set -eu
groupadd --gid 10001 crlm-node
useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/crlm-node --shell /usr/sbin/nologin crlm-node
install -d -o crlm-node -g crlm-node -m 700 /var/lib/crlm-node
install -d -m 755 /etc/crlm-node
