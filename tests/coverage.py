#!/usr/bin/env python3
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""What of lib/ the unit suites have executed: lines, and both ways of every
branch.

    tests/coverage.py BUILD    a table, and what is missing; fails if any is

BUILD is a build with gcc's --coverage whose suites have run. What cannot be
reached says why, in a comment before it:

    /* not reached: why */

That is for what follows, up to the first line that ends in a semicolon; at most
LIMIT lines and branches in all. One before what is reached has no reason any
more, and is an error.

What is made for AVX2 or AVX-512 is asked for where the processor has that.
"""
import glob
import json
import os
import platform
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MARKER = "/* not reached: "
LIMIT = 20
WIDE = {"lib/frame_wide.c": {"avx512bw", "avx512vl", "bmi2"},
        "lib/frame_wide.h": {"avx512bw", "avx512vl", "bmi2"},
        "lib/lines.c": {"avx2"},
        "lib/lines.h": {"avx2"},
        "lib/lines_kernel.h": {"avx2"},
        "lib/crc32c_wide.c": {"avx512bw", "avx512_vbmi2", "vpclmulqdq"}}


def executed(build):
    """{file: {(line, function): [count of it, count of each branch ...]}}

    What several files include is one; but a kernel, compiled under several
    names, is as many.
    """
    found = {}
    notes = sorted(glob.glob(os.path.join(build, "obj/lib/*.gcno")))
    if not notes:
        sys.exit(f"coverage.py: {build} has no --coverage")
    text = subprocess.run(["gcov", "--json-format", "--stdout",
                           "--branch-probabilities"] + notes,
                          check=True, cwd=ROOT, stdout=subprocess.PIPE,
                          universal_newlines=True).stdout
    for unit in text.splitlines():
        for file in json.loads(unit)["files"]:
            if not file["file"].startswith("lib/"):
                continue
            lines = found.setdefault(file["file"], {})
            for line in file["lines"]:
                key = line["line_number"], line.get("function_name", "")
                counts = [line["count"]] + [b["count"]
                                            for b in line["branches"]]
                before = lines.get(key, [0] * len(counts))
                lines[key] = [a + b for a, b in zip(before, counts)]
    return found


def excluded(path):
    """{number of a line: that of its marker}"""
    found = {}
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        lines = file.read().splitlines()
    for marker, line in enumerate(lines, 1):
        if MARKER in line:
            number = marker
            while not lines[number - 1].endswith(";"):
                number += 1
                found[number] = marker
    return found


def too_wide():
    """What an x86-64 like this cannot execute."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = file.read().split()
    except OSError:
        return set(WIDE)
    return {path for path, wanted in WIDE.items()
            if platform.machine() == "x86_64" and not wanted.issubset(flags)}


def percent(part, whole):
    """Rounded down: 100 is all."""
    return f"{part * 1000 // whole / 10 if whole else 100.0:5.1f}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    missing = []
    stale = []
    exceptions = 0
    total = [0, 0, 0, 0]
    unasked = too_wide()
    print(f"{'':24}{'lines':>14}{'branches':>16}")
    for path, lines in sorted(executed(os.path.abspath(sys.argv[1])).items()):
        if path in unasked:
            print(f"{path:24} not asked for: this processor is too narrow")
            continue
        row = [0, 0, 0, 0]
        markers = excluded(path)
        used = set()
        for (number, function), counts in sorted(lines.items()):
            holes = counts.count(0)
            if number in markers and holes != 0:
                exceptions += holes
                used.add(markers[number])
                continue
            row[0] += counts[0] != 0
            row[1] += 1
            row[2] += len(counts) - 1 - counts[1:].count(0)
            row[3] += len(counts) - 1
            if counts[0] == 0:
                missing.append(f"{path}:{number}: {function}: never")
            elif holes != 0:
                ways = [i for i, n in enumerate(counts[1:]) if n == 0]
                missing.append(f"{path}:{number}: {function}: branch "
                               + " ".join(map(str, ways)))
        stale += [f"{path}:{number}"
                  for number in sorted(set(markers.values()) - used)]
        total = [a + b for a, b in zip(total, row)]
        print(f"{path:24}{row[1]:6} {percent(*row[:2])} %"
              f"{row[3]:8} {percent(*row[2:])} %")
    print(f"{'':24}{total[1]:6} {percent(*total[:2])} %"
          f"{total[3]:8} {percent(*total[2:])} %")
    print(f"{exceptions} lines and branches are not reached for a reason")
    for line in missing:
        print(line)
    for line in stale:
        print(f"{line}: is reached")
    if exceptions > LIMIT:
        print(f"that is more than {LIMIT}")
    sys.exit(bool(missing or stale or exceptions > LIMIT))


if __name__ == "__main__":
    main()
