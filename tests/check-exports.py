#!/usr/bin/env python3
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""The shared library exports what the headers declare, in the versions of
lib/weir.map, and nothing else; Debian's list of symbols names the same; the
static library defines no name that could be somebody else's; and the shared
one needs nothing but libc. B is where the libraries are. With --update new
names are added to Debian's list, as of this version."""
import os
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
import headers  # noqa: E402

BUILD = pathlib.Path(os.environ.get("B", "build"))
SYMBOLS = headers.ROOT / "pkgconfig/debian/libweir0.symbols"
SYSTEM = re.compile(r"(?:libc|libc\.musl-.*|ld-.*)\.so(?:\.\d+)?$")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True,
                          text=True).stdout


def exported():
    """From the name of each exported function to its version."""
    found = {}
    for line in run("nm", "-D", "--defined-only",
                    str(BUILD / "libweir.so")).splitlines():
        kind, name = line.split()[-2:]
        if kind != "A":
            found[name.split("@")[0]] = name.rpartition("@")[2]
    return found


def update(names):
    """Debian's list: what is new is added, what came and went within this
    version is dropped."""
    head, rows = [], {}
    for line in SYMBOLS.read_text().splitlines():
        if "@" in line and line.split("@")[0][1:] in line.split("@")[1].split():
            head.append(line)
        elif line.startswith(" "):
            rows[line.split("@")[0].strip()] = line
        else:
            head.append(line)
    for name in rows.keys() - names.keys():
        if rows[name].endswith(f" {headers.version()}"):
            del rows[name]
    for name in names.keys() - rows.keys():
        rows[name] = f" {name}@{names[name]} {headers.version()}"
    SYMBOLS.write_text("\n".join(head + [rows[name] for name in sorted(rows)])
                       + "\n")


def main():
    problems = []

    def compare(wrong, names):
        problems.extend(f"{name}: {wrong}" for name in sorted(names))

    library = exported()
    if sys.argv[1:] == ["--update"]:
        update(library)
    declared = headers.functions().keys()
    versions = re.findall(r"^(\w+) \{",
                          (headers.ROOT / "lib/weir.map").read_text(), re.M)
    compare("exported, and in no header", library.keys() - declared)
    compare("in a header, and not exported", declared - library.keys())
    compare("exported without a version of weir.map",
            {name for name in library if library[name] not in versions})

    listed = set(re.findall(r"^ (\w+)@", SYMBOLS.read_text(), re.M)
                 ) - set(versions)
    compare(f"not in {SYMBOLS.name}", library.keys() - listed)
    compare(f"in {SYMBOLS.name}, and not exported", listed - library.keys())

    # A name with a point in it is the compiler's.
    archive = {line.split()[-1] for line in
               run("nm", "-g", "--defined-only", str(BUILD / "libweir.a")
                   ).splitlines() if len(line.split()) == 3}
    compare("in the static library, and not called weir_",
            {name for name in archive
             if not name.startswith("weir_") and "." not in name})

    needed = re.findall(r"\(NEEDED\).*\[(.*)\]",
                        run("readelf", "-d", str(BUILD / "libweir.so")))
    compare("needed by the shared library, besides libc",
            {name for name in needed if not SYSTEM.match(name)})

    for problem in problems:
        print(f"check-exports: {problem}")
    if problems:
        sys.exit(1)


main()
