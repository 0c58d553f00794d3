#!/usr/bin/env python3
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Run the system tests: run.py [FILE[.CLASS] ...]. See kit.py.

Each class runs in a process of its own, several at a time, since most of them
wait most of the time. One line a class; a failure is shown in full.
"""
import concurrent.futures
import os
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import kit  # noqa: E402

AT_ONCE = int(os.environ.get("WEIR_JOBS", "0")) or 3 * (os.cpu_count() or 1)

# s for one class: far more than any of them needs.
LIMIT = 900 if kit.LONG else 400


def classes(suite):
    """The names of the classes in a suite, in order, each once."""
    found = {}
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            found.update(classes(part))
        else:
            if part.id().startswith("unittest.loader."):
                raise SystemExit(str(part._exception))
            found[part.id().rsplit(".", 1)[0]] = getattr(part, "weight", 1)
    return found


def run(name):
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-m", "unittest", name], cwd=HERE, timeout=LIMIT,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = done.stdout.decode("utf-8", "replace")
        status = done.returncode
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"").decode("utf-8", "replace")
        said += "\nit does not end\n"
        status = 1
    return name, status, said, time.monotonic() - began


def summary(said):
    """`12 tests, 1 skipped: why`"""
    lines = said.strip().splitlines()
    ran = [line for line in lines if line.startswith("Ran ")]
    count = ran[-1].split()[1] if ran else "?"
    return "%s tests%s" % (
        count, ", " + lines[-1][3:].strip("()")
        if lines and "skipped" in lines[-1] else "")


def main(names):
    if not os.access(kit.SERVER, os.X_OK):
        raise SystemExit("%s is not there: run make first" % kit.SERVER)
    os.environ["WEIR_SERVER"] = kit.SERVER
    os.environ["WEIR_SERVER_POLL"] = kit.SERVER_POLL
    loader = unittest.TestLoader()
    suite = (loader.loadTestsFromNames(names) if names
             else loader.discover(HERE))
    # The heavy ones first, so that the others fill what they leave.
    found = classes(suite)
    order = sorted(found, key=lambda name: -found[name])
    failed = []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in concurrent.futures.as_completed(
                [pool.submit(run, name) for name in order]):
            name, status, said, seconds = done.result()
            print("%-4s %-36s %6.1f s  %s" % (
                "ok" if status == 0 else "FAIL", name, seconds, summary(said)),
                flush=True)
            for line in said.splitlines():
                if line.startswith("LEFT OUT: "):
                    print("     " + line, flush=True)
            if status != 0:
                failed.append(name)
                print(said, flush=True)
    for name in failed:
        print("failed; alone: cd tests/system && WEIR_SERVER=%s "
              "python3 -m unittest -v %s" % (kit.SERVER, name))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
