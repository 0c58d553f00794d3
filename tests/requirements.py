#!/usr/bin/env python3
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Which test covers which requirement: the table in tests/README.

    tests/requirements.py           print it
    tests/requirements.py --write   put it into tests/README
    tests/requirements.py --check   fail if it is another one, or has holes

A test is named after what it is a test of: r21_..., f06_..., race21_...,
inv03_..., several of them one after the other; tests of the page say `R21 ...`
in words. What no name says is said below, with the test that it means or with
the reason why there is none; a test that is named there has to exist.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
README = os.path.join(ROOT, "tests", "README")
BEGIN = "<!-- requirements -->\n"
END = "<!-- /requirements -->\n"

# What has no test of its name: (test, or None) and a word on it.
ELSEWHERE = {
    "inv05": ("r20_nothing_is_sent_before_it_is_stored", ""),
    "inv11": ("test_reentry", "the whole suite"),
    "inv12": ("test_oom", "the whole suite"),
    "race02": ("r25_cut_at_every_byte_of_a_live_run", ""),
    "race03": ("r23_hints_of_what_is_known", ""),
    "race07": ("r26_hints_are_lost", ""),
    "race08": ("r37_refused_later", ""),
    "race10": ("r21_two_nodes_publish", ""),
    "race13": ("r37_refused_at_once", "what is not stored has no id"),
    "race24": ("r69_every_connection_has_one_ready", "no bootstrap to race"),
    "race31": ("client.test.mjs", "R84: content and cursor are one"),
    "race32": ("client.test.mjs", "R84"),
    "R19": ("test_envelope", "the fields; an end is a flag of the record"),
    "R27": ("client.test.mjs", "R84; a snapshot on the server is the host's"),
    "R71": (None, "`ready` carries no times: it comes at once"),
}


def tests():
    """{id: [(file, test)]}"""
    found = {}
    for top, _, names in sorted(os.walk(os.path.join(ROOT, "tests"))):
        for name in sorted(names):
            if not name.endswith((".c", ".py", ".mjs")) or \
                    "vectors" in top or name == "requirements.py":
                continue
            with open(os.path.join(top, name), encoding="utf-8") as file:
                text = file.read()
            for test in re.findall(
                    r"(?:START_TEST\(|def (?:test_)?)"
                    r"((?:(?:r|f|race|inv)\d\d_)+\w+)", text):
                for part in re.findall(r"(r|f|race|inv)(\d\d)_", test):
                    one = part[0].upper() if len(part[0]) == 1 else part[0]
                    found.setdefault(one + part[1], []).append((name, test))
            for test in re.findall(
                    r"test\('((?:[RF]\d\d[ ,])+[^']*)'", text):
                for one in re.findall(r"\b[RF]\d\d\b", test):
                    found.setdefault(one, []).append((name, ""))
    return found


def exists(test):
    for top, _, names in os.walk(os.path.join(ROOT, "tests")):
        for name in names:
            if name.startswith(test):
                return True
            if name.endswith((".c", ".py")) and "vectors" not in top and \
                    name != "requirements.py":
                with open(os.path.join(top, name), encoding="utf-8") as file:
                    if re.search(r"\b%s\b" % re.escape(test), file.read()):
                        return True
    return False


def table():
    found = tests()
    ids = (["inv%02d" % i for i in range(1, 13)] +
           ["R%02d" % i for i in range(1, 87)] +
           ["F%02d" % i for i in range(1, 26)] +
           ["race%02d" % i for i in range(1, 39)])
    rows = []
    holes = []
    for one in ids:
        files = {}
        for name, test in found.get(one, []):
            files.setdefault(name, []).append(test)
        cells = ["%s%s" % (name, "" if not all(names) else
                           ": " + ", ".join("`%s`" % t for t in names))
                 for name, names in sorted(files.items())]
        if one in ELSEWHERE:
            test, word = ELSEWHERE[one]
            if cells:
                holes.append("%s has a test, and an excuse" % one)
            if test is not None and not exists(test):
                holes.append("%s: there is no %s" % (one, test))
            cells.append(": ".join(
                filter(None, ["`%s`" % test if test else "none", word])))
        if not cells:
            holes.append("%s has no test, and no word on why" % one)
        name = one.replace("race", "R-").replace("inv", "invariant ")
        name = re.sub(r"(R-|invariant )0", r"\1", name)
        rows.append("| %s | %s |\n" % (name, "; ".join(cells)))
    return "| | |\n| --- | --- |\n" + "".join(rows), holes


def main(how):
    text, holes = table()
    if how == "":
        print(text, end="")
    with open(README, encoding="utf-8") as file:
        old = file.read()
    new = (old[:old.index(BEGIN) + len(BEGIN)] + text +
           old[old.index(END):])
    if how == "--write":
        with open(README, "w", encoding="utf-8") as file:
            file.write(new)
    elif how == "--check" and new != old:
        holes.append("tests/README is of yesterday: tests/requirements.py "
                     "--write")
    for hole in holes:
        print("requirements: " + hole, file=sys.stderr)
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main("".join(sys.argv[1:])))
