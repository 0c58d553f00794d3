#!/usr/bin/env python3
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Compare what programs are compiled against with what is on record in
tests/abi: prototypes, numbers and fields (interface); sizes and offsets where
pointers have 64 bits (lp64), and where they have 32 and uint64_t in a struct is
aligned to 4 bytes, as on i386 (ilp32).

With --update the record is written anew: after a release only what leaves all
older programs working may be. CC is the compiler."""
import os
import re
import shlex
import subprocess
import sys

sys.dont_write_bytecode = True
import headers  # noqa: E402

RECORD = headers.ROOT / "tests/abi"


def evaluate(expressions, flags):
    """The values of constant expressions, which the compiler leaves in its
    assembly, so that nothing has to be linked or run. None if it cannot."""
    lines = ["#include <weir/weir.h>",
             "struct probe { char first; uint64_t second; };",
             "void values(void);", "void values(void) {"]
    for name, expression in expressions.items():
        lines.append(
            f'__asm__ volatile(".ascii \\"ABI {name} %c0 %c1\\"" :: '
            f'"i"((uint32_t)((uint64_t)({expression}) >> 32)), '
            f'"i"((uint32_t)(uint64_t)({expression})));')
    lines.append("}")
    compiler = shlex.split(os.environ.get("CC", "cc"))
    run = subprocess.run(
        compiler + ["-std=c11", "-ffreestanding", "-S", "-o", "-", "-x", "c",
                    f"-I{headers.ROOT}/include"] + flags + ["-"],
        input="\n".join(lines) + "\n", capture_output=True, text=True)
    if run.returncode != 0:
        return None
    values = {}
    for name, high, low in re.findall(r'"ABI (\S+) (-?\d+) (-?\d+)"',
                                      run.stdout):
        value = (int(high) % 2**32 << 32) + int(low) % 2**32
        values[name] = value - 2**64 if value >= 2**63 else value
    assert values.keys() == expressions.keys(), run.stdout
    return values


def interface():
    values = evaluate({name: name for name in headers.constants()}, [])
    if values is None:
        sys.exit("check-abi: the headers do not compile")
    return (sorted(f"{prototype};"
                   for prototype in headers.functions().values())
            + [f"{name} = {value}" for name, value in values.items()]
            + [f"{struct}: {field};"
               for struct, fields in headers.members().items()
               for field in fields])


def layout(flags):
    """The name of a data model, and the lines that describe the structs."""
    expressions = {"pointer": "sizeof(void *)",
                   "align": "offsetof(struct probe, second)"}
    for struct, fields in headers.structs().items():
        expressions[struct] = f"sizeof({struct})"
        for field in fields:
            expressions[f"{struct}.{field}.at"] = f"offsetof({struct}, {field})"
            expressions[f"{struct}.{field}.size"] = (
                f"sizeof((({struct} *)0)->{field})")
    values = evaluate(expressions, flags)
    if values is None:
        return None, []
    model = {(8, 8): "lp64", (4, 4): "ilp32"}.get(
        (values["pointer"], values["align"]))
    lines = []
    for struct, fields in headers.structs().items():
        lines.append(f"{struct}: {values[struct]} bytes")
        lines += [f"{struct}.{field}: {values[f'{struct}.{field}.size']} at "
                  f"{values[f'{struct}.{field}.at']}" for field in fields]
    return model, lines


def main():
    update = sys.argv[1:] == ["--update"]
    found = {"interface": interface()}
    for flags in [], ["-m32"], ["-m64"]:
        model, lines = layout(flags)
        if model is not None:
            found[model] = lines
    good = True
    for name in "interface", "lp64", "ilp32":
        if name not in found:
            print(f"check-abi: SKIPPED: {name}, which this compiler cannot do")
            continue
        file = RECORD / name
        if update:
            file.write_text("\n".join(found[name]) + "\n")
            continue
        record = file.read_text().splitlines()
        for line in record:
            if line not in found[name]:
                print(f"check-abi: {name}: gone or changed: {line}")
                good = False
        for line in found[name]:
            if line not in record:
                print(f"check-abi: {name}: not on record: {line}")
                good = False
    if not good:
        sys.exit("check-abi: what was released never changes; what is new is "
                 "put on record by make update-abi")


main()
