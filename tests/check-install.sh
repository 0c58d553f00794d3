#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# Install, move what was installed somewhere else, build other people's programs
# with it by means of pkg-config alone, and uninstall: nothing is left.
# MAKE, CC and B are as in the Makefile.
set -eu

: "${MAKE:=make}" "${CC:=cc}" "${B:=build}"
mkdir -p "$B"
work=$(cd "$B" && pwd)/install
consumers=$(cd tests/consumers && pwd)
case $B in /*) ;; *) B=$PWD/$B ;; esac
unset DESTDIR PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR LD_LIBRARY_PATH
unset MAKEFLAGS MAKELEVEL

fail() {
  echo "check-install: $*" >&2
  exit 1
}

install() {
  $MAKE -s "$@" CC="$CC" B="$B" DESTDIR="$work/stage" prefix=/opt/weir
}

# It prints one event with the id of its position; $1 says who has built it.
runs() {
  "$2" > "$work/out" || fail "$1: the program fails"
  grep -q '^id: .*-1$' "$work/out" && grep -q '^data: hello$' "$work/out" ||
    fail "$1: the program prints something else: $(cat "$work/out")"
  echo "check-install: $1"
}

needs() {
  readelf -d "$1" | grep -q 'NEEDED.*\[libweir\.so\.0\]'
}

# $1: where the libraries are below the prefix.
check() {
  libdir=$1
  rm -rf "$work"
  mkdir -p "$work"
  install install libdir="/opt/weir/$libdir"
  [ -d "$work/stage/opt/weir/include/weir" ] || fail "nothing installed"

  # Where it has been installed nobody will find it.
  mkdir "$work/moved"
  mv "$work/stage/opt/weir" "$work/moved/weir"
  PKG_CONFIG_PATH=$work/moved/weir/$libdir/pkgconfig
  LD_LIBRARY_PATH=$work/moved/weir/$libdir
  export PKG_CONFIG_PATH LD_LIBRARY_PATH
  pkg-config --validate weir || fail "weir.pc is not valid"
  [ "$($MAKE -s version)" = "$(pkg-config --modversion weir)" ] ||
    fail "weir.pc tells another version"

  flags="-std=c11 -Wall -Wextra -Werror $(pkg-config --cflags weir)"
  $CC $flags -o "$work/shared" "$consumers/consumer.c" \
    $(pkg-config --libs weir)
  needs "$work/shared" || fail "shared: not linked by its soname"
  runs "cc, shared, $libdir" "$work/shared"

  $CC $flags -o "$work/static" "$consumers/consumer.c" \
    -Wl,-Bstatic $(pkg-config --static --libs weir) -Wl,-Bdynamic
  ! needs "$work/static" || fail "static: needs the shared library"
  runs "cc, static, $libdir" "$work/static"

  $CC $flags -static -o "$work/alone" "$consumers/consumer.c" \
    $(pkg-config --static --libs weir)
  runs "cc -static, $libdir" "$work/alone"

  if command -v cmake > /dev/null; then
    CC=$CC cmake -S "$consumers" -B "$work/cmake" \
      > "$work/log" && cmake --build "$work/cmake" > "$work/log" ||
      fail "CMake: $(cat "$work/log")"
    runs "CMake, $libdir" "$work/cmake/consumer"
  else
    echo "check-install: SKIPPED: CMake, which is not here"
  fi
  if command -v meson > /dev/null; then
    CC=$CC meson setup "$work/meson" "$consumers" > "$work/log" &&
      meson compile -C "$work/meson" > "$work/log" ||
      fail "Meson: $(cat "$work/log")"
    runs "Meson, $libdir" "$work/meson/consumer"
  else
    echo "check-install: SKIPPED: Meson, which is not here"
  fi

  mv "$work/moved/weir" "$work/stage/opt/weir"
  install uninstall libdir="/opt/weir/$libdir"
  left=$(cd "$work/stage" && find . ! -path . ! -path ./opt ! -path ./opt/weir)
  [ -z "$left" ] || fail "uninstall leaves $left"
}

check lib
check lib/x86_64-linux-gnu

# Into a directory that is named from here, with a prefix that has a space.
staged=$work/staged
staged=${staged#"$PWD"/}
for what in install uninstall; do
  $MAKE -s $what CC="$CC" B="$B" DESTDIR="$staged" prefix='/opt/we ir'
  [ $what = uninstall ] || [ -f "$staged/opt/we ir/lib/pkgconfig/weir.pc" ] ||
    fail "a prefix with a space: there is no weir.pc"
done
left=$(find "$staged" -mindepth 3)
[ -z "$left" ] || fail "uninstall, a prefix with a space: leaves $left"
rm -rf "$work"
