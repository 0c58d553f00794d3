#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# lintian accepts the packages in $B/deb, and somebody who has unpacked them
# builds and runs a program with them.
set -eu

: "${CC:=cc}" "${B:=build}"
deb=$B/deb
root=$deb/root
multiarch=usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)

if command -v lintian > /dev/null; then
  lintian --profile debian --allow-root --fail-on error,warning "$deb"/*.changes
  echo "check-deb: lintian"
else
  echo "check-deb: SKIPPED: lintian, which is not here"
fi

for package in libweir0 libweir-dev; do
  dpkg-deb -x "$deb/$package"_*.deb "$root"
done
unset PKG_CONFIG_PATH
export PKG_CONFIG_SYSROOT_DIR="$root"
export PKG_CONFIG_LIBDIR="$root/$multiarch/pkgconfig"
$CC $(pkg-config --cflags weir) -o "$deb/shared" tests/consumers/consumer.c \
  -L"$root/$multiarch" $(pkg-config --libs weir)
LD_LIBRARY_PATH=$root/$multiarch "$deb/shared" | grep -q '^data: hello$'
$CC $(pkg-config --cflags weir) -o "$deb/static" tests/consumers/consumer.c \
  -L"$root/$multiarch" -Wl,-Bstatic $(pkg-config --static --libs weir) \
  -Wl,-Bdynamic
"$deb/static" | grep -q '^data: hello$'
echo "check-deb: cc, shared and static"
