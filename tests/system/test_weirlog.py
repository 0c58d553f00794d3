# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""weirlog, which knows of a log what weir_log_file(5) says, and the server,
which writes it: they have to see the same, also where it is damaged."""
import os
import random
import re
import shutil
import struct
import subprocess
import tempfile
import threading

import kit
from kit import path

WEIRLOG = os.path.join(os.path.dirname(kit.SERVER), "weirlog")
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    "../../man/weir_log_file.5")
SEED = os.environ.get("WEIR_SEED")


def weirlog(*arguments):
    """Exit status, standard output, standard error."""
    done = subprocess.run([WEIRLOG] + list(arguments), timeout=kit.PATIENCE,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    return done.returncode, done.stdout, done.stderr.decode()


class Home(kit.Case):
    options = None

    def setUp(self):
        super().setUp()
        self.directory = tempfile.mkdtemp(prefix="weirlog-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.own = None

    def tearDown(self):
        if self.own is not None:
            self.own.kill()

    def start(self, *options):
        self.own = kit.Server("--log", self.directory, *options)
        return self.own

    def kill(self):
        server, self.own = self.own, None
        server.kill()

    def stop(self):
        server, self.own = self.own, None
        server.stop()

    def ask(self, status, *arguments):
        """What it says on standard output; nothing, on the other."""
        got, out, err = weirlog(*arguments)
        self.assertEqual((got, err), (status, ""), out)
        return out

    def sound(self):
        out = self.ask(0, "verify", self.directory).decode()
        self.assertRegex(out, r"(^|\n)\d+ segments, \d+ streams, \d+ events: "
                         r"sound\n$")
        return out


def listed(out):
    """Rows of `list`: (generation, key, hidden): (status, first, last)."""
    rows = {}
    lines = out.decode().splitlines()
    assert lines[0].split() == ["GENERATION", "STATUS", "EVENTS", "KEY"]
    for line in lines[1:]:
        match = re.fullmatch(r"([a-z2-7]+) +(\w+) +(-|(\d+)-(\d+)) +(.*?)"
                             r"(  \(hidden by a newer one\))?", line)
        rows[match[1], match[6], bool(match[7])] = (
            match[2], *((int(match[4]), int(match[5])) if match[4]
                        else (None, None)))
    return rows


def events_of(server, key):
    """All frames of a stream's events as a reader gets them, by number."""
    info = server.info(key)
    reader = server.reader(key)
    reader.until(lambda r: r.of("weir.ready")
                 and kit.seq_of(r.decoder.last_id) >= info["last"])
    kit.check_order(reader.events)
    frames = {}
    for frame in reader.frames:
        if re.search("^event: weir.(ready|gap|closing)$", frame, re.M):
            continue
        frames[int(re.match("id: [a-z2-7]+-([0-9]+)\n", frame)[1])] = (
            frame.encode())
    reader.close()
    return info, frames


def shown():
    """The bytes of a segment that weir_log_file(5) shows, and what it says of
    them: the offsets of the head, of a state and of an event."""
    with open(PAGE) as file:
        page = file.read()
    text = page[page.index(".Sh EXAMPLES"):page.index(".Sh SEE ALSO")]
    data = b""
    for at, line in re.findall(r"^([0-9a-f]{8})((?: +[0-9a-f]{2}){16})$", text,
                               re.M):
        assert int(at, 16) == len(data), at
        data += bytes.fromhex(line)
    words = re.search(r"the head at (\w+), a state at (\w+), an event at\s"
                      r"(\w+)\.", text)
    return data, [int(word, 0) for word in words.groups()]


class Tool(Home):
    def test_what_the_page_shows(self):
        data, (head, state, event) = shown()
        self.assertEqual(data[head:head + 8], b"weirlog\n")
        # A record has its kind at 12 and its own place at 60.
        for at, kind in (state, 2), (event, 1):
            self.assertEqual(data[at + 12], kind)
            self.assertEqual(struct.unpack_from("<I", data, at + 60)[0] * 8, at)
        with open(os.path.join(self.directory, "weir-0000000000000001.log"),
                  "wb") as file:
            file.write(data.ljust(4096 - 64, b"\0") + data[head:head + 64])
        (_, key, hidden), what = listed(
            self.ask(0, "list", self.directory)).popitem()
        self.assertEqual((key, hidden, what), ("k", False, ("open", 1, 1)))
        self.assertRegex(self.ask(0, "dump", self.directory, "k"),
                         rb"^id: [a-z2-7]+-1\ndata: x\n\n$")
        self.assertTrue(self.sound().endswith(
            "1 segments, 1 streams, 1 events: sound\n"))

    def test_usage(self):
        for arguments in ((), ("list",), ("dump", self.directory),
                          ("verify",), ("list", self.directory, "x"),
                          ("dump", self.directory, "k", "--html"),
                          ("repair", self.directory), ("--version",)):
            status, out, err = weirlog(*arguments)
            self.assertEqual((status, out), (2, b""), arguments)
            self.assertTrue(err.startswith("usage: weirlog list DIR\n"), err)
        self.assertIn(b"usage: weirlog", self.ask(0, "--help"))

    def test_what_is_no_log(self):
        def refused(word):
            for what in (("list",), ("verify",), ("dump", "k")):
                status, out, err = weirlog(what[0], self.directory, *what[1:])
                self.assertEqual((status, out), (2, b""))
                self.assertRegex(err, "^weirlog: %s.*%s" % (self.directory,
                                                            word))
        name = os.path.join(self.directory, "weir-0000000000000001.log")
        self.sound()
        with open(name, "wb") as file:
            file.write(b"x" * 5000)
        refused("no segment has a head")
        os.rename(name, os.path.join(self.directory, "letter.txt"))
        refused("letter.txt: does not belong")
        os.unlink(os.path.join(self.directory, "letter.txt"))
        os.mkdir(name)
        refused("does not belong")
        os.rmdir(name)
        os.rmdir(self.directory)
        refused("No such file")
        with open(self.directory, "w"):
            refused("Not a directory")
        os.unlink(self.directory)
        os.mkdir(self.directory)

    def test_a_newer_format(self):
        self.start().publish("k", b"x")
        self.kill()
        with open(os.path.join(self.directory, "weir-0000000000000001.log"),
                  "r+b") as file:
            head = bytearray(file.read(60))
            head[8] = 7
            file.seek(0)
            file.write(head + struct.pack("<I", crc32c(head)))
        status, out, err = weirlog("list", self.directory)
        self.assertEqual((status, out), (2, b""))
        self.assertIn("format version 7; this program knows 1", err)

    def test_list(self):
        server = self.start()
        names = {}
        for key in ("open", "empty", "ended", "failed", "ü \\ x"):
            names[key] = server.open(key).json()["generation"]
        for key in ("open", "ended", "failed", "ü \\ x"):
            server.publish(key, b"x")
        server.end("ended")
        server.fail("failed")
        old = names["ended"]
        names["again"] = server.open("ended").json()["generation"]
        wanted = {
            (names["open"], "open", False): ("open", 1, 1),
            (names["empty"], "empty", False): ("open", None, None),
            (old, "ended", True): ("ended", 1, 2),
            (names["again"], "ended", False): ("open", None, None),
            (names["failed"], "failed", False): ("failed", 1, 2),
            (names["ü \\ x"], r"ü \\ x", False): ("open", 1, 1)}
        for end in (lambda: None, self.kill, lambda: self.start(),
                    self.stop):
            end()
            self.assertEqual(listed(self.ask(0, "list", self.directory)),
                             wanted)
            self.assertTrue(self.sound().endswith(
                "6 streams, 6 events: sound\n"))

    def test_dump_is_what_clients_get(self):
        server = self.start()
        for data in (b"one\r\ntwo\n", "ä".encode(), b"", b"x" * 100000):
            server.publish("k", data, type="t")
        server.publish("k", b"a\nb\nc\n", split="lines")
        server.end("k")
        _, frames = events_of(server, "k")
        wanted = b"".join(frames.values())
        self.assertEqual(len(frames), 8)
        for end in (lambda: None, self.kill, lambda: self.start(),
                    self.stop):
            end()
            self.assertEqual(self.ask(0, "dump", self.directory, "k"), wanted)
        status, out, err = weirlog("dump", self.directory, "nobody")
        self.assertEqual((status, out), (1, b""))
        self.assertIn("there is no stream nobody", err)

    def test_dump_as_text(self):
        server = self.start()
        server.publish("k", b"one\ntwo\\\x1b[31m", type="t")
        server.publish("k", b"")
        lines = self.ask(0, "dump", self.directory, "k", "--text").split(b"\n")
        time = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        self.assertRegex(lines[0], rb"^1  " + time
                         + rb"  t  one\\ntwo\\\\\\x1b\[31m$")
        self.assertRegex(lines[1], rb"^2  " + time + rb"  message  $")
        self.assertEqual(lines[2:], [b""])

    def test_dump_says_what_retention_took(self):
        options = ("--keep-bytes", "1M", "--sync", "never")
        self.start(*options)
        for _ in range(100):
            self.own.publish("k", b"x" * 40000)
        self.stop()
        self.start(*options)
        kit.wait_until(lambda: len(os.listdir(self.directory)) < 8, "retention")
        info, frames = events_of(self.own, "k")
        self.kill()
        status, out, err = weirlog("dump", self.directory, "k")
        first = min(frames)
        self.assertGreater(first, 1)
        self.assertEqual((status, err), (
            0, "stream k: events 1 to %d are gone\n" % (first - 1)))
        self.assertEqual(out, b"".join(frames.values()))
        self.sound()

    def test_beside_a_server_that_writes(self):
        """It sees something whole, whenever it looks, and nobody minds."""
        options = ("--keep-bytes", "2M", "--sync", "never")
        self.start(*options)
        over = threading.Event()
        failed = []

        def publish(name, server):
            number = 0
            conn = kit.Connection(server.address)
            try:
                while not over.is_set():
                    number += 1
                    data = b"%d %s" % (number, b"x" * (number * 997 % 20000))
                    response = conn.ask(
                        "POST", path("%s%d" % (name, number % 3), "/events"),
                        data)
                    assert response.status == 201, response
            except BaseException as error:
                failed.append(error)
            finally:
                conn.close()

        for _ in range(2):
            over.clear()
            threads = [threading.Thread(target=publish, args=(name, self.own))
                       for name in "ab"]
            for thread in threads:
                thread.start()
            for _ in range(20 if kit.LONG else 5):
                self.sound()
                status, out, err = weirlog("dump", self.directory, "a0")
                self.assertIn(status, (0, 1), err)
                numbers = [int(n) for n in
                           re.findall(rb"^id: [a-z2-7]+-(\d+)$", out, re.M)]
                # Retention may be faster than it, and it says so.
                for first, last in re.findall(
                        r"events? (\d+)(?: to (\d+))? (?:is|are) gone", err):
                    numbers += range(int(first), int(last or first) + 1)
                self.assertEqual(sorted(numbers),
                                 list(range(1, len(numbers) + 1)))
                self.assertNotIn("lost", err)
            over.set()
            for thread in threads:
                thread.join()
            self.assertEqual(failed, [])
            self.stop()
            self.start(*options)
        self.sound()

    def test_nothing_is_touched(self):
        self.start().publish("k", b"x")
        self.kill()
        with open(os.path.join(self.directory, "weir-0000000000000009.log.new"),
                  "wb"):
            pass
        os.unlink(os.path.join(self.directory, "lock"))

        def look():
            seen = {}
            for name in os.listdir(self.directory):
                with open(os.path.join(self.directory, name), "rb") as file:
                    seen[name] = (os.fstat(file.fileno()).st_mtime_ns,
                                  file.read())
            return seen
        before = look()
        self.ask(0, "list", self.directory)
        self.ask(0, "dump", self.directory, "k")
        self.sound()
        self.assertEqual(look(), before)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


class Damage(Home):
    """Whatever is done to the bytes: what verify says is lost is what the
    server then does not have, and nothing else."""

    weight = 5

    def make(self):
        """Lives that leave segments of both kinds, and streams of all."""
        for life in range(4):
            server = self.start()
            for i in range(4):
                server.publish("s%d" % i, b"x" * 50 * i)
            server.publish("s0", b"\n".join(b"line" for _ in range(20)),
                           split="lines")
            server.publish("end%d" % life, b"x" * 5000)
            server.publish("s1", b"y" * 2000)
            (server.fail if life % 2 else server.end)("end%d" % life)
            server.open("again", on_duplicate="replace")
            server.publish("again", b"x" * 300)
            server.open("empty%d" % life)
            if life % 2:
                self.stop()
            else:
                self.kill()

    def hurt(self, chance, where):
        """Do something to a file; what it was, in words."""
        with open(where, "r+b") as file:
            data = bytearray(file.read())
            used = len(data.rstrip(b"\0"))
            if used == len(data):
                # The head at the end; what stands before it is used.
                used = len(data[:-64].rstrip(b"\0")) or used
            if used == 0:
                return "%s: nothing is left" % os.path.basename(where)
            at = chance.randrange(used)
            if chance.random() < 0.1:
                at = len(data) - 1 - chance.randrange(64)
            what = chance.randrange(4)
            if what < 2:
                data[at] ^= 1 << chance.randrange(8)
            elif what == 2:
                size = chance.choice((8, 64, 512))
                at = at // size * size
                size = min(size, len(data) - at)
                data[at:at + size] = (bytes(size) if chance.random() < 0.5
                                      else chance.randbytes(size))
            elif chance.random() < 0.3:
                del data[at:]
            else:
                other = chance.randrange(used)
                size = min(200, len(data) - max(at, other))
                data[at:at + size] = data[other:other + size]
            file.seek(0)
            file.truncate()
            file.write(data)
        return "%s: %d at %d" % (os.path.basename(where), what, at)

    def compare(self, directory):
        """What weirlog says, then what the server does."""
        status, said, _ = weirlog("verify", directory)
        rows_status, rows, err = weirlog("list", directory)
        if status == 2:
            self.assertEqual(rows_status, 2)
            with self.assertRaises(AssertionError):
                kit.Server("--log", directory)
            return
        rows = listed(rows)
        said = said.decode()
        lost = {}
        for key, first, last in re.findall(
                r"^stream (\S+): events? (\d+)(?: to (\d+))? "
                r"(?:is|are|may)", said, re.M):
            lost.setdefault(key, set()).update(
                range(int(first), int(last or first) + 1))
        self.assertEqual(status, 0 if re.search("sound\n$", said) else 1)
        self.assertTrue(status == 1 or not lost)
        dumps = {key: weirlog("dump", directory, key)
                 for _, key, hidden in rows if not hidden}
        self.own = kit.Server("--log", directory)
        for (generation, key, hidden), row in rows.items():
            if not hidden:
                self.compare_stream(key, generation, row, dumps[key],
                                    lost.get(key, set()))
        for key in self.keys:
            if key not in dumps:
                self.assertEqual(
                    self.own.ask("GET", path(key, "/info")).status, 404, key)
        self.kill()

    def compare_stream(self, key, generation, row, dump, lost):
        status, first, last = row
        info, frames = events_of(self.own, key)
        self.assertEqual(info["generation"], generation)
        self.assertEqual(
            (info["trimmed"] + 1, info["last"]) if info["trimmed"]
            != info["last"] else (None, None), (first, last), key)
        self.assertEqual(info["ended"] != 0, status != "open", key)
        there = set(range(info["trimmed"] + 1, info["last"] + 1))
        self.assertEqual(there - set(frames), lost, key)
        self.assertEqual(dump[0], 1 if lost else 0)
        self.assertEqual(dump[1], b"".join(frames.values()), key)
        self.assertEqual("lost" in dump[2], bool(lost))

    def test_both_see_the_same(self):
        seed = int(SEED) if SEED else random.SystemRandom().getrandbits(32)
        print("WEIR_SEED=%d" % seed, flush=True)
        self.make()
        self.sound()
        self.keys = {key for _, key, _ in
                     listed(self.ask(0, "list", self.directory))}
        for i in range(1000 if kit.LONG else 60):
            chance = random.Random(seed + i)
            copy = self.directory + "-copy"
            shutil.copytree(self.directory, copy)
            try:
                names = sorted(os.path.join(copy, name)
                               for name in os.listdir(copy) if name != "lock")
                if chance.random() < 0.3:
                    names = [chance.choice(names)]
                done = [self.hurt(chance, chance.choice(names))
                        for _ in range(chance.choice((1, 1, 1, 2, 5)))]
                with self.subTest(seed=seed + i, done=done):
                    self.compare(copy)
            finally:
                self.tearDown()
                self.own = None
                shutil.rmtree(copy)

    def test_verify_names_what_it_is(self):
        server = self.start()
        for i in range(5):
            server.publish("k", b"event %d" % (i + 1))
        self.kill()
        name = os.path.join(self.directory, "weir-0000000000000001.log")
        with open(name, "r+b") as file:
            data = bytearray(file.read())
            at = data.index(b"event 3")
            data[at] ^= 1
            file.seek(0)
            file.write(data)
        out = self.ask(1, "verify", self.directory).decode()
        self.assertRegex(
            out, r"^segment 0{15}1: the event at offset \d+ is damaged\n"
            r"stream k: event 3 is lost\n"
            r"1 segments, 1 streams, 5 events: damaged; 1 lost\n$")
        status, out, err = weirlog("dump", self.directory, "k")
        self.assertEqual((status, err), (1, "stream k: event 3 is lost\n"))
        self.assertEqual(re.findall(rb"^data: event (\d)$", out, re.M),
                         [b"1", b"2", b"4", b"5"])

    def test_what_was_being_written_is_no_damage(self):
        self.start("--sync", "never")
        for i in range(5):
            self.own.publish("k", b"event %d" % (i + 1))
        self.kill()
        name = os.path.join(self.directory, "weir-0000000000000001.log")
        with open(name, "r+b") as file:
            data = bytearray(file.read())
            at = data.index(b"event 5")
            data[at] ^= 1
            file.seek(0)
            file.write(data)
        out = self.sound()
        self.assertRegex(out, r"^segment 0{15}1: \d+ bytes from offset \d+ on "
                         r"were being written\n1 segments, 1 streams, 4 ")
