#!/usr/bin/env python3
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""The manual says what the headers say, and what it shows can be compiled.

mandoc has no complaint about a page, and every name of weir's in it exists.
Each function is in the NAME of one page, with the prototype and the error
numbers of its header; its line in weir_threads(7) is what the header says of
its context. Each number has a page that names it, and each field of a struct
one that has it with its type. The table of defaults in weir(7) is what the init
functions fill in. Each example compiles, those that are programs print what the
page says, and the log of weir_logs(7) passes the conformance kit.

So a page keeps to this:
- RETURN VALUES: a paragraph, from one .Pp to the next, is about the .Fn before
  its first "return" or "returns"; its error numbers are .Dv.
- The fields of a struct are items, .It Fa, of the list that follows its .Vt.
- EXAMPLES: .Bd -literal that begins with #include is a program or a part of
  one; another one is what the program before it prints.

CC is the compiler, B is where the library is."""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import headers  # noqa: E402

BUILD = pathlib.Path(os.environ.get("B", "build"))
COMPILE = shlex.split(os.environ.get("CC", "cc")) + [
    "-Wall", "-Wextra", "-Werror", "-D_DEFAULT_SOURCE",
    f"-I{headers.ROOT}/include"]

# What our pages refer to besides each other.
SYSTEM = {"fdatasync(2)", "flock(2)", "fork(2)", "malloc(3)", "poll(2)",
          "pwrite(2)", "writev(2)"}

SECTIONS = {
    "3": ["NAME", "LIBRARY", "SYNOPSIS", "DESCRIPTION", "RETURN VALUES",
          "CALLING CONTEXT", "EXAMPLES", "SEE ALSO"],
    "5": ["NAME", "DESCRIPTION", "SEE ALSO"],
    "7": ["NAME", "DESCRIPTION", "SEE ALSO"]}

problems = []


def complain(where, what):
    problems.append(f"{where}: {what}")


def compare(where, what, page, header):
    """Two sets that are to be the same."""
    for name in sorted(page - header):
        complain(where, f"{what}{name} is not in the headers")
    for name in sorted(header - page):
        complain(where, f"{what}{name} is missing")


# --- Headers ----------------------------------------------------------------


class Contract:
    """What the comment of a function says of its results and its context."""

    of = {}

    def __init__(self, comment):
        text = " ".join(re.sub(r"^ ?\*", "", comment, flags=re.M).split())
        self.returns, _, self.context = re.sub(
            "Returns, reentrancy, threads, memory: as (\\w+)",
            r"Returns as \1. Reentrancy, threads, memory: as \1",
            text).partition("Reentrancy")
        self.returns = self.returns.partition("Returns")[2]

    def errors(self):
        found = set(re.findall(r"\bWEIR_(?:OK|E[A-Z0-9]+)\b", self.returns))
        for other in re.findall(r"\bas (weir_\w+)", self.returns):
            found |= Contract.of[other].errors()
        return found

    def row(self):
        """Its line in weir_threads(7), but for the name: the thread; whether
        it may be called inside a storage function; whether it allocates; what
        it calls, besides clocks and the like."""
        other = re.match(r", threads, memory: as (\w+)", self.context)
        if other:
            return Contract.of[other.group(1)].row()
        outside = ("WEIR_EBUSY" in self.errors()
                   or "not inside a storage function" in self.context)
        calls = re.search(r"[Cc]alls (.*?)\.", self.context).group(1)
        return [re.search(r"Threads: (?:the )?(any|hub's)",
                          self.context).group(1),
                "no" if outside else "yes",
                re.search(r"Allocates: (yes|no)", self.context).group(1),
                ", ".join(name for name in
                          ("notify", "storage", "wake", "trace", "report")
                          if name in calls) or "nothing"]


def read_contracts():
    for header in headers.HEADERS:
        for comment, name in re.findall(
                r"/\*\*((?:[^*]|\*(?!/))*)\*/\s*WEIR_API\s[^;(]*\b(\w+)\(",
                header.read_text()):
            Contract.of[name] = Contract(comment)


# --- Pages ------------------------------------------------------------------


def split(line):
    """The words of a line, of which those in quotes are one."""
    return [quoted or plain for quoted, plain in
            re.findall(r'"([^"]*)"|([^\s"]+)', line)]


def literally(line):
    """A line of a display, as it is read."""
    return line.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")


class Page:
    def __init__(self, path):
        self.path = path
        self.part = path.suffix[1:]
        self.lines = path.read_text().splitlines()
        self.sections = {}
        for line in self.lines:
            if line.startswith(".Sh "):
                section = self.sections.setdefault(line[4:], [])
            elif self.sections:
                section.append(line)
        self.names = [line.split()[1] for line in self.sections["NAME"]
                      if line.startswith(".Nm ")]

    def __str__(self):
        return f"man/{self.path.name}"

    def after(self, *macros):
        """What stands behind these macros, one string for each."""
        for line in self.lines:
            if line.startswith("."):
                words = split(line[1:])
                for at, word in enumerate(words[:-1]):
                    if word in macros:
                        yield words[at + 1], " ".join(words[at + 1:])

    def synopsis(self):
        """Its headers, and its prototypes by name."""
        include, prototypes = [], {}
        for line in self.sections.get("SYNOPSIS", []):
            macro, _, rest = line.partition(" ")
            if macro == ".In":
                include.append(rest)
            elif macro == ".Ft":
                kind = rest.strip('"')
            elif macro == ".Fo":
                name, arguments = rest, []
            elif macro == ".Fa":
                arguments += split(rest)
            elif macro == ".Fc":
                prototypes[name] = (f"{kind} {name}({', '.join(arguments)})"
                                    .replace("* ", "*"))
        return include, prototypes

    def errors(self):
        """From each function in RETURN VALUES to its error numbers."""
        found = {}
        text = "\n".join(line for line in self.sections.get("RETURN VALUES", [])
                         if not line.startswith(".Bl "))
        for paragraph in re.split(r"^\.Pp$", text, flags=re.M):
            subject = re.split(r"\breturns?\b", paragraph)[0]
            numbers = re.findall(r"\bWEIR_(?:OK|E[A-Z0-9]+)\b", paragraph)
            for name in re.findall(r"^\.Fn (\w+)", subject, re.M):
                found.setdefault(name, set()).update(numbers)
        return found

    def fields(self):
        """Pairs of a struct and one of its fields."""
        struct, lists = None, []
        for line in self.lines:
            words = split(line)
            if line.startswith(".Bl "):
                lists.append(struct)
            elif line.startswith(".El"):
                lists.pop()
            elif line.startswith(".Vt weir_") and not lists:
                struct = words[1]
            elif line.startswith(".It Fa "):
                for field in words[2:]:
                    if field != ",":
                        yield lists[-1], field

    def examples(self):
        """Programs, or parts of one, with what they print, if it is shown."""
        text = "\n".join(self.sections.get("EXAMPLES", []))
        found = []
        for display in re.findall(r"^\.Bd -literal.*\n((?:.*\n)*?)\.Ed", text,
                                  re.M):
            display = "".join(f"{literally(line)}\n"
                              for line in display.splitlines())
            if display.startswith("#include"):
                found.append([display, None])
            elif found:
                found[-1][1] = display
        return found


# --- Checks -----------------------------------------------------------------


def check_lint(pages):
    if not shutil.which("mandoc"):
        print("check-man: NO MANDOC: its opinion of the pages is left out")
        return
    lint = subprocess.run(["mandoc", "-Tlint"]
                          + [str(page.path) for page in pages],
                          capture_output=True, text=True)
    for line in lint.stdout.splitlines():
        # It looks for pages that are installed; check_names is about those.
        if "referenced manual not found" not in line:
            complain("mandoc", line.removeprefix(f"mandoc: {headers.ROOT}/"))


def check_names(page, known, references):
    """Everything of weir's that the page names is there."""
    for name, rest in page.after("Fn", "Fo", "Dv", "Vt", "Xr"):
        name = name.rstrip(".,;:")
        if rest.startswith(name + " ") and rest.split()[1:2][0] in "23571" \
                and re.match(r"[a-z]", name):
            name = f"{name}({rest.split()[1]})"
            if name not in references:
                complain(page, f"there is no {name}")
        elif re.match(r"weir_|WEIR_", name) and name not in known:
            complain(page, f"there is no {name}")


def drawn(text):
    """Without what is drawn anew each time: epochs, and times to come back."""
    return re.sub(r"retry: \d+", "retry: N",
                  re.sub(r"\b(?=\w*[a-z])[a-z2-7]{11,13}\b", "EPOCH",
                         f"{text.rstrip()}\n"))


def run(page, what, source, scratch, *more):
    """Compile source, with more if it is a program, and run that. What it
    prints, or None if it is not a program or has not worked."""
    file, target = scratch / "example.c", scratch / "example"
    file.write_text(source)
    whole = re.search(r"^int main\(", source, re.M)
    end = [*more, str(BUILD / "libweir.a")] if whole else ["-c"]
    made = subprocess.run([*COMPILE, "-o", str(target), str(file), *end],
                          capture_output=True, text=True)
    if made.returncode != 0:
        complain(page, f"{what} does not compile:\n{made.stderr}")
    if made.returncode != 0 or not whole:
        return None
    done = subprocess.run([str(target)], capture_output=True, text=True,
                          timeout=60, cwd=scratch)
    if done.returncode != 0:
        complain(page, f"{what} fails with {done.returncode}:\n{done.stdout}")
        return None
    return done.stdout


def check_examples(page, scratch):
    for source, shown in page.examples():
        printed = run(page, "an example", source, scratch)
        if printed is not None and drawn(printed) != drawn(shown or ""):
            complain(page, f"an example prints:\n{printed}")


def check_log(page, scratch):
    """The log in weir_logs(7) passes the conformance kit, as it says there."""
    tests = headers.ROOT / "tests"
    run(page, "the log, with the conformance kit,",
        page.examples()[0][0] + """
#include <stdio.h>
#include "conformance.h"

static struct memory memory;

static int make(void *user, weir_log *log) {
  (void)user;
  memory.newest = NULL;
  memory_get_log(&memory, log);
  return 1;
}

static void destroy(void *user, weir_log *log) {
  (void)user;
  (void)log;
}

static void report(void *user, const char *check, const char *problem) {
  (void)user;
  if (problem != NULL) {
    printf("%s: %s\\n", check, problem);
  }
}

int main(void) {
  struct conformance subject = {0};

  subject.make = make;
  subject.destroy = destroy;
  subject.report = report;
  return conformance_run(&subject) != 0;
}
""", scratch, f"-I{tests}", str(tests / "conformance.c"))


def check_synopsis(page, declared):
    include, prototypes = page.synopsis()
    compare(page, "SYNOPSIS: ", set(prototypes), set(page.names))
    source = "".join(f"#include <{header}>\n" for header in include)
    # To be declared by one of these headers is not the same as to agree with
    # it, so the names come first.
    source += "int declared(void);\nint declared(void) { return 0"
    source += "".join(f"\n  + !&{name}" for name in prototypes) + "; }\n"
    source += "".join(f"{prototype};\n" for prototype in prototypes.values())
    made = subprocess.run([*COMPILE, "-Wno-address", "-fsyntax-only", "-x", "c",
                           "-"], input=source, capture_output=True, text=True)
    if made.returncode != 0:
        complain(page, f"the SYNOPSIS does not compile:\n{made.stderr}")
    for name, prototype in prototypes.items():
        if declared.get(name, prototype) != prototype:
            complain(page, f"SYNOPSIS: in the header it is {declared[name]}")


def check_returns(page, declared):
    errors = page.errors()
    for name in page.names:
        if name not in declared:
            continue
        if name not in errors:
            if not declared[name].startswith("void weir"):
                complain(page, f"RETURN VALUES: {name} is missing")
        else:
            compare(page, f"RETURN VALUES: {name}: ", errors[name],
                    Contract.of[name].errors())


def check_threads(page):
    """weir_threads(7): a list, .It Fn without cells, of those that may be called
    everywhere, and a table of the others."""
    rows = {}
    for line in page.lines:
        if line.startswith(".It Fn "):
            cells = line.removeprefix(".It Fn ").split(" Ta ")
            rows[cells[0]] = cells[1:] or ["any", "yes", "no", "nothing"]
    compare(page, "", set(rows), set(Contract.of))
    for name in rows.keys() & Contract.of.keys():
        if rows[name] != Contract.of[name].row():
            complain(page, f"{name}: the header says "
                     + ", ".join(Contract.of[name].row()))


def check_defaults(page, scratch):
    """The table in weir(7): .It Vt STRUCT , or .It Va FIELD Ta DEFAULT."""
    rows = {}
    for line in page.lines:
        if line.startswith(".It Vt "):
            struct = split(line)[2]
        elif line.startswith(".It Va "):
            cells = line.split(" Ta ")
            rows[f"{struct}.{cells[0].split()[2]}"] = cells[1]
    source = "#include <stdio.h>\n#include <weir/weir.h>\nint main(void) {\n"
    for struct in dict.fromkeys(name.split(".")[0] for name in rows):
        source += (f"{struct} {struct}_;\n"
                   f"{struct}_init(&{struct}_, sizeof {struct}_);\n")
    for name in rows:
        source += ('printf("%lld\\n", (long long)'
                   f'{name.replace(".", "_.")});\n')
    printed = run(page, "the table of defaults", source + "return 0;\n}\n",
                  scratch)
    values = (printed or "").split()
    for (name, said), value in zip(rows.items(), values):
        number, _, unit = said.replace(",", "").partition(" ")
        scale = {"": 1, "ms": 1, "s": 1000, "min": 60000, "h": 3600000,
                 "KiB": 2 ** 10, "MiB": 2 ** 20}.get(unit)
        if number in ("none", "off"):
            number, scale = "0", 1
        if scale is None or int(number) * scale != int(value):
            complain(page, f"the default of {name} is {value}")
    if not rows:
        complain(page, "there is no table of defaults")


def main():
    pages = [Page(path) for path in
             sorted((headers.ROOT / "man").glob("*.[0-9]"))]
    declared = headers.functions()
    read_contracts()
    compare("tests/check-man.py", "a comment of ", set(Contract.of),
            set(declared))
    constants = set(headers.constants())
    known = (declared.keys() | constants | headers.structs().keys()
             | set(re.findall(r"^typedef struct \w+ (\w+);", headers.text(),
                              re.M))
             | {"WEIR_NEVER", "WEIR_VERSION_MAJOR", "WEIR_VERSION_MINOR",
                "WEIR_VERSION_PATCH"})
    references = SYSTEM | {f"{name}({page.part})" for page in pages
                           for name in [page.path.stem, *page.names]}

    check_lint(pages)
    for page in pages:
        check_names(page, known, references)
        kept = [section for section in page.sections
                if section in SECTIONS[page.part]]
        if kept != SECTIONS[page.part]:
            complain(page, f"its sections are {', '.join(page.sections)}")
        check_returns(page, declared)
        if page.part == "3":
            check_synopsis(page, declared)

    functions = [name for page in pages if page.part == "3"
                 for name in page.names]
    compare("man", "", set(functions), set(declared))
    for name in sorted({name for name in functions
                        if functions.count(name) > 1}):
        complain("man", f"{name} has two pages")
    compare("man", "", {name for page in pages for name, _ in page.after("Dv")
                        if name in constants}, constants)
    compare("man", "", {f"{struct}: {field}" for page in pages
                        for struct, field in page.fields()},
            {f"{struct}: {field}"
             for struct, fields in headers.members().items()
             for field in fields
             if not re.match(r"size_t size$|uint\d+_t reserved", field)})

    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for page in pages:
            check_examples(page, scratch)
            if page.path.name == "weir_threads.7":
                check_threads(page)
            elif page.path.name == "weir_logs.7":
                check_log(page, scratch)
            elif page.path.name == "weir.7":
                check_defaults(page, scratch)

    for problem in problems:
        print(f"check-man: {problem}")
    if problems:
        sys.exit(1)


main()
