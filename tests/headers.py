# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""What the public headers declare, for those who compare it with something."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADERS = sorted((ROOT / "include/weir").glob("*.h"))


def text():
    """All headers, without comments."""
    return "\n".join(re.sub(r"/\*.*?\*/", " ", header.read_text(), flags=re.S)
                     for header in HEADERS)


def version():
    return ".".join(re.search(rf"^#define WEIR_VERSION_{part} (\d+)", text(),
                              re.M).group(1)
                    for part in ("MAJOR", "MINOR", "PATCH"))


def functions():
    """From the name of each function to its prototype, on one line."""
    found = {}
    for prototype in re.findall(r"^WEIR_API\s([^;]*);", text(), re.M):
        prototype = " ".join(prototype.split())
        found[re.search(r"(\w+)\(", prototype).group(1)] = prototype
    return found


def members():
    """From the name of each public struct to its fields' declarations."""
    return {name: [" ".join(field.split()) for field in body.split(";")
                   if field.strip()]
            for body, name in re.findall(
                r"^typedef struct \w+ \{(.*?)^\} (\w+);", text(), re.M | re.S)}


def structs():
    """From the name of each public struct to the names of its fields."""
    def name(field):
        found = re.search(r"\(\*(\w+)\)|(\w+)(?:\[\w+\])?$", field)
        return found.group(1) or found.group(2)
    return {struct: [name(field) for field in fields]
            for struct, fields in members().items()}


def constants():
    """The names of all numbers, but for the version and WEIR_NEVER."""
    found = []
    for body in re.findall(r"^enum \{(.*?)\};", text(), re.M | re.S):
        found += re.findall(r"\b(WEIR_\w+) =", body)
    found += re.findall(r"^#define (WEIR_\w+) [(\d]", text(), re.M)
    return [name for name in found if not name.startswith("WEIR_VERSION_")]
