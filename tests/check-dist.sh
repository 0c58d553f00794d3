#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# check-dist.sh NAME: what is in $B/NAME.tar.gz builds by itself, passes its
# tests, and makes the same tarball again, to the byte.
set -eu

: "${MAKE:=make}" "${B:=build}"
unset MAKEFLAGS MAKELEVEL
rm -rf "$B/dist"
mkdir -p "$B/dist"
tar -xzf "$B/$1.tar.gz" -C "$B/dist"
(cd "$B/dist/$1" && umask 077 && $MAKE -s B=build check dist)
cmp "$B/$1.tar.gz" "$B/dist/$1/build/$1.tar.gz"
rm -rf "$B/dist"
echo "check-dist: $1.tar.gz"
