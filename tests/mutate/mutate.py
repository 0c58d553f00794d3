#!/usr/bin/env python3
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Do the tests notice when lib/ is broken in a small way?

    make mutate [SEED=1] [COUNT=300] [FILES="lib/map.c ..."]
    make mutate AGAIN=1      those that were neither killed nor explained

Every file of lib/ is taken apart (mutants.py), and of each the seed draws as
many mutants as of the others, of all kinds. One that the compiler refuses, with
the warnings of the Makefile, or that gives the same object code, does not count.
The others are run against the programs that test the library and that reach the
function in question, the most promising first, until one fails or takes far too
long. What is never killed has to stand in `equivalent`, with the reason.

The tests are linked with a shared library that exports all, so that a mutant
costs one object and one link. Which program reaches what is known from a second
library, compiled with --coverage; how long each takes, and whether it can do
without forking, from a run with a library that is not broken.
"""
import argparse
import concurrent.futures
import glob
import json
import os
import queue
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from mutants import Source

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
EQUIVALENT = os.path.join(HERE, "equivalent")
SONAME = "libweir-tested.so"

# All is exported and yet optimized as if it were not.
OPEN = "-fvisibility=default -fno-semantic-interposition"
PLAIN = "-O2 " + OPEN
COVERED = "-O1 -fno-inline --coverage " + OPEN

# What a program may use: bytes of memory and of a file; s of the processor and
# of the day, for each s of the processor that it takes otherwise, and besides.
MEMORY = 4 << 30
FILE = 1 << 30
CPU = 4, 5
WALL = 60, 60

options = None


def say(*words):
    print(*words, flush=True)


def run(command, **more):
    """Run it to its end, whatever that is."""
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, **more)


def must(command, **more):
    done = run(command, **more)
    if done.returncode != 0:
        sys.exit(f"mutate.py: {' '.join(command)}\n"
                 + done.stdout.decode(errors="replace"))


def make(build, flags, *goals):
    must(shlex.split(options.make) + [f"B={build}", f"CFLAGS={flags}"]
         + list(goals))


def link(objects, path, flags=""):
    must(shlex.split(options.cc) + ["-shared", f"-Wl,-soname,{SONAME}",
                                    "-o", path]
         + shlex.split(flags) + objects)


def link_built(build, flags=""):
    """Of all that has been built there, if any of it is new."""
    objects = [f"{build}/obj/{name[:-2]}.o" for name in
               sorted(glob.glob("lib/*.c"))]
    path = f"{build}/{SONAME}"
    if not os.path.exists(path) or os.stat(path).st_mtime_ns < max(
            os.stat(name).st_mtime_ns for name in objects):
        link(objects, path, flags)
    return path


# --- Programs ----------------------------------------------------------------


def kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Program:
    """One that tests the library."""

    def __init__(self, path, *arguments):
        self.name = os.path.basename(path)
        self.command = [path] + list(arguments)
        self.seconds = 0.0
        self.fork = "no"
        self.lines = {}  # of each file, those that it reaches

    def run(self, library, patience=None, **environment):
        """Whether it passes with this library, and how many s of the processor
        it took; without patience, as many as it likes."""
        env = dict(os.environ, LD_LIBRARY_PATH=library, CK_FORK=self.fork,
                   CK_VERBOSITY="silent", CK_TIMEOUT_MULTIPLIER="50",
                   WEIR_SHARED="1", **environment)
        limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, FILE),
                  (resource.RLIMIT_AS, MEMORY)]
        if patience is not None:
            limits.append((resource.RLIMIT_CPU,
                           int(CPU[0] * patience + CPU[1])))
        child = subprocess.Popen(
            self.command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: [resource.setrlimit(which, (most, most))
                                for which, most in limits])
        timer = threading.Timer(WALL[0] * (patience or 60) + WALL[1],
                                kill_group, (child.pid,))
        timer.start()
        _, status, usage = os.wait4(child.pid, 0)
        timer.cancel()
        kill_group(child.pid)  # what it left behind
        child.returncode = status
        return status == 0, usage.ru_utime + usage.ru_stime

    def measure(self, tested, covered, place):
        """With the library as it is. What it reaches is read from the notes
        that gcov keeps of the library in covered."""
        for self.fork in ("no", "yes"):
            passed, self.seconds = self.run(tested)
            if passed:
                break
        else:
            sys.exit(f"mutate.py: {self.name} fails without a mutant")
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place)
        for notes in glob.glob(f"{options.build}/covered/obj/lib/*.gcno"):
            os.symlink(os.path.abspath(notes),
                       os.path.join(place, os.path.basename(notes)))
        self.run(covered, GCOV_PREFIX=place, GCOV_PREFIX_STRIP="99")
        self.lines = {}
        data = glob.glob(f"{place}/*.gcda")
        if data:
            text = subprocess.run(
                ["gcov", "--json-format", "--stdout"] + data, cwd=ROOT,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
            for unit in text.stdout.decode().splitlines():
                for file in json.loads(unit)["files"]:
                    name = os.path.normpath(file["file"])
                    reached = {line["line_number"] for line in file["lines"]
                               if line["count"] != 0}
                    if reached:
                        self.lines.setdefault(name, set()).update(reached)
        shutil.rmtree(place)

    def reaches(self, mutant):
        lines = self.lines.get(mutant.file, ())
        if mutant.lines is None:
            return bool(lines)
        first, last = mutant.lines
        return any(first <= line <= last for line in lines)

    def state(self):
        return {"seconds": self.seconds, "fork": self.fork,
                "lines": {f: sorted(n) for f, n in self.lines.items()}}

    def set_state(self, state):
        self.seconds = state["seconds"]
        self.fork = state["fork"]
        self.lines = {f: set(n) for f, n in state["lines"].items()}


def build():
    """All that is needed; the programs."""
    b = options.build
    make(b, PLAIN, "libraries")
    library = link_built(b)
    make(b, PLAIN, f"LIBWEIR={library}", "test-programs")
    make(f"{b}/covered", COVERED, "CC=gcc", "libraries")
    link_built(f"{b}/covered", "--coverage")
    programs = [Program(path) for path in
                sorted(glob.glob(f"{b}/tests/unit/test_*"))
                if os.path.exists(f"tests/unit/{os.path.basename(path)}.c")]
    programs += [Program(path, f"tests/fuzz/corpus/{os.path.basename(path)}")
                 for path in sorted(glob.glob(f"{b}/fuzz/*"))]
    programs.append(Program(f"{b}/tests/sim/sim", "--keep", "--steps", "2000",
                            "1-20"))
    return programs


def measure(programs, pool):
    """What is known of a program is good until it or the library changes."""
    path = f"{options.build}/measured.json"
    known = load(path)
    library = stamp(glob.glob("lib/*.[ch]") + glob.glob("include/weir/*.h"))
    waiting = []
    for program in programs:
        age = [library, stamp(program.command[:1]), program.command]
        entry = known.get(program.name)
        if entry is not None and entry["age"] == age:
            program.set_state(entry)
            continue
        waiting.append((program, age, pool.submit(
            program.measure, os.path.abspath(options.build),
            os.path.abspath(f"{options.build}/covered"),
            os.path.abspath(f"{options.build}/gcov/{program.name}"))))
    for program, age, future in waiting:
        future.result()
        known[program.name] = dict(program.state(), age=age)
        store(path, known)


def stamp(paths):
    return sorted([path, os.stat(path).st_mtime_ns] for path in paths)


def load(path):
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def store(path, value):
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.replace(path + ".new", path)


# --- Mutants -----------------------------------------------------------------


def read_equivalent():
    """{key: reason} of what stands there: a file and a function; lines that
    begin with - and with +, each pair a mutant; why."""
    found = {}
    if not os.path.exists(EQUIVALENT):
        return found
    with open(EQUIVALENT, encoding="utf-8") as file:
        text = re.sub(r"^#.*\n", "", file.read(), flags=re.MULTILINE)
    for entry in re.split(r"\n\s*\n", text.strip()):
        lines = entry.split("\n")
        match = re.match(r"(\S+) (\S+)$", lines[0])
        pairs = []
        at = 1
        while at + 1 < len(lines) and lines[at].startswith("- ") and \
                re.match(r"\+( |$|#)", lines[at + 1]):
            nth = re.match(r"\+(?:#(\d+))?(?: (.*))?$", lines[at + 1])
            pairs.append((int(nth.group(1) or 1), lines[at][2:],
                          nth.group(2) or ""))
            at += 2
        if not match or not pairs or at == len(lines):
            sys.exit(f"mutate.py: {EQUIVALENT}: this is no entry:\n{entry}")
        for pair in pairs:
            found[match.groups() + pair] = " ".join(lines[at:])
    return found


def draw(mutants, seed):
    """All of a file, in an order in which the kinds take turns."""
    chance = random.Random(f"{seed} {mutants[0].file}")
    kinds = {}
    for mutant in mutants:
        kinds.setdefault(mutant.kind, []).append(mutant)
    for kind in kinds.values():
        chance.shuffle(kind)
    order = sorted(kinds)
    chance.shuffle(order)
    drawn = []
    while order:
        order = [kind for kind in order if kinds[kind]]
        drawn += [kinds[kind].pop() for kind in order]
    return drawn


class Compiler:
    """Places to work in, each with a lib/ of its own: what somebody edits
    meanwhile does not matter."""

    def __init__(self):
        self.flags = [flag for flag in shlex.split(options.flags)
                      if not flag.startswith("-M")]
        self.flags += shlex.split(PLAIN) + ["-Werror", "-Wno-parentheses"]
        self.includers = {}
        for path in glob.glob(f"{options.build}/obj/lib/*.d"):
            with open(path, encoding="utf-8") as file:
                words = re.findall(r"lib/\w+\.h", file.read())
            unit = f"lib/{os.path.basename(path)[:-2]}.c"
            for word in set(words):
                self.includers.setdefault(word, []).append(unit)
        self.places = queue.Queue()
        for i in range(options.jobs):
            place = f"{options.build}/work/{i}"
            shutil.rmtree(place, ignore_errors=True)
            os.makedirs(f"{place}/lib")
            for path in glob.glob("lib/*.[ch]"):
                shutil.copyfile(path, f"{place}/{path}")
            self.places.put(place)
        self.original = f"{options.build}/obj/lib"

    def units(self, file):
        return [file] if file.endswith(".c") else self.includers.get(file, [])

    def compile(self, place, unit, path):
        return run(shlex.split(options.cc) + self.flags
                   + [f"-I{place}/lib", "-c", "-o", path,
                      f"{place}/{unit}"]).returncode == 0

    def objects(self, mutant, into):
        """Compile it. Says what became of it: "counts", "refused", "same"."""
        place = self.places.get()
        shutil.rmtree(into, ignore_errors=True)
        os.makedirs(into)
        path = f"{place}/{mutant.file}"
        write(path, mutant.apply())
        verdict = "same"
        for unit in self.units(mutant.file):
            name = os.path.basename(unit)[:-2] + ".o"
            if not self.compile(place, unit, f"{into}/{name}"):
                verdict = "refused"
                break
            if content(f"{into}/{name}") != content(f"{self.original}/{name}"):
                verdict = "counts"
        write(path, mutant.source.text)
        self.places.put(place)
        if verdict != "counts":
            shutil.rmtree(into)
        return verdict


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def content(path):
    with open(path, "rb") as file:
        return file.read()


def choose(sources, compiler, pool, tally):
    """As many as are wanted that count: one of each file, then another of each
    ... [(mutant, directory of its objects)]"""
    lines = [draw(source.mutants, options.seed) for source in sources
             if source.mutants]
    random.Random(options.seed).shuffle(lines)
    chosen = []

    def next_of(line):
        while line:
            mutant = line.pop(0)
            into = (f"{options.build}/mutants/{mutant.file.replace('/', '.')}"
                    f".{len(line)}")
            verdict = compiler.objects(mutant, into)
            tally.append(verdict)
            if verdict == "counts":
                return mutant, into
        return None

    while lines and len(chosen) < options.count:
        found = list(pool.map(next_of, lines[:options.count - len(chosen)]))
        chosen += [pair for pair in found if pair is not None]
        lines = [line for line in lines if line]
    return chosen


# --- Killing -----------------------------------------------------------------


class Killer:
    def __init__(self, programs, compiler):
        self.programs = programs
        self.places = compiler.places
        self.original = compiler.original
        self.path = f"{options.build}/learned.json"
        self.learned = load(self.path)  # {file: {program: kills}}

    def order(self, mutant):
        """The programs that reach it; first those of which most is to be
        expected in a second."""
        kills = self.learned.setdefault(mutant.file, {})
        stem = os.path.basename(mutant.file)[:-2]

        def promise(program):
            likely = 0.05 + kills.get(program.name, 0)
            if program.name in (stem, f"test_{stem}"):
                likely += 2
            return likely / (program.seconds + 0.1)

        return sorted((program for program in self.programs
                       if program.reaches(mutant)), key=promise, reverse=True)

    def kill(self, mutant, objects):
        """The name of what does; None if nothing does."""
        place = self.places.get()
        mine = {os.path.basename(path) for path in glob.glob(f"{objects}/*.o")}
        link([path for path in sorted(glob.glob(f"{self.original}/*.o"))
              if os.path.basename(path) not in mine]
             + sorted(f"{objects}/{name}" for name in mine),
             f"{place}/{SONAME}")
        killer = None
        for program in self.order(mutant):
            if not program.run(os.path.abspath(place), program.seconds)[0]:
                killer = program.name
                kills = self.learned[mutant.file]
                kills[killer] = kills.get(killer, 0) + 1
                break
        self.places.put(place)
        shutil.rmtree(objects)
        return killer


def hunt(chosen, killer, pool, log):
    """Those that were hunted, and those of them that live: an interrupt ends
    it early."""
    futures = {pool.submit(killer.kill, *pair): pair[0] for pair in chosen}
    hunted = []
    alive = []
    try:
        for future in concurrent.futures.as_completed(futures):
            mutant = futures[future]
            by = future.result()
            hunted.append(mutant)
            log.write(f"{mutant.kind}, {by or 'ALIVE'}: {mutant}")
            log.flush()
            if by is None:
                alive.append(mutant)
                say(f"alive, line {mutant.line}: {mutant}")
            store(killer.path, killer.learned)
    except KeyboardInterrupt:
        say("interrupted: those that are being hunted are left out")
        for future in futures:
            future.cancel()
    return hunted, alive


def main():
    global options  # pylint: disable=global-statement
    parser = argparse.ArgumentParser()
    parser.add_argument("--make", default="make")
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--flags", required=True, help="for lib/")
    parser.add_argument("--build", required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--files", default="")
    parser.add_argument("--again", default="")
    options = parser.parse_args()
    os.chdir(ROOT)

    begun = time.monotonic()
    equivalent = read_equivalent()
    paths = sorted(glob.glob("lib/*.[ch]"))
    sources = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            sources.append(Source(path, file.read()))
    everything = {m.key: m for source in sources for m in source.mutants}
    stale = [key for key in equivalent if key not in everything]

    pool = concurrent.futures.ThreadPoolExecutor(options.jobs)
    say(f"{len(everything)} mutants of {len(sources)} files; building ...")
    programs = build()
    measure(programs, pool)
    compiler = Compiler()
    say(f"{len(programs)} programs, "
        f"{sum(p.seconds for p in programs):.0f} s; compiling mutants ...")

    tally = []
    path = f"{options.build}/alive.json"
    if options.again:
        keys = [tuple(key) for key in load(path) or []]
        chosen = []
        for i, key in enumerate(keys):
            into = f"{options.build}/mutants/again.{i}"
            if key in everything:
                tally.append(compiler.objects(everything[key], into))
                if tally[-1] == "counts":
                    chosen.append((everything[key], into))
    else:
        wanted = options.files.split()
        if not set(wanted) <= set(paths):
            sys.exit(f"mutate.py: no such file: {options.files}")
        chosen = choose([source for source in sources
                         if not wanted or source.path in wanted],
                        compiler, pool, tally)
    say(f"{len(chosen)} to be killed ...")
    killer = Killer(programs, compiler)
    with open(f"{options.build}/log", "w", encoding="utf-8") as log:
        hunted, alive = hunt(chosen, killer, pool, log)
    explained = [m for m in alive if m.key in equivalent]
    unexplained = [m.key for m in alive if m.key not in equivalent]
    store(path, unexplained)

    living = {m.key for m in alive}
    stale += [m.key for m in hunted
              if m.key in equivalent and m.key not in living]
    for file, function, nth, old, new in stale:
        say(f"stale, in {os.path.relpath(EQUIVALENT, ROOT)}: {file} "
            f"{function} #{nth}\n- {old}\n+ {new}")
    say(f"{len(hunted)} mutants in {len({m.file for m in hunted})} files: "
        f"{len(hunted) - len(alive)} killed, {len(explained)} equivalent, "
        f"{len(unexplained)} alive; not counted: "
        f"{tally.count('refused')} that do not compile without a warning, "
        f"{tally.count('same')} with the same object code; "
        f"{time.monotonic() - begun:.0f} s")
    sys.exit(bool(unexplained or stale))


if __name__ == "__main__":
    main()
