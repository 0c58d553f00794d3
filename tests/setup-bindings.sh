#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# Install what `make bindings` needs beside Python, on Debian and Ubuntu. koffi
# is fetched by `make bindings` itself, below its build directory.
set -eu

as_root=
[ "$(id -u)" = 0 ] || as_root=sudo

# Those that are there already, from wherever, are left alone.
wanted=
command -v luajit >/dev/null || wanted="$wanted luajit"
command -v go >/dev/null || wanted="$wanted golang-go"
command -v rustc >/dev/null || wanted="$wanted rustc"
command -v node >/dev/null || wanted="$wanted nodejs"
command -v npm >/dev/null || wanted="$wanted npm"

if [ -n "$wanted" ]; then
  $as_root apt-get update -qq
  # shellcheck disable=SC2086 # a list of packages
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends $wanted
fi
