#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# Install what examples/hosts and their test need (Debian 12, Ubuntu 24.04).
set -eu

sudo=
test "$(id -u)" -eq 0 || sudo=sudo
$sudo apt-get update
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y \
  --no-install-recommends curl libcivetweb-dev libevent-dev libmicrohttpd-dev \
  libnghttp2-dev libuv1-dev pkg-config python3 python3-h2
