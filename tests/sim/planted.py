#!/usr/bin/env python3
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Bugs that are planted in lib/, at least one for each invariant of the design,
and the seed that finds each.

    tests/sim/planted.py --check         does every edit still apply?
    tests/sim/planted.py [NUMBER ...]    plant them, one by one, and look

The environment says how to build: COMPILE, what compiles a file of lib/; LINK,
what links the simulator; OBJECTS, what it is made of; B, where to build. Exits
with 1 if an edit does not apply, or a bug is not found in PATIENCE seconds.
"""
import os
import re
import subprocess
import sys
import textwrap
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
STEPS = "3000"
SEEDS = "1-2000"
PATIENCE = 600
ROW = "{:>4}  {:<12}{:<42}{:>4}{:>8}  {}"

# Invariant, its name, the bug, and the edits: file, what stands there once,
# what stands there then.
BUGS = [
    (1, "id", "a gap within a connection names the position after the one it "
     "means",
     [("lib/show.c",
       "  loss.resolution.position.seq = upto;\n",
       "  loss.resolution.position.seq = upto + 1;\n")]),
    (1, "id", "a signal carries an id",
     [("lib/publish.c",
       "  weir__put_content(out, &signal->scheme, &signal->content, NULL);\n",
       "  const weir_cursor cursor = {signal->scheme.generation, 1};\n"
       "  weir__put_content(out, &signal->scheme, &signal->content, &cursor);"
       "\n")]),
    (2, "skip", "a loss is passed over without a gap",
     [("lib/show.c",
       "    rv = show_gap(subscriber, last);\n",
       "    subscriber->seq = last;\n    rv = WEIR_OK;\n"
       "    (void)show_gap;\n")]),
    (3, "twice", "who resumes begins one event too early",
     [("lib/reader.c",
       "  subscriber->seq = resolution->position.seq;\n",
       "  subscriber->seq = resolution->position.seq;\n"
       "  subscriber->seq -= resolution->verdict == WEIR_VERDICT_RESUMED &&\n"
       "                     subscriber->seq > generation->history.trimmed;"
       "\n")]),
    (3, "twice", "who has taken a generation over gives the last number once "
     "more",
     [("lib/history.c",
       "  history->put = weir__max(history->put, seq);\n",
       "  history->put = weir__max(history->put, seq);\n"
       "  history->put -= history->epoch_count > 1 && history->put == seq;"
       "\n")]),
    (4, "one", "a quarter of those who have caught up do not wait in the ring "
     "of those who are woken",
     [("lib/show.c",
       "  weir__link_append(&generation->history.waiters, "
       "&subscriber->source.link);\n",
       "  if (weir__core_draw(subscriber->core, 3) != 0) {\n"
       "    weir__link_append(&generation->history.waiters,\n"
       "                      &subscriber->source.link);\n  }\n")]),
    (5, "stored", "readers go up to what was put, not what was committed",
     [("lib/show.c",
       "  if (subscriber->seq >= history->committed) {\n",
       "  if (subscriber->seq >= history->put) {\n"),
      ("lib/show.c",
       "  upto = history->committed;\n",
       "  upto = history->put;\n")]),
    (6, "frames", "a heartbeat gets between the bytes of a frame that was "
     "written in part",
     [("lib/show.c",
       "  if (rv == WEIR_EAGAIN && subscriber->beat && "
       "subscriber->span_count == 0) {\n",
       "  if (rv == WEIR_EAGAIN && subscriber->beat &&\n"
       "      subscriber->span_count < 2) {\n"),
      ("lib/show.c",
       "    show(subscriber, page, 0, page->used);\n"
       "    subscriber->beat = false;\n",
       "    show(subscriber, page, 0, page->used);\n"
       "    if (subscriber->span_count == 2) {\n"
       "      subscriber->spans[2] = subscriber->spans[0];\n"
       "      subscriber->spans[0] = subscriber->spans[1];\n"
       "      subscriber->spans[1] = subscriber->spans[2];\n"
       "    }\n"
       "    subscriber->beat = false;\n"),
      ("lib/subscriber.c",
       "  if (subscriber->drained) {\n    subscriber->beat_at = NEVER;\n",
       "  if (subscriber->drained || subscriber->span_count != 0) {\n"
       "    subscriber->beat_at = NEVER;\n")]),
    (7, "end", "events are taken until the end is stored, not until it was put",
     [("lib/generation.c",
       "  if (generation->ending) {\n    return WEIR_EENDED;\n",
       "  if (generation->ended) {\n    return WEIR_EENDED;\n")]),
    (7, "end", "who has seen the end and comes back is let in again",
     [("lib/cursor.c",
       "         cursor->seq == state->ended && "
       "cursor->seq <= state->epochs[i].last;\n",
       "         cursor->seq > state->ended && "
       "cursor->seq <= state->epochs[i].last;\n")]),
    (8, "start", "the last client that leaves cancels the work",
     [("lib/tend.c",
       "  weir__tend_look_later(generation, generation->core->options.recheck);\n"
       "  if (weir__generation_is_writable(generation) == WEIR_OK) {\n",
       "  weir__tend_look_later(generation, generation->core->options.recheck);\n"
       "  (void)weir__tend_cancel(generation, \"left\", 4);\n"
       "  if (weir__generation_is_writable(generation) == WEIR_OK) {\n")]),
    (9, "stale", "notices of a detached subscriber are delivered",
     [("lib/subscriber.c",
       "  weir__link_remove(&subscriber->source.link);\n"
       "  subscriber->source.notices = 0;\n",
       "")]),
    (9, "stale", "a late answer is taken for that to the newest call",
     [("lib/log.c",
       "  call = find_call(core, ticket);\n  if (call == NULL) {\n"
       "    core->info.stale += 1;\n",
       "  call = find_call(core, ticket);\n  if (call == NULL) {\n"
       "    call = find_call(core, core->tickets);\n  }\n"
       "  if (call == NULL) {\n    core->info.stale += 1;\n")]),
    (9, "stale", "a generation that is forgotten takes the newest of its key "
     "with it",
     [("lib/registry.c",
       "    while (newest->previous != generation) {\n",
       "    weir__map_remove(&registry->streams, &newest->node);\n"
       "    while (newest->previous != generation) {\n")]),
    (10, "once", "events that are read back forget that they are JSON",
     [("lib/intake.c",
       "  content->json = (record->flags & WEIR_RECORD_JSON) != 0;\n",
       "  content->json = false;\n")]),
    (11, "back", "a run within a notice",
     [("lib/hub.c",
       "  if (rv != WEIR_OK || hub->core.running) {\n",
       "  if (rv != WEIR_OK) {\n")]),
    (12, "errors", "a batch that fails leaves what was encoded of it",
     [("lib/publish.c",
       "    weir__history_take_back(history, before);\n",
       "    (void)before;\n")]),
    (12, "errors", "a call that fails leaks the receipts that it made",
     [("lib/publish.c",
       "  free_receipts(batch);\n",
       "  (void)free_receipts;\n")]),
]


def edited(bug):
    """{file: its text with the bug}; None if an edit does not apply."""
    texts = {}
    for name, old, new in bug[3]:
        if name not in texts:
            with open(os.path.join(ROOT, name), encoding="utf-8") as file:
                texts[name] = file.read()
        if texts[name].count(old) != 1:
            print(f"{bug[2]}: {texts[name].count(old)} places in {name} for:\n"
                  f"{old}", end="")
            return None
        texts[name] = texts[name].replace(old, new)
    return texts


def build(texts):
    """The simulator with these files of lib/ instead of those there are."""
    directory = os.path.join(os.environ["B"], "planted")
    os.makedirs(directory, exist_ok=True)
    objects = []
    for name, text in texts.items():
        source = os.path.join(directory, os.path.basename(name))
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        objects.append(source[:-2] + ".o")
        subprocess.run(f"{os.environ['COMPILE']} -w -Ilib -c -o {objects[-1]} "
                       f"{source}", shell=True, check=True, cwd=ROOT)
    program = os.path.join(directory, "sim")
    subprocess.run(f"{os.environ['LINK']} -o {program} {' '.join(objects)} "
                   f"{os.environ['OBJECTS']}", shell=True, check=True, cwd=ROOT)
    return program


def hunt(program):
    """Seed, seconds and invariant of the first failure; None without one."""
    begun = time.monotonic()
    try:
        done = subprocess.run([os.path.join(ROOT, program), "--keep", "--steps",
                               STEPS, SEEDS], stdout=subprocess.PIPE,
                              timeout=PATIENCE, text=True, errors="replace",
                              check=False)
    except subprocess.TimeoutExpired:
        return None
    seconds = time.monotonic() - begun
    found = re.search(r"seed (\d+), step \d+: invariant (\d+)", done.stdout)
    return found and (int(found[1]), seconds, int(found[2]))


def main(arguments):
    check = "--check" in arguments
    wanted = [int(word) for word in arguments if word != "--check"]
    missed = 0
    if not check:
        print(ROW.format("", "invariant", "the bug", "seed", "seconds",
                         "seen as"))
    for number, bug in enumerate(BUGS, 1):
        if wanted and number not in wanted:
            continue
        texts = edited(bug)
        found = None
        if texts is not None and not check:
            found = hunt(build(texts))
        if texts is None or (not check and found is None):
            missed += 1
        if check:
            continue
        lines = textwrap.wrap(bug[2], 40)
        where = ("-", "-", "NOT FOUND") if found is None else (
            found[0], f"{found[1]:.1f}", found[2] or "crash")
        print(ROW.format(number, f"{bug[0]:>2}  {bug[1]}", lines[0], *where))
        for line in lines[1:]:
            print(ROW.format("", "", line, "", "", "").rstrip())
        sys.stdout.flush()
    if missed:
        print(f"planted.py: {missed} of {len(wanted) or len(BUGS)} not "
              f"{'applied' if check else 'found'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
