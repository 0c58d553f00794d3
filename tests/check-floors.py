#!/usr/bin/env python3
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""A file in lib/ includes and calls only what stands before it in lib/floors.
The calls are read from the objects, below B."""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OBJECTS = pathlib.Path(os.environ.get("B", "build")) / "obj/lib"


def symbols():
    """From each room to what it defines, and to what it wants."""
    defined, wanted = {}, {}
    for file in sorted((ROOT / "lib").glob("*.c")):
        lines = subprocess.run(["nm", str(OBJECTS / f"{file.stem}.o")],
                               check=True, capture_output=True, text=True)
        for line in lines.stdout.splitlines():
            kind, name = line.split()[-2:]
            if kind == "U":
                wanted.setdefault(file.stem, []).append(name)
            elif kind.isupper():
                defined[name] = file.stem
    return defined, wanted


def main():
    rooms = re.sub("#.*", "", (ROOT / "lib/floors").read_text()).split()
    floor = {room: number for number, room in enumerate(rooms)}
    files = sorted((ROOT / "lib").glob("*.[ch]"))
    problems = []

    for room in sorted({file.stem for file in files} ^ floor.keys()):
        problems.append(f"{room}: in lib/ and not in lib/floors, or the other "
                        "way round")
    for file in files:
        for other in re.findall(r'^#include "(\w+)\.h"', file.read_text(),
                                re.M):
            if floor.get(other, 0) > floor.get(file.stem, 0):
                problems.append(f"{file.name} includes {other}.h, from above")
    defined, wanted = symbols()
    for room, names in wanted.items():
        for name in names:
            other = defined.get(name, room)
            if floor.get(other, 0) > floor.get(room, 0):
                problems.append(f"{room}.c calls {name} in {other}.c, above it")

    for problem in problems:
        print(f"check-floors: {problem}")
    if problems:
        sys.exit(1)


main()
