#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# Install what `make bench` compares with, and what `make bench-count` needs
# (Debian and Ubuntu). None of it is needed to build weir, or to test it.
set -eu

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

$sudo apt-get update -q
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
  --no-install-recommends gcc make pkg-config python3 valgrind \
  libevent-dev libuv1-dev libglib2.0-dev uthash-dev libsqlite3-dev \
  nginx-light libnginx-mod-nchan
