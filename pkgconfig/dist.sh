#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# dist.sh NAME FILE: the tree as a tarball. The same tree gives the same bytes,
# wherever and whenever: in order, owned by root, of one time, which is the
# commit's, or that of the tarball that this tree came in.
set -eu
export LC_ALL=C

name=$1 file=$2
if [ -e .git ]; then
  git ls-files > "$file.list"
  time=$(git log -1 --format=%ct)
else
  find . -type f ! -path './build*' ! -path './debian/*' |
    sed 's|^\./||' > "$file.list"
  time=$(date -r Makefile +%s)
fi
sort -o "$file.list" "$file.list"
tar -c -f "$file.tar" --format=ustar --sort=none --no-recursion \
  --owner=0 --group=0 --numeric-owner --mode=u+rw,go+r-w,a+X \
  --mtime="@${SOURCE_DATE_EPOCH:-$time}" --transform="s|^|$name/|" \
  -T "$file.list"
gzip -9n < "$file.tar" > "$file"
rm "$file.list" "$file.tar"
echo "$file"
