# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""A server with a log is killed, again and again, and goes on where it was.

A kill takes nothing from the page cache, so that under every policy nothing
that was acknowledged may be missing, and no reader has to be told of a loss;
what a power cut takes is the business of tests/unit/test_simdisk.c and of the
simulator.

The chance of a story comes from a seed, which is printed; WEIR_SEED repeats
it, as far as it can be repeated with several processes. A story that fails
leaves its directory behind and says where."""
import json
import os
import random
import shutil
import stat
import struct
import subprocess
import tempfile
import threading
import time

import kit
from kit import path

KILLS = 200 if kit.LONG else 20
SEED = os.environ.get("WEIR_SEED")

# What a server may say of a life before it: a record that was being written.
TORN = r"(server: log: segment [0-9a-f]{16}: cut off \d+ bytes of a torn " \
       r"tail at \d+\n)*"


def start(directory, *options):
    return kit.Server("--log", directory, *options)


# --- A story of many lives -------------------------------------------------

def own_host():
    """An address of this machine that no other test listens at: a client that
    comes too late for a server that was killed must not find another's, which
    has been given the same port."""
    pid = os.getpid()
    return "127.%d.%d.%d" % (64 + (pid >> 16) % 64, pid >> 8 & 255, pid & 255)


class Story:
    """The directory, the server of the moment, and what its clients know."""

    def __init__(self, policy, seed, more):
        self.policy = policy
        self.more = more     # options of the server
        self.forgets = more != ()
        self.chance = random.Random(seed)
        self.directory = tempfile.mkdtemp(prefix="weir-durable-")
        self.host = own_host()
        self.changed = threading.Condition()
        self.server = None
        self.life = 0
        self.over = False    # publishers stop
        self.left = False    # readers stop
        self.errors = []
        self.streams = {}    # by key
        self.threads = []

    def options(self):
        return ("--log", self.directory, "--sync", self.policy) + self.more

    def stream(self, key):
        """What is known of it; a new one gets readers."""
        with self.changed:
            if key in self.streams:
                return self.streams[key]
            stream = self.streams[key] = Stream(key)
        for _ in range(2):
            follower = Follower(self, key, random.Random(
                self.chance.random()))
            stream.followers.append(follower)
            self.run(follower.run)
        return stream

    def begin_life(self):
        server = kit.Server(*self.options(), host=self.host)
        with self.changed:
            self.server = server
            self.life += 1
            self.changed.notify_all()

    def end_life(self):
        """Kill it; what it has said."""
        with self.changed:
            server = self.server
            self.server = None
        server.process.kill()
        server.process.wait()
        said = server.said()
        server.kill()
        return said

    def wait_for_server(self, after, until):
        """Its address and its life, once that is later than another; None if
        it is over."""
        with self.changed:
            self.changed.wait_for(
                lambda: until() or (self.server is not None
                                    and self.life > after), kit.PATIENCE)
            if until() or self.server is None:
                return None
            return self.server.address, self.life

    def is_current(self, life):
        with self.changed:
            return self.server is not None and self.life == life

    def run(self, target, *arguments):
        def guarded():
            try:
                target(*arguments)
            except BaseException as error:  # it is the test that has failed
                self.errors.append(error)
        thread = threading.Thread(target=guarded, daemon=True)
        self.threads.append(thread)
        thread.start()


class Stream:
    """What is known of a stream: what was tried, what was acknowledged."""

    def __init__(self, key):
        self.key = key
        self.tried = set()  # data
        self.acked = {}     # id: data, None for an end
        self.epochs = {}    # life: those of its acknowledgements
        self.end_tried = False
        self.end_acked = False
        self.followers = []

    def acknowledge(self, life, last, data):
        """The events that end with this id."""
        epoch, seq = kit.epoch_of(last), kit.seq_of(last)
        for i, one in enumerate(data):
            cursor = "%s-%d" % (epoch, seq - len(data) + 1 + i)
            assert cursor not in self.acked, ("given twice", cursor)
            self.acked[cursor] = one
        self.epochs.setdefault(life, set()).add(epoch)


class Publisher:
    """Publishes as fast as it is answered; two may share a stream."""

    def __init__(self, story, name, shared, chance):
        self.story = story
        self.name = name
        self.shared = shared
        self.chance = chance
        self.streams = 0
        self.number = 0
        self.stream = None
        self.conn = None

    def next_stream(self):
        self.streams += 1
        self.stream = self.story.stream("%s/%d" % (self.name, self.streams))

    def run(self):
        story = self.story
        life = 0
        self.next_stream()
        while True:
            there = story.wait_for_server(life, lambda: story.over)
            if there is None:
                return
            address, life = there
            try:
                self.conn = kit.Connection(address)
                while not story.over:
                    self.act(life)
            except (OSError, kit.ProtocolError):
                # Only a kill takes a server from its clients.
                assert not story.is_current(life) or story.over
            finally:
                if self.conn is not None:
                    self.conn.close()
                    self.conn = None

    def make(self):
        self.number += 1
        size = (self.chance.randrange(20000, 120000)
                if self.chance.random() < 0.03
                else self.chance.randrange(400))
        return "%s %d %s" % (self.name, self.number, "x" * size)

    def act(self, life):
        what = self.chance.random()
        stream = self.stream
        if what < 0.02:
            self.end(life)
            return
        if self.shared and what < 0.5:
            # A log remembers 256 epochs of a stream, and each life is one.
            stream = self.story.stream("shared/%d" % (life // 200))
        data = [self.make()]
        query = {}
        if what > 0.8:
            data += [self.make() for _ in range(self.chance.randrange(20))]
            query = {"split": "lines"}
        stream.tried.update(data)
        response = self.conn.ask("POST", path(stream.key, "/events", **query),
                                 "\n".join(data).encode())
        if response.status == 409:
            # An end that was never answered has happened.
            assert response.json()["error"] == "ended", response
            assert stream.end_tried, response
            self.next_stream()
            return
        assert response.status == 201, response
        stream.acknowledge(life, response.json()["id"], data)

    def end(self, life):
        self.stream.end_tried = True
        response = self.conn.ask("POST", path(self.stream.key, "/end"), b"")
        if response.status == 200:
            self.stream.acknowledge(life, response.json()["id"], [None])
        elif response.status == 404:
            self.stream.end_tried = False  # nothing was ever published
            return
        else:
            assert response.status == 409, response
        self.stream.end_acked = True
        self.next_stream()


class Typist:
    """Has the server itself produce something, in each of its lives."""

    def __init__(self, story):
        self.story = story
        self.keys = []

    def run(self):
        life = 0
        while True:
            there = self.story.wait_for_server(life, lambda: self.story.over)
            if there is None:
                return
            address, life = there
            key = "demo/%d" % life
            conn = None
            try:
                conn = kit.Connection(address)
                response = conn.ask(
                    "POST", "/demo/" + key.replace("/", "%2F")
                    + "?interval=5", b"")
            except (OSError, kit.ProtocolError):
                continue
            finally:
                if conn is not None:
                    conn.close()
            assert response.status == 201, response
            self.keys.append(key)
            self.story.stream(key)


class Follower:
    """A reader over all lives: it comes back with its last id."""

    def __init__(self, story, key, chance):
        self.story = story
        self.key = key
        self.chance = chance
        self.last_id = ""
        self.events = []  # of the log
        self.finished = False
        self.verdicts = []

    def run(self):
        story = self.story
        life = 0
        while not self.finished:
            there = story.wait_for_server(life, lambda: story.left)
            if there is None:
                return
            address, life = there
            while not self.finished and story.is_current(life):
                if story.left:
                    return
                if story.forgets and not story.over:
                    # It stays away for a while, and misses something.
                    time.sleep(self.chance.expovariate(1))
                try:
                    conn = kit.Connection(address)
                    try:
                        self.read(conn)
                    finally:
                        conn.reset()
                except (OSError, kit.ProtocolError):
                    pass

    def read(self, conn):
        headers = [("Accept", "text/event-stream")]
        if self.last_id:
            headers.append(("Last-Event-ID", self.last_id))
        conn.send(conn.request("GET", path(self.key), None, headers))
        response = conn.head()
        if response.status == 404:
            assert not self.last_id, "%s was there: %r" % (self.key,
                                                           self.last_id)
            time.sleep(0.02)
            return
        if response.status == 204:
            assert has_ended(self.events) or self.story.forgets
            self.finished = True
            return
        assert response.status == 200, response
        asked = self.last_id
        decoder = kit.Decoder(asked)
        budget = self.chance.choice((None, None, 300, 3000, 30000))
        taken = 0
        seen = []
        try:
            while budget is None or taken < budget:
                data = conn.read()
                if not data:
                    break
                taken += len(data)
                events = decoder.feed(data)
                self.last_id = decoder.last_id
                seen += events
                self.events += [e for e in events if e.type not in kit.BESIDE
                                and e.type != "status"]
                if self.story.left:
                    break
        finally:
            self.judge(asked, seen)

    def judge(self, asked, seen):
        """Exact, or it says gap."""
        kit.check_order(seen, ("status",))
        if asked and seen and seen[0].type == "weir.ready":
            assert seen[0].id == asked, (asked, seen[0])
        for event in seen:
            if event.type == "weir.ready":
                self.verdicts.append(json.loads(event.data)["verdict"])
            assert event.type != "weir.gap" or self.story.forgets, event


def has_ended(truth):
    """Whether these events end with an end. There may be none: a crash can
    come between a stream and its first event."""
    return truth != [] and kit.is_own(truth[-1])


class Lives(kit.Case):
    """The story itself, once with each policy."""

    options = None

    def tell(self, policy, *more):
        seed = int(SEED) if SEED else random.SystemRandom().getrandbits(32)
        print("%s: WEIR_SEED=%d" % (policy, seed), flush=True)
        self.story = Story(policy, seed, more)
        try:
            self.live()
        except BaseException:
            print("left behind:", self.story.directory)
            raise
        finally:
            with self.story.changed:
                self.story.over = self.story.left = True
                self.story.changed.notify_all()
            if self.story.server is not None:
                self.story.end_life()
        shutil.rmtree(self.story.directory)

    def live(self):
        story = self.story
        story.typist = Typist(story)
        story.run(story.typist.run)
        for i in range(4):
            publisher = Publisher(story, "p%d" % i, i < 2,
                                  random.Random(story.chance.random()))
            story.run(publisher.run)
        while self.goes_on():
            if story.chance.random() < 0.2:
                self.kill_young()
            story.begin_life()
            time.sleep(story.chance.expovariate(1 / 0.15))
            self.assertRegex(story.end_life(), "^%s$" % TORN)
            self.assertEqual(story.errors, [])
        # Publishers know what they know; the last life is for the readers.
        with story.changed:
            story.over = True
            story.changed.notify_all()
        story.begin_life()
        self.compare()

    def goes_on(self):
        return self.story.life < KILLS

    def kill_young(self):
        """Kill one that is still finding out what there is."""
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                (kit.SERVER, "--listen", self.story.host + ":0")
                + self.story.options(), stdout=subprocess.DEVNULL,
                stderr=errors)
            time.sleep(self.story.chance.uniform(0, 0.02))
            process.kill()
            process.wait()
            errors.seek(0)
            self.assertRegex(errors.read().decode(), "^%s$" % TORN)

    def compare(self):
        story = self.story
        interrupted = 0
        events = readers = returns = 0
        for key, stream in sorted(story.streams.items()):
            if key in story.typist.keys:
                # Its end is stored like any other, and not at once.
                kit.wait_until(lambda: story.server.info(key)["ended"],
                               "the end of " + key)
            truth = self.read_all(stream)
            if truth is None:
                self.assertEqual(stream.acked, {}, key)
                continue
            if key in story.typist.keys:
                # Its producer went with its process, unless it was done.
                said = json.loads(truth[-1].data)
                if truth[-1].type == "weir.failed":
                    self.assertEqual(said["code"], "interrupted")
                    interrupted += 1
                else:
                    self.assertEqual((truth[-1].type, said["reason"]),
                                     ("weir.done", "complete"))
            else:
                self.compare_with_publishers(stream, truth)
            self.compare_with_followers(stream, truth)
            self.ask_again(stream, truth)
            events += len(truth)
            readers += len(stream.followers)
            returns += sum(len(f.verdicts) for f in stream.followers)
        self.assertEqual(story.errors, [])
        self.assertGreater(interrupted, 0)
        print("%d lives, %d streams, %d events, %d readers, %d connections"
              % (story.life, len(story.streams), events, readers, returns))

    def read_all(self, stream):
        """The stream as a new reader gets it; None if it is not there."""
        server = self.story.server
        info = server.ask("GET", path(stream.key, "/info"))
        if info.status == 404:
            return None
        said = info.json()
        self.assertEqual(said["trimmed"], 0)
        reader = server.reader(stream.key)
        reader.until(lambda r: r.decoder.last_id
                     and kit.seq_of(r.decoder.last_id) >= said["last"]
                     and r.of("weir.ready"))
        self.assertEqual(reader.verdict, "fresh")
        self.assertEqual(reader.of("weir.gap"), [])
        reader.close()
        truth = [e for e in reader.events if e.type not in kit.BESIDE]
        self.assertEqual([kit.seq_of(e.id) for e in truth],
                         list(range(1, said["last"] + 1)))
        self.assertEqual(said["ended"],
                         said["last"] if has_ended(truth) else 0)
        return truth

    def compare_with_publishers(self, stream, truth):
        by_id = {event.id: event for event in truth}
        for cursor, data in stream.acked.items():
            self.assertIn(cursor, by_id, "acknowledged, and lost")
            if data is None:
                self.assertEqual(by_id[cursor].type, "weir.done")
            else:
                self.assertEqual(by_id[cursor].data, data)
        # What is there was published, once, in the order of its publisher.
        orders = {}
        for event in truth:
            if not kit.is_own(event):
                name, number = event.data.split(" ")[:2]
                self.assertIn(event.data, stream.tried)
                orders.setdefault(name, []).append(int(number))
        for numbers in orders.values():
            self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(has_ended(truth), stream.end_acked
                         or (stream.end_tried and has_ended(truth)))
        # Each life has an epoch of its own, and none comes back.
        used = [epochs for _, epochs in sorted(stream.epochs.items())]
        self.assertTrue(all(len(epochs) == 1 for epochs in used), used)
        self.assertEqual(len(set.union(set(), *used)), len(used), used)
        epochs = [kit.epoch_of(event.id) for event in truth]
        changes = [e for i, e in enumerate(epochs)
                   if i == 0 or e != epochs[i - 1]]
        self.assertEqual(len(changes), len(set(changes)))

    def compare_with_followers(self, stream, truth):
        ended = has_ended(truth)
        for follower in stream.followers:
            kit.wait_until(
                lambda: self.story.errors
                or (follower.finished if ended
                    else len(follower.events) >= len(truth)),
                "a reader of %s" % stream.key)
            self.assertEqual(self.story.errors, [])
            self.assertEqual(follower.events, truth)
            self.assertEqual(set(follower.verdicts) - {"fresh", "resumed"},
                             set())

    def ask_again(self, stream, truth):
        """An end is for ever; what has none goes on behind its last."""
        server = self.story.server
        response = server.publish(stream.key, b"more")
        if has_ended(truth):
            self.status(response, 409)
            self.assertEqual(response.json()["error"], "ended")
            reader = server.reader(stream.key, truth[-1].id)
            self.assertEqual(reader.response.status, 204)
            reader.close()
        else:
            self.status(response, 201)
            cursor = response.json()["id"]
            self.assertEqual(kit.seq_of(cursor), len(truth) + 1)
            self.assertNotIn(kit.epoch_of(cursor),
                             {kit.epoch_of(event.id) for event in truth})


class Forgetful(Lives):
    """The same, with retention at work: what is missing is said to be."""

    weight = 9

    def test_killed_at_any_time(self):
        self.tell("never", "--keep-bytes", "2M")

    def goes_on(self):
        """Until somebody has missed something, which takes longer where other
        programs have the processor."""
        missed = any(set(follower.verdicts) - {"fresh", "resumed"}
                     for stream in list(self.story.streams.values())
                     for follower in list(stream.followers))
        return self.story.life < KILLS or (
            self.story.life < 20 * KILLS and not missed)

    def compare(self):
        story = self.story
        gaps = 0
        for key, stream in sorted(story.streams.items()):
            if key not in story.typist.keys:
                gaps += self.compare_stream(stream)
        self.assertEqual(story.errors, [])
        self.assertGreater(gaps, 0)

    def compare_stream(self, stream):
        server = self.story.server
        if server.ask("GET", path(stream.key, "/info")).status == 404:
            self.assertEqual(stream.acked, {})
            return 0
        before = server.info(stream.key)
        reader = server.reader(stream.key)
        if reader.response.status == 204:
            # Even its end is gone: there is nothing to wait for.
            self.assertEqual(before["ended"], before["last"])
        else:
            reader.until(lambda r: r.decoder.last_id and r.of("weir.ready")
                         and kit.seq_of(r.decoder.last_id) >= before["last"])
        reader.close()
        kit.check_order(reader.events)
        truth = {e.id: e for e in reader.events if e.type not in kit.BESIDE}
        trimmed = server.info(stream.key)["trimmed"]
        for cursor, data in stream.acked.items():
            if kit.seq_of(cursor) > trimmed:
                self.assertIn(cursor, truth, "acknowledged, and lost")
        for follower in stream.followers:
            kit.wait_until(
                lambda: self.story.errors or follower.finished
                or (not before["ended"] and follower.last_id
                    and kit.seq_of(follower.last_id) >= before["last"]),
                "a reader of %s" % stream.key)
            numbers = [kit.seq_of(e.id) for e in follower.events]
            self.assertEqual(numbers, sorted(set(numbers)))
            for event in follower.events:
                self.compare_event(stream, truth, event)
        return sum(len(f.verdicts) - f.verdicts.count("resumed")
                   - f.verdicts.count("fresh") for f in stream.followers)

    def compare_event(self, stream, truth, event):
        if event.id in truth:
            self.assertEqual(event, truth[event.id], stream.key)
        if event.id in stream.acked:
            self.assertEqual(None if kit.is_own(event) else event.data,
                             stream.acked[event.id],
                             "%s, %s" % (stream.key, event.id))
        elif not kit.is_own(event):
            self.assertIn(event.data, stream.tried)


class Always(Lives):
    weight = 9

    def test_killed_at_any_time(self):
        self.tell("always")


class Interval(Lives):
    weight = 9

    def test_killed_at_any_time(self):
        self.tell("100ms")


class Never(Lives):
    weight = 9

    def test_killed_at_any_time(self):
        self.tell("never")


# --- One thing at a time ---------------------------------------------------

class Home(kit.Case):
    """Each test has a directory, and servers one after the other."""

    options = None

    def setUp(self):
        super().setUp()
        self.directory = tempfile.mkdtemp(prefix="weir-durable-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.own = None

    def tearDown(self):
        if self.own is not None:
            self.own.kill()
            self.own = None

    def start(self, *options):
        self.own = start(self.directory, *options)
        return self.own

    def kill(self):
        self.own.process.kill()
        self.own.process.wait()
        self.assertRegex(self.own.said(), "^%s$" % TORN)
        self.own.kill()
        self.own = None

    def stop(self):
        server, self.own = self.own, None
        server.stop()

    def read(self, key, count, last_id=""):
        """The first so many events that a reader gets from the log."""
        reader = self.own.reader(key, last_id)
        reader.until(lambda r: len([e for e in r.events if e.type
                                    not in kit.BESIDE]) >= count)
        return reader


class Again(Home):
    """What a stream was, it is after a restart, however that came about."""

    def twice(self, story):
        """Tell it with a restart of either kind."""
        for end in (self.kill, self.stop):
            with self.subTest(end=end.__name__):
                self.key = "%s %s" % (self._testMethodName, end.__name__)
                self.start()
                try:
                    after = story()
                    end()
                    self.start()
                    after()
                    end()
                finally:
                    self.tearDown()

    def test_goes_on_to_the_byte(self):
        def story():
            first = self.own.publish_id(self.key, b"one\r\ntwo\nthree")
            self.own.publish_id(self.key, "ä\u2028".encode(), type="t")
            before = bytes(self.read(self.key, 2).raw).split(b"\n\n", 1)[1]

            def after():
                raw = bytes(self.read(self.key, 2).raw).split(b"\n\n", 1)[1]
                self.assertEqual(raw, before)
                resumed = self.read(self.key, 1, first)
                self.assertEqual(resumed.verdict, "resumed")
                self.assertIn(before.split(b"\n\n", 1)[1], resumed.raw)
            return after
        self.twice(story)

    def test_numbers_go_on_under_a_new_epoch(self):
        def story():
            last = [self.own.publish_id(self.key, b"x") for _ in range(3)][-1]

            def after():
                told = self.own.info(self.key)
                self.assertEqual((told["last"], told["ended"]), (3, 0))
                self.assertEqual(told["generation"], kit.epoch_of(last))
                reader = self.read(self.key, 0, last)
                self.assertEqual(reader.verdict, "resumed")
                cursor = self.own.publish_id(self.key, b"y")
                self.assertEqual(kit.seq_of(cursor), 4)
                self.assertNotEqual(kit.epoch_of(cursor), kit.epoch_of(last))
                self.assertEqual(reader.wait("message").id, cursor)
            return after
        self.twice(story)

    def test_what_a_crash_took_is_not_given_again(self):
        # A cursor beyond what is there, in the epoch of a life that is over.
        self.start()
        last = self.own.publish_id(self.key, b"x")
        self.kill()
        self.start()
        ahead = "%s-%d" % (kit.epoch_of(last), 5)
        cursor = self.own.publish_id(self.key, b"y")
        reader = self.read(self.key, 1, ahead)
        self.assertEqual(reader.verdict, "rewound")
        self.assertEqual([e.type for e in reader.events],
                         ["weir.gap", "weir.ready", "message"])
        self.assertEqual([e.id for e in reader.events], [last, last, cursor])
        self.stop()

    def test_an_end_is_an_end(self):
        for how, kind in ((kit.Server.end, "weir.done"),
                          (kit.Server.fail, "weir.failed")):
            def story():
                self.key += kind
                first = self.own.publish_id(self.key, b"x")
                last = how(self.own, self.key).json()["id"]

                def after():
                    self.status(self.own.publish(self.key, b"y"), 409)
                    self.status(self.own.end(self.key), 409)
                    self.assertEqual(
                        self.own.reader(self.key, last).response.status, 204)
                    reader = self.read(self.key, 1, first)
                    self.assertEqual(reader.wait(kind).id, last)
                    reader.rest()
                    self.assertEqual(self.own.info(self.key)["ended"], 2)
                return after
            self.twice(story)

    def test_a_new_generation_hides_the_old_one(self):
        def story():
            old = self.own.publish_id(self.key, b"old")
            end = self.own.end(self.key).json()["id"]
            made = self.own.open(self.key).json()["generation"]
            new = self.own.publish_id(self.key, b"new")
            self.assertEqual(kit.epoch_of(new), made)

            def after():
                reader = self.read(self.key, 1)
                self.assertEqual([e.data for e in reader.of("message")],
                                 ["new"])
                self.assertEqual(self.own.info(self.key)["generation"], made)
                self.assertEqual(self.read(self.key, 1, old).verdict,
                                 "foreign")
                self.assertNotEqual(kit.epoch_of(end), made)
            return after
        self.twice(story)

    def test_what_the_open_chose_is_kept(self):
        def story():
            self.own.open(self.key, envelope="json")
            self.own.publish(self.key, b"x")

            def after():
                self.own.publish(self.key, b"y")
                said = [json.loads(e.data) for e in
                        self.read(self.key, 2).of("message")]
                self.assertEqual([(e["index"], e["data"]) for e in said],
                                 [(0, "x"), (1, "y")])
            return after
        self.twice(story)

    def test_its_timers_start_anew(self):
        for end in (self.kill, self.stop):
            key = "%s %s" % (self.key, end.__name__)
            self.start("--idle", "700ms")
            self.own.publish_id(key, b"x")
            end()
            self.start()
            self.own.publish_id(key, b"y")
            failed = json.loads(self.own.reader(key).wait("weir.failed").data)
            self.assertEqual(failed["code"], "idle_timeout")
            self.assertEqual(self.own.info(key)["last"], 3)
            self.stop()

    def test_an_empty_stream_is_there(self):
        def story():
            made = self.own.open(self.key).json()["generation"]

            def after():
                told = self.own.info(self.key)
                self.assertEqual((told["generation"], told["last"]),
                                 (made, 0))
            return after
        self.twice(story)

    def test_the_servers_own_producer_is_interrupted(self):
        def story():
            self.own.ask("POST", "/demo/%s?interval=5"
                         % self.key.replace(" ", "%20"), b"")
            reader = self.read(self.key, 3)
            last = reader.of("token")[-1].id

            def after():
                reader = self.own.reader(self.key, last)
                failed = json.loads(reader.wait("weir.failed").data)
                self.assertEqual(failed["code"], "interrupted")
                reader.rest()
                self.assertEqual(
                    self.own.reader(self.key, reader.decoder.last_id)
                    .response.status, 204)
            return after
        self.twice(story)


class Faults(Home):
    def test_a_file_that_somebody_removes(self):
        self.start()
        self.own.publish_id("old", b"x")
        self.stop()
        self.start()
        self.own.publish_id(self.key, b"x")
        newest = max(name for name in os.listdir(self.directory)
                     if name.endswith(".log"))
        os.unlink(os.path.join(self.directory, newest))
        response = self.own.publish(self.key, b"y")
        self.status(response, 503)
        self.assertEqual(response.json()["error"], "storage_failed")
        self.assertEqual(
            json.loads(self.own.reader(self.key).wait("weir.failed").data)
            ["code"], "log_refused")
        self.own.publish_id("new", b"x")
        self.own.process.kill()
        self.own.process.wait()
        self.assertRegex(self.own.said(), "segment [0-9a-f]{16}: cannot be")
        self.own.kill()
        self.start()
        for key in ("old", "new"):
            self.assertEqual(self.read(key, 1).of("message")[0].data, "x")
        self.stop()

    def test_a_limit_on_the_size_of_files(self):
        self.own = kit.Server(
            "--log", self.directory,
            wrapper=("sh", "-c", 'ulimit -f 100 && exec "$@"', "sh"))
        self.status(self.own.publish(self.key, b"x" * 500000), 503)
        self.own.publish_id("new", b"x")
        self.own.process.kill()
        self.own.process.wait()
        self.assertIn("cannot be made: no room on the disk", self.own.said())
        self.own.kill()
        self.start()
        self.assertEqual(self.read("new", 1).of("message")[0].data, "x")
        self.stop()

    def test_connections_leave_the_log_its_descriptors(self):
        self.own = kit.Server("--log", self.directory, "--request-timeout",
                              "0", limit=40)
        asking = self.own.connect()
        asking.ask("PUT", path(self.key))
        reader = self.own.reader(self.key)
        reader.ready
        for _ in range(60):
            self.own.connect()
        for i in range(8):  # in more than one segment
            response = asking.ask("POST", path("%s %d" % (self.key, i),
                                               "/events"), b"x" * 1000000)
            self.status(response, 201)
        self.assertGreater(len([name for name in os.listdir(self.directory)
                                if name.endswith(".log")]), 1)
        asking.ask("POST", path(self.key, "/events"), b"still")
        reader.wait_data("still")
        self.stop()


class Retention(Home):
    """What goes is told, also after a restart."""

    SOME = b"x" * 40000

    def fill(self, key, bytes_):
        for _ in range(bytes_ // len(self.SOME)):
            self.own.publish_id(key, self.SOME)

    def names(self):
        return {name for name in os.listdir(self.directory)
                if name.startswith("weir-")}

    def size(self):
        total = 0
        for name in self.names():
            try:
                total += os.stat(os.path.join(self.directory, name)).st_size
            except FileNotFoundError:
                pass  # it has gone meanwhile
        return total

    def trimmed(self, key):
        return self.own.info(key)["trimmed"]

    def evicted(self, cursor):
        """A reader that comes too late is told from where on it goes on."""
        trimmed = self.trimmed(self.key)
        reader = self.read(self.key, 1, cursor)
        self.assertEqual(reader.verdict, "evicted")
        kit.check_order(reader.events)
        gap = json.loads(reader.of("weir.gap")[0].data)
        self.assertEqual(gap["requested"], cursor)
        self.assertGreater(gap["first"], trimmed)
        # More may go while it reads: it is told of that too.
        first = [e for e in reader.events if e.type == "message"][0]
        last = json.loads(reader.of("weir.gap")[-1].data)
        self.assertEqual(kit.seq_of(first.id), last["first"])

    def test_by_bytes(self):
        limit = 4 << 20
        options = ("--keep-bytes", str(limit), "--sync", "never")
        self.start(*options)
        first = self.own.publish_id(self.key, b"first")
        self.own.publish("quiet", b"x")
        for end in (self.kill, self.stop, lambda: None):
            self.fill(self.key, 3 * limit)
            kit.wait_until(lambda: self.size() <= 2 * limit, "retention")
            before = self.own.info(self.key)
            end()
            self.start(*options) if self.own is None else None
            self.evicted(first)
            after = self.own.info(self.key)
            self.assertGreaterEqual(after["trimmed"], before["trimmed"])
            self.assertEqual(after["last"], before["last"])
            # Whole segments go, but a good part of the limit stays.
            self.assertGreater((after["last"] - after["trimmed"])
                               * len(self.SOME), limit // 3)
        # A stream that lives is still there, though its events are not.
        told = self.own.info("quiet")
        self.assertEqual((told["last"], told["trimmed"], told["ended"]),
                         (1, 1, 0))
        self.assertEqual(kit.seq_of(self.own.publish_id("quiet", b"y")), 2)
        self.stop()

    def test_by_age(self):
        self.start()
        first = self.own.publish_id(self.key, b"x")
        self.own.publish_id(self.key, b"x")
        self.kill()
        # That was a whole segment, and 1 ms is over by now.
        old = self.names()
        self.start("--keep-age", "1ms")
        kit.wait_until(lambda: not old & self.names(), "retention")
        # What goes on, or is read, knows.
        self.own.publish_id(self.key, b"y")
        self.evicted(first)
        self.kill()
        self.start()
        self.assertEqual(self.trimmed(self.key), 2)
        self.evicted(first)
        self.stop()

    def test_streams_after_their_end(self):
        self.start("--keep-ended", "1ms", "--linger", "1ms")
        self.own.publish(self.key, b"x")
        last = self.own.end(self.key).json()["id"]
        self.own.publish("other", b"x")
        self.kill()
        self.start("--keep-ended", "1ms", "--linger", "1ms")
        kit.wait_until(lambda: self.own.ask(
            "GET", path(self.key, "/info")).status == 404, "retention")
        self.status(self.own.ask("GET", path(self.key), None,
                                 [("Last-Event-ID", last)]), 404)
        self.assertEqual(self.own.info("other")["last"], 1)
        self.stop()



def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


class Refused(Home):
    """A directory that cannot be used: why not, in words, and not a byte of
    it is touched."""

    def look(self):
        """All there is to see of a directory but when it was looked at."""
        seen = {}
        for name in [""] + sorted(os.listdir(self.directory)):
            where = os.path.join(self.directory, name)
            status = os.lstat(where)
            data = None
            if stat.S_ISREG(status.st_mode) and os.access(where, os.R_OK):
                with open(where, "rb") as file:
                    data = file.read()
            seen[name] = (status.st_mode, status.st_size, status.st_uid,
                          status.st_mtime_ns if name else 0, data)
        return seen

    def refused(self, *words, user=None):
        """What is said, in full."""
        before = self.look()
        done = subprocess.run(
            [kit.SERVER, "--listen", "127.0.0.1:0", "--log", self.directory],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=kit.PATIENCE, user=user)
        said = done.stderr.decode()
        self.assertEqual((done.returncode, done.stdout), (1, b""), said)
        self.assertRegex(said.splitlines()[-1],
                         "^server: --log %s: " % self.directory)
        for word in words:
            self.assertIn(word, said)
        self.assertEqual(self.look(), before)
        return said

    def write(self, name, data=b""):
        with open(os.path.join(self.directory, name), "wb") as file:
            file.write(data)

    def segment(self):
        """The name of a segment, in the directory of a log."""
        self.start()
        self.own.publish(self.key, b"x")
        self.kill()
        return next(name for name in os.listdir(self.directory)
                    if name.startswith("weir-"))

    def test_a_second_server(self):
        server = self.start()
        first = server.publish_id(self.key, b"x")
        said = self.refused("another process has the directory")
        self.assertEqual(len(said.splitlines()), 1, said)
        self.assertEqual(self.read(self.key, 1).of("message")[0].id, first)
        server.publish_id(self.key, b"y")
        self.stop()
        self.start()
        self.assertEqual(self.own.info(self.key)["last"], 2)
        self.stop()

    def test_the_directory_of_somebody_else(self):
        for name in ("letter.txt", "weir-1.log", "weir-000000000000000A.log",
                     "weir-0000000000000001.log.bak", "lock.old"):
            self.write(name, b"Dear Sir")
            self.refused(name, "does not belong")
            os.unlink(os.path.join(self.directory, name))
        os.mkdir(os.path.join(self.directory, "weir-0000000000000001.log"))
        self.refused("does not belong")
        os.rmdir(os.path.join(self.directory, "weir-0000000000000001.log"))
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_file_of_somebody_else_among_segments(self):
        self.segment()
        self.write("letter.txt", b"Dear Sir")
        self.refused("letter.txt", "does not belong")
        os.unlink(os.path.join(self.directory, "letter.txt"))
        self.start()
        self.assertEqual(self.own.info(self.key)["last"], 1)
        self.stop()

    def test_no_segment_that_is_one(self):
        self.write("weir-0000000000000001.log", b"\x5a" * 70000)
        self.refused("not a log of this library")

    def test_a_newer_format(self):
        name = self.segment()
        with open(os.path.join(self.directory, name), "r+b") as file:
            head = bytearray(file.read(64))
            self.assertEqual(head[8], 1)
            head[8] = 2
            head[60:] = struct.pack("<I", crc32c(head[:60]))
            file.seek(0)
            file.write(head)
        self.refused("format version 2", "knows 1")

    def test_no_directory(self):
        file = os.path.join(self.directory, "weir-0000000000000001.log")
        self.write(file, b"a file")
        for where, why in ((file, b"Not a directory"),
                           (self.directory + "/a/b", b"No such file")):
            done = subprocess.run(
                [kit.SERVER, "--listen", "127.0.0.1:0", "--log", where],
                stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                timeout=kit.PATIENCE)
            self.assertEqual(done.returncode, 1)
            self.assertIn(why, done.stderr)
        self.assertEqual(list(self.look().values())[1][-1], b"a file")
        self.assertEqual(len(self.look()), 2)

    def test_permissions(self):
        user = None
        if os.geteuid() == 0:
            user = 65534  # one whom permissions do bind
            part = kit.SERVER
            while part != "/":
                part = os.path.dirname(part)
                if not os.stat(part).st_mode & stat.S_IXOTH:
                    self.skipTest("nobody can come to the server")
        self.segment()
        if user is not None:
            for name in os.listdir(self.directory):
                os.chown(os.path.join(self.directory, name), user, user)
            os.chown(self.directory, user, user)
        names = [os.path.join(self.directory, name) for name in
                 [""] + os.listdir(self.directory)]
        for name in names:
            mode = stat.S_IMODE(os.stat(name).st_mode)
            os.chmod(name, 0)
            if name != names[0] or user is not None:
                self.refused("not allowed", user=user)
            os.chmod(name, mode)
