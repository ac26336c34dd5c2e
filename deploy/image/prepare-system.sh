#!/bin/sh
# Installs the system packages that the service runs, and makes the folder for its data.
# Usage: prepare-system.sh PREFIX   The image's user owns PREFIX/data; PREFIX is / in an image.
set -eu
prefix=${1%/}

apt-get -qq update
apt-get -qqy install --no-install-recommends ca-certificates git openssh-client tini
rm -rf "$prefix"/var/lib/apt/lists/*

# Group 0, because some platforms run images as a number of their own. The user has a name because
# ssh refuses to run for one who has none.
mkdir -p "$prefix/data" "$prefix/etc"
echo 'tenantry:x:10001:0::/data:/usr/sbin/nologin' >>"$prefix/etc/passwd"
chown 10001:0 "$prefix/data"
chmod 770 "$prefix/data"
