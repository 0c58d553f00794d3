#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# The unit suites by other compilers, on other C libraries, processors and
# systems: portability.sh [TARGET ...], all by default. What this machine cannot
# do is skipped, out loud; with PORTABILITY_REQUIRED=1 that is an error.
#
#   gcc, clang   this machine
#   m32          32-bit x86, where a size_t has half of the bits
#   musl         another libc
#   s390x        big-endian, in qemu
#   aarch64      another word's alignment and order of memory, in qemu
#   mingw        Windows, in wine: all but the file log, which is POSIX
#
# tests/setup.sh portability installs what it takes.
set -u
B=${B:-build}
MAKE=${MAKE:-make}
missing=
failed=

# How to compile for a target, and what to put before its programs.
describe() {
  cc= run= flags= ld=
  case $1 in
    gcc) cc=gcc ;;
    clang) cc=clang ;;
    # gcc-multilib, which would have the kernel's headers in their place, cannot
    # be installed beside cross compilers.
    m32) cc='gcc -m32' flags="-idirafter /usr/include/$(gcc -print-multiarch)" ;;
    musl) cc=musl-gcc ld=-static ;;
    s390x) cc=s390x-linux-gnu-gcc run=qemu-s390x-static ld=-static ;;
    aarch64) cc=aarch64-linux-gnu-gcc run=qemu-aarch64-static ld=-static ;;
    mingw) cc=x86_64-w64-mingw32-gcc run=wine
      flags=-D__USE_MINGW_ANSI_STDIO ;;
    *) echo "portability.sh: what is $1?" >&2 && exit 2 ;;
  esac
}

# Whether a program that asks for what the suites ask for can be had and run.
can() {
  printf '#include <errno.h>\nint main(void) { return errno; }\n' \
      > "$dir/can.c" &&
    $cc $flags $ld -o "$dir/can.exe" "$dir/can.c" && $run "$dir/can.exe"
} > "$log" 2>&1

# The files of lib/ that need no more than libc.
core() {
  sed '/^# The file log/,$d; /^#/d' lib/floors | tr ' ' '\n' |
    while read -r room; do
      [ ! -e "lib/$room.c" ] || echo "lib/$room.c"
    done
}

# The suites, and what they share, without those that look into the file log.
without_files() {
  grep -LE 'filebench\.h|simdisk\.h|"file_|"crc32c|log_file_[a-z_]*\(|pthread\.h' "$@"
}

run_suites() {
  set -- -j"$(nproc)" -s B="$dir" CC="$cc" CHECK=standin \
    RUN="timeout 900 $run" CFLAGS="-O2 -g -Werror $flags" LDFLAGS="$ld"
  if [ "$target" = mingw ]; then
    # The compiler adds .exe to what make calls a program.
    echo 'exec wine "$1.exe"' > "$dir/wine.sh"
    set -- "$@" RUN="timeout 900 sh $dir/wine.sh" \
      lib_sources="$(core | tr '\n' ' ')" \
      kit_sources="$(without_files tests/*.c | tr '\n' ' ')" \
      unit_sources="$(without_files tests/unit/*.c | tr '\n' ' ')"
  fi
  $MAKE "$@" check-unit
} > "$log" 2>&1

mkdir -p "$B"
export WINEDEBUG=-all WINEPREFIX="$PWD/$B/wine"
[ $# != 0 ] || set -- gcc clang m32 musl s390x aarch64 mingw
for target; do
  dir=$B-$target
  log=$dir/log
  mkdir -p "$dir"
  describe "$target"
  if ! can; then
    echo "*** SKIPPED: $target: $cc${run:+ and $run}: not here" \
      "(tests/setup.sh portability)"
    missing="$missing $target"
  elif run_suites; then
    awk -v target="$target" '/ checks, 0 failed/ { suites++; checks += $2 }
      END { print target ": " suites " suites, " checks " checks: passed" }' \
      "$log"
  else
    echo "$target: FAILED (all of it: $log)"
    tail -n 20 "$log"
    failed="$failed $target"
  fi
done
[ -z "$missing" ] || [ -z "${PORTABILITY_REQUIRED:-}" ] || failed="$failed$missing"
[ -z "$failed" ] || { echo "portability: not passed:$failed"; exit 1; }
