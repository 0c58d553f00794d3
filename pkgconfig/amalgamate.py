#!/usr/bin/env python3
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""amalgamate.py DIRECTORY: all of weir in two files, weir.c and weir.h, for
those who would rather carry it along than install it.

The rooms of lib/ follow each other as in lib/floors, each with its headers
before it. What a room has for itself ends with it: a macro is undefined, and a
static name that means something elsewhere too is called room__name."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOKEN = re.compile(r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*"
    | '(?:\\.|[^'\\\n])*' | [A-Za-z_]\w* | (?:->|\.)\s*[A-Za-z_]\w*
    | \.?[0-9][\w.]* | \s+ | .""", re.S | re.X)
WORD = re.compile(r"[A-Za-z_]\w*")
SYSTEM = re.compile(r"#include <(?!weir/)(.*)>")
PUBLIC = re.compile(r"#include <weir/(\w+)\.h>")
INTERNAL = re.compile(r'#include "(\w+)\.h"')
FEATURE = re.compile(r"#define (_\w+)(?: (\d+))?")


def words(text):
    """All identifiers of a text, also those of members."""
    return {word for token in TOKEN.findall(text)
            for word in WORD.findall(token)
            if token[0] not in "/\"'" and not token[0].isdigit()}


def without_comments(text):
    return "".join(" " if token.startswith(("/*", "//")) else token
                   for token in TOKEN.findall(text))


def own_names(text):
    """What a source declares for itself at file scope: the tags of its types,
    and its statics and enumerators."""
    text = re.sub(r"^#(?:.*\\\n)*.*", "", without_comments(text), flags=re.M)
    tags = set(re.findall(r"^(?:struct|union|enum) (\w+) \{", text, re.M))
    names = set()
    for body in re.findall(r"^enum(?: \w+)? \{(.*?)\}", text, re.M | re.S):
        names |= set(re.findall(r"(?:^|,)\s*(\w+)", body))
    # A declaration at file scope starts its line, and its name is what stands
    # before the first bracket, or before what ends it.
    text = re.sub(r"^((?:\w+ )*static [^({;=]*)\{.*?^\}", r"\1", text,
                  flags=re.M | re.S)
    for declaration in re.findall(r"^(?:\w+ )*static [^({;=]*[({;=]", text,
                                  re.M):
        names.add(re.search(r"(\w+)\s*(?:\[[^]]*\]\s*)*[({;=]$",
                            declaration).group(1))
    return tags, names


def rename(text, prefix, tags, names):
    """Put a prefix before tags and names that are no members."""
    out = []
    before = ""
    for token in TOKEN.findall(text):
        known = tags if before in ("struct", "union", "enum") else names
        out.append(prefix + token if token in known else token)
        before = before if token.isspace() else token
    return "".join(out)


class Amalgamation:
    def __init__(self):
        floors = re.sub("#.*", "", (ROOT / "lib/floors").read_text()).split()
        self.sources = {room: (ROOT / f"lib/{room}.c").read_text()
                        for room in floors if (ROOT / f"lib/{room}.c").exists()}
        self.headers = {file.stem: file.read_text()
                        for file in (ROOT / "lib").glob("*.h")}
        self.public = {file.stem: file.read_text()
                       for file in (ROOT / "include/weir").glob("*.h")}
        self.words = {
            **{f"{room}.c": words(text) for room, text in self.sources.items()},
            **{f"{room}.h": words(text) for room, text in self.headers.items()},
            "public": words("".join(self.public.values()))}
        self.included = set()
        self.system = set()
        self.features = set()

    def hoist(self, text, depth):
        """Take out what belongs at the top: system headers that are wanted on
        every system, and the macros that say what is wanted of them."""
        lines = []
        for line in text.splitlines():
            if line.startswith("#if"):
                depth += 1
            elif line.startswith("#endif"):
                depth -= 1
            if SYSTEM.match(line) and depth == 0:
                self.system.add(line)
            elif FEATURE.match(line):
                self.features.add(FEATURE.match(line).groups(""))
            elif not PUBLIC.match(line):
                lines.append(line)
        return lines

    def header(self, room):
        """An internal header with what it includes, the first time."""
        if room in self.included:
            return []
        self.included.add(room)
        lines = []
        for line in self.hoist(self.headers[room], -1):
            other = INTERNAL.match(line)
            if other:
                lines += self.header(other.group(1))
            else:
                lines.append(line)
        return lines

    def source(self, room):
        text = self.sources[room]
        if (ROOT / f"lib/{room}_kernel.h").exists():
            text = text.replace(f'#include "{room}_kernel.h"\n',
                                self.headers[f"{room}_kernel"])
        elsewhere = {word for file, known in self.words.items()
                     if file != f"{room}.c" for word in known
                     if not word.startswith("weir_")}
        tags, names = own_names(text)
        text = rename(text, f"{room}__", tags & elsewhere, names & elsewhere)
        macros = sorted(set(re.findall(r"^# *define ([A-Za-z]\w*)", text,
                                       re.M)))
        headers, lines = [], []
        for line in self.hoist(text, 0):
            other = INTERNAL.match(line)
            if other:
                headers += self.header(other.group(1))
            else:
                lines.append(line)
        return (["WEIR__BEGIN", *headers, "WEIR__END"] if headers else []) + (
            lines + [f"#undef {macro}" for macro in macros])

    def public_header(self, room):
        """A public header with what it includes, the first time."""
        if room in self.included:
            return []
        self.included.add(room)
        lines = []
        for line in self.public[room].splitlines():
            other = PUBLIC.match(line)
            lines += self.public_header(other.group(1)) if other else [line]
        return lines

    def weir_h(self):
        self.included.clear()
        return self.public_header("weir")

    def weir_c(self):
        self.included.clear()
        rooms = []
        for room in self.sources:
            rooms += ["", f"/* --- {room} --- */", ""] + self.source(room)
        return [
            line for name, value in sorted(self.features)
            for line in (f"#ifndef {name}", f"#define {name} {value}".rstrip(),
                         "#endif")
        ] + ["", '#include "weir.h"', ""] + sorted(self.system) + [
            "", "/* What is not for the outside is not exported either. */",
            "#if defined(__GNUC__) && !defined(_WIN32)",
            '#define WEIR__BEGIN _Pragma("GCC visibility push(hidden)")',
            '#define WEIR__END _Pragma("GCC visibility pop")', "#else",
            "#define WEIR__BEGIN", "#define WEIR__END", "#endif"] + rooms


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    licence = (ROOT / "LICENSE").read_text().strip()
    all_of_it = Amalgamation()
    for name, lines in ("weir.h", all_of_it.weir_h()), (
            "weir.c", all_of_it.weir_c()):
        text = "\n".join(lines)
        # What hoisting has left empty, and the licence lines of the parts.
        text = re.sub(r"^#if[^\n]*\n(?:#else\n)?#endif\n", "", text, flags=re.M)
        text = re.sub(r"^/\* weir: [^\n]*\*/\n", "", text, flags=re.M)
        text = re.sub(r"\n{3,}", "\n\n", text).strip()
        (directory / name).write_text(
            f"/* weir: resumable Server-Sent Events, made into two files.\n *\n"
            f"{re.sub('^', ' * ', licence, flags=re.M)} */\n\n{text}\n")


main()
