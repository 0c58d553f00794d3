#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# Build and run the bindings of examples/bindings, each where its language is
# found: bindings.sh [LANGUAGE ...]. `make bindings` calls this.
#
# What is not found is skipped by name; with BINDINGS_REQUIRED=1 that is an
# error. Nothing is written but below B.
set -eu

cd "$(dirname "$0")/.."
B=$(cd "${B:-build}" && pwd)
out=$B/bindings
from=$PWD/examples/bindings
include=$PWD/include
export WEIR_ABI="$out/abi.txt"
export WEIR_LIBRARY="$B/libweir.so"
export LD_LIBRARY_PATH="$B${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
status=0

# A program that answers: a name on the PATH may be a shim without anything.
have() {
  "$@" >/dev/null 2>&1
}

skip() {
  echo "*** SKIPPED: no $2 for examples/bindings/$1" \
    "(tests/setup.sh bindings installs all)"
  [ "${BINDINGS_REQUIRED:-0}" = 0 ] || status=1
}

# Run a test: one line if it passes, else all that it says.
run() {
  name=$1
  shift
  if said=$("$@" 2>&1); then
    echo "bindings: $name: passed"
  else
    printf '%s\n' "$said" >&2
    echo "bindings: $name: FAILED" >&2
    status=1
  fi
}

test_python() {
  if ! have "${PYTHON:=python3}" -c 'import ctypes'; then
    skip python "$PYTHON with ctypes"
    return
  fi
  for test in "$from"/python/test_*.py; do
    run "python $(basename "$test" .py)" "$PYTHON" -B "$test"
  done
}

test_node() {
  if ! have node --version || ! have npm --version; then
    skip node 'node and npm'
    return
  fi
  mkdir -p "$out/node"
  cp "$from/node/package.json" "$out/node/"
  if ! have npm --prefix "$out/node" ls koffi &&
      ! have npm --prefix "$out/node" install --no-audit --no-fund; then
    skip node koffi
    return
  fi
  export NODE_PATH="$out/node/node_modules"
  run node node --test "$from/node/test.js"
}

build_rust() {
  rustc --edition 2021 --crate-type rlib --crate-name weir -L "$B" \
    -o "$out/rust/libweir.rlib" "$from/rust/weir.rs" &&
  rustc --edition 2021 --test --extern "weir=$out/rust/libweir.rlib" -L "$B" \
    -o "$out/rust/test" "$from/rust/test.rs" &&
  "$out/rust/test"
}

test_rust() {
  if ! have rustc --version; then
    skip rust rustc
    return
  fi
  mkdir -p "$out/rust"
  run rust build_rust
}

build_go() {
  cd "$from/go"
  GOCACHE=$out/go GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=1 \
  CGO_CFLAGS=-I$include CGO_LDFLAGS="-L$B" go test -count=1 ./...
}

test_go() {
  if ! have go version; then
    skip go go
    return
  fi
  run go build_go
}

test_lua() {
  if ! have luajit -v; then
    skip lua luajit
    return
  fi
  LUA_PATH="$from/lua/?.lua" run lua luajit "$from/lua/test.lua"
}

[ $# -gt 0 ] || set -- python node rust go lua
for language; do
  "test_$language"
done
exit $status
