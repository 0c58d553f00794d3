#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# Install what tests need (Debian and Ubuntu): setup.sh [WHAT ...]. Packages
# that are there are left alone, so a second run does nothing.
#
#   check       what `make check` runs
#   browser     the same, for what is in a browser or from npm; these two are
#               the default
#   long        compilers and tools that .ci/run adds
#   portability compilers for other machines, and what runs their programs
#   packaging   for `make check-install`, `check-dist`, `check-deb`
#   bindings    the languages of examples/bindings
#   hosts       the libraries of examples/hosts
#   prove       what `make prove` runs
#   fuzz        what `make fuzz` runs
#   bench       what `make bench` compares with
#
# weir itself needs a C compiler and make, no more. `browser` may fail: its tests
# then say loudly that they were left out.
set -eu

packages() {
  case $1 in
    check) echo gcc libc6-dev make pkg-config check python3 nodejs mandoc \
      binutils valgrind ;;
    browser) echo chromium chromium-driver ;;
    long) echo clang clang-format clang-tidy cppcheck git ca-certificates curl ;;
    portability) echo clang gcc gcc-12-multilib musl-tools \
      gcc-s390x-linux-gnu libc6-dev-s390x-cross gcc-aarch64-linux-gnu \
      libc6-dev-arm64-cross qemu-user-static gcc-mingw-w64-x86-64 wine wine64 ;;
    packaging) echo abigail-tools build-essential cmake debhelper devscripts \
      g++ git lintian meson ;;
    bindings) echo luajit golang-go rustc nodejs npm ;;
    hosts) echo curl libcivetweb-dev libevent-dev libmicrohttpd-dev \
      libnghttp2-dev libuv1-dev python3-h2 ;;
    prove) echo frama-c-base why3 cvc4 z3 gcc ;;
    fuzz) echo clang libclang-rt-14-dev ;;
    bench) echo valgrind libevent-dev libuv1-dev libglib2.0-dev uthash-dev \
      libsqlite3-dev nginx-light libnginx-mod-nchan ;;
    *) echo "setup.sh: what is $1?" >&2 && exit 2 ;;
  esac
}

# Those of the packages that are not there.
missing() {
  for package; do
    # What is there in another way need not come from a package.
    case $package in
      nodejs) node --version > /dev/null 2>&1 && continue ;;
      npm | rustc | luajit) command -v "$package" > /dev/null && continue ;;
      golang-go) command -v go > /dev/null && continue ;;
    esac
    dpkg-query -W -f '${Status}\n' "$package" 2> /dev/null |
      grep -q 'ok installed' || echo "$package"
  done
}

install_all() {
  sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get -q update > /dev/null || :
  # A machine that is new upgrades itself at first: wait for that.
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
    -o DPkg::Lock::Timeout=300 --no-install-recommends install "$@" > /dev/null
}

setup() {
  want=$(packages "$1")
  if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null
  then
    echo "setup: no apt-get here; the tests need what these packages hold:" \
      $want
    return
  fi
  want=$(missing $want)
  if [ -z "$want" ]; then
    echo "setup: all that $1 needs is there"
    return
  fi
  echo "setup: for $1:" $want
  install_all $want
}

# What is not a package of Debian's: the judge of the page's accessibility, and
# clients that nobody here has written.
setup_npm() {
  B=${B:-build}
  for package in axe-core@4.10.3 eventsource@4.1.1 undici@7.30.2; do
    [ -e "$B/node_modules/${package%@*}" ] || ! command -v npm > /dev/null ||
      npm install --silent --no-audit --no-fund --prefix "$B" "$package" ||
      echo "setup: no $package: its tests will be left out" >&2
  done
}

[ $# != 0 ] || set -- check browser
for what; do
  if [ "$what" = browser ]; then
    setup "$what" || echo "setup: NO BROWSER: its tests will be left out" >&2
    setup_npm
  else
    setup "$what"
  fi
done
