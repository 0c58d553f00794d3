#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# Install what `make check-install check-dist check-deb check-amalgamation
# check-release check-format` need (Debian 12, Ubuntu 24.04).
set -eu

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

$sudo apt-get update -q
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
  --no-install-recommends abigail-tools build-essential check clang \
  clang-format cmake debhelper devscripts g++ git lintian meson pkg-config \
  python3
