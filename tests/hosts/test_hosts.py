#!/usr/bin/env python3
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""One black-box test for the programs in examples/hosts.

    make check-hosts                                    those that were built
    python3 tests/hosts/test_hosts.py build/examples/hosts/evhttp [...]

As in tests/system (see kit.py there), nothing here asserts how long something
takes, and every server has to end by itself, with status 0 and without a word.
With WEIR_SANITIZED=1 it may take as much memory as a sanitizer wants. HTTP/2 is
read with python3-h2, and all programs once with curl.
"""
import json
import os
import random
import resource
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))
sys.dont_write_bytecode = True

import kit  # noqa: E402
import wire  # noqa: E402
from kit import path  # noqa: E402

SANITIZED = bool(os.environ.get("WEIR_SANITIZED"))
READERS = 500
EVENTS = 200


class Reader:
    """One GET of a stream, and what has come of it."""

    def __init__(self, line, target, last_id=""):
        headers = [("Accept", "text/event-stream")]
        if last_id:
            headers.append(("Last-Event-ID", last_id))
        self.exchange = line.ask("GET", target, headers)
        self.decoder = kit.Decoder(last_id)
        self.events = []

    def take(self, most=None):
        """Decode what has come; at most so many bytes."""
        data = self.exchange.take()
        data = data if most is None else data[:most]
        self.events += self.decoder.feed(data)
        return len(data)

    def until(self, condition):
        while not condition(self):
            if self.exchange.over:
                raise AssertionError("ended too soon: %r" % self.events)
            self.exchange.wire.read()
            self.take()
        return self

    def wait(self, kind):
        self.until(lambda r: r.of(kind))
        return self.of(kind)[0]

    def of(self, kind):
        return [e for e in self.events if e.type == kind]

    def rest(self):
        """Read to the end, which has to be an orderly one."""
        self.until(lambda r: r.exchange.ended)
        assert self.decoder.is_between
        return self.events

    @property
    def verdict(self):
        return json.loads(self.wait("weir.ready").data)["verdict"]


class Wanderer:
    """A client that reads a stream to its end, and is cut off again and again:
    at any byte, by any means."""

    def __init__(self, crowd, seed):
        self.crowd = crowd
        self.random = random.Random(seed)
        self.last_id = ""
        self.events = []  # the application's
        self.visits = 0
        self.done = False
        self.reader = None

    def connect(self, line):
        self.visits += 1
        self.left = self.random.choice((
            self.random.randrange(400), self.random.randrange(40000)))
        self.reader = Reader(line, self.crowd.target, self.last_id)

    def leave(self):
        exchange = self.reader.exchange
        line = exchange.wire
        self.left_behind()
        # The whole wire, and who else is on it, or this reader alone.
        if self.random.randrange(3 * line.shared) == 0:
            line.close(reset=self.random.randrange(2) == 0)
            line.finish()
        else:
            line.cancel(exchange)

    def left_behind(self):
        kit.check_order(self.reader.events)
        assert not self.reader.of("weir.gap")
        self.events += [e for e in self.reader.events
                        if e.type == "message"]
        self.last_id = self.reader.decoder.last_id
        self.done = bool(self.reader.of("weir.done"))
        self.reader = None

    def turn(self):
        """Look at what has come."""
        exchange = self.reader.exchange
        if exchange.status not in (None, 200):
            raise AssertionError(exchange.status)
        had = len(self.reader.exchange.body)
        if had > self.left:
            self.reader.take(self.left)
            self.leave()
        else:
            events = len(self.reader.events)
            self.left -= self.reader.take()
            if len(self.reader.events) != events:
                self.crowd.limit = time.monotonic() + kit.PATIENCE
            if exchange.over:
                self.left_behind()


class Crowd:
    """Many wanderers, in one thread."""

    def __init__(self, case, target, count):
        self.case = case
        self.target = target
        self.limit = time.monotonic() + kit.PATIENCE  # for the next event
        self.selector = selectors.DefaultSelector()
        self.wanderers = [Wanderer(self, seed) for seed in range(count)]

    def seat(self, waiting):
        """Connect those who are not."""
        while waiting:
            line = self.case.wire()
            here = waiting[:line.shared]
            del waiting[:line.shared]
            for wanderer in here:
                wanderer.connect(line)
            self.selector.register(line.sock, selectors.EVENT_READ,
                                   (line, here))

    def serve(self, line, here):
        self.selector.unregister(line.sock)
        line.read(8192)
        for wanderer in here:
            if wanderer.reader is not None:
                wanderer.turn()
        here[:] = [w for w in here if w.reader is not None]
        if here and line.open:
            self.selector.register(line.sock, selectors.EVENT_READ,
                                   (line, here))
            return
        for wanderer in here:
            wanderer.left_behind()
        line.close()

    def run(self):
        while True:
            self.seat([w for w in self.wanderers
                       if w.reader is None and not w.done])
            if not self.selector.get_map():
                return
            ready = self.selector.select(kit.PATIENCE)
            if not ready or time.monotonic() > self.limit:
                raise AssertionError("the readers wait in vain")
            for key, _ in ready:
                self.serve(*key.data)


def alone(*options):
    """A test that has a server of its own, with these options."""
    def mark(test):
        test.options = options
        return test
    return mark


class Host:
    """The tests of one host; `program` and `Wire` are set below."""

    shared = None  # the server of all tests that are not alone

    def wire(self, rcvbuf=None):
        line = self.Wire(self.server.address, rcvbuf)
        self.wires.append(line)
        return line

    def setUp(self):
        self.wires = []
        self.key = self._testMethodName
        options = getattr(getattr(self, self.key), "options", None)
        if options is not None:
            self.server = kit.Server(*options, program=self.program)
            self.addCleanup(self.server.stop)
            return
        if self.shared is None:
            type(self).shared = kit.Server(program=self.program)
            self.addClassCleanup(self.shared.stop)
        self.server = self.shared

    def tearDown(self):
        for line in self.wires:
            line.close()

    def ask(self, method, target, body=b"", status=None):
        line = self.wire()
        exchange = line.ask(method, target, body=body)
        while not exchange.over:
            line.read()
        line.close()
        self.wires.remove(line)
        if status is not None:
            self.assertEqual(exchange.status, status, bytes(exchange.body))
        return exchange

    def publish(self, data, key=None):
        done = self.ask("POST", path(key or self.key, "/events"), data, 201)
        return json.loads(done.body)["id"]

    def stats(self):
        return json.loads(self.ask("GET", "/stats", status=200).body)

    def read(self, last_id="", rcvbuf=None, **query):
        return Reader(self.wire(rcvbuf), path(self.key, **query), last_id)

    def status_of_read(self, last_id=""):
        reader = self.read(last_id)
        reader.until(lambda r: r.exchange.status is not None)
        return reader.exchange.status

    # --- The tests ---------------------------------------------------------

    # Heartbeats come from another direction, and are part of what may be lost.
    @alone("--heartbeat", "300ms", "--heartbeat-jitter", "200ms")
    def test_a_crowd_that_is_cut_off_gets_every_event_once(self):
        choice = random.Random(1)
        published = []

        def work():
            for i in range(EVENTS):
                size = 20000 if i == EVENTS // 2 else choice.randrange(200)
                text = "%d\n%s" % (i, "x" * size)
                published.append((self.publish(text.encode()), text))
            self.ask("POST", path(self.key, "/end"), status=200)

        self.ask("PUT", path(self.key), status=201)
        producer = threading.Thread(target=work)
        producer.start()
        crowd = Crowd(self, path(self.key), READERS)
        crowd.run()
        producer.join()
        for wanderer in crowd.wanderers:
            self.assertEqual([(e.id, e.data) for e in wanderer.events],
                             published)
        visits = sum(w.visits for w in crowd.wanderers)
        self.assertGreater(visits, 3 * READERS)
        # Who has seen the end is told to stay away.
        self.assertEqual(
            self.status_of_read(crowd.wanderers[0].last_id), 204)
        kit.wait_until(lambda: self.stats()["subscribers"] == 0,
                       "nobody to be left")

    def test_the_head(self):
        self.publish(b"1")
        reader = self.read()
        reader.wait("message")
        fields = reader.exchange.fields
        self.assertEqual(fields["content-type"],
                         "text/event-stream; charset=utf-8")
        self.assertIn("no-cache", fields["cache-control"])
        self.assertEqual(fields["x-stream-id"], self.key)
        self.assertNotIn("content-length", fields)

    def test_resumed_by_header_and_by_query(self):
        ids = [self.publish(b"%d" % i) for i in range(5)]
        for reader in (self.read(ids[2]), self.read(lastEventId=ids[2]),
                       self.read(ids[2], lastEventId=ids[0])):
            reader.until(lambda r: len(r.of("message")) == 2)
            self.assertEqual(reader.verdict, "resumed")
            self.assertEqual([e.id for e in reader.of("message")], ids[3:])

    def test_the_end(self):
        self.publish(b"1")
        early = self.read()
        early.wait("message")
        self.ask("POST", path(self.key, "/end", reason="enough"), status=200)
        for reader in (early, self.read()):
            events = reader.rest()
            self.assertEqual([e.type for e in events],
                             ["weir.ready", "message", "weir.done"])
            self.assertEqual(json.loads(events[-1].data)["reason"], "enough")
        self.ask("POST", path(self.key, "/events"), b"2", status=409)
        self.ask("POST", path(self.key, "/end"), status=409)
        self.assertEqual(self.status_of_read(events[-1].id), 204)

    def test_what_is_not_there(self):
        self.assertEqual(self.status_of_read(), 404)
        self.ask("POST", path(self.key, "/end"), status=404)
        self.ask("GET", "/nowhere", status=404)
        self.ask("POST", path(self.key), status=404)
        self.ask("PUT", path("\x01"), status=400)

    @alone()
    def test_the_readers_are_told_before_it_stops(self):
        self.publish(b"1")
        readers = [self.read() for _ in range(5)]
        for reader in readers:
            reader.wait("message")
        self.server.signal()
        for reader in readers:
            end = reader.rest()[-1]
            self.assertEqual((end.type, json.loads(end.data)["reason"]),
                             ("weir.closing", "draining"))

    def test_head_has_no_body(self):
        self.publish(b"1")
        for target in (path(self.key), "/stats", "/nowhere"):
            done = self.ask("HEAD", target, status=501)
            self.assertTrue(done.ended)
            self.assertEqual(done.body, b"")

    def test_options_without_effect_are_refused(self):
        for option in (("--publish-token", "x"), ("--cors", "*"),
                       ("--keep-alive", "1s"), ("--log", "x")):
            done = subprocess.run(
                (self.program, "--listen", "127.0.0.1:0") + option,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                timeout=kit.PATIENCE)
            self.assertEqual((done.returncode, done.stdout), (2, b""))
            self.assertIn(option[0].encode(), done.stderr)

    def test_a_key_is_decoded(self):
        key = "a/b ä?"
        self.publish(b"1", key)
        reader = Reader(self.wire(), path(key))
        reader.wait("message")
        self.assertEqual(json.loads(reader.wait("weir.ready").data)["stream"],
                         key)

    def test_what_is_refused_does_nothing(self):
        self.publish(b"1")
        for tail in ("/events?type=%zz", "/end?reason=%zz",
                     "/events?type=open", "/end?reason=" + "x" * 256):
            self.ask("POST", path(self.key) + tail, b"2", 400)
        reader = self.read(client="me")
        reader.wait("message")
        self.ask("GET", path(self.key) + "?client=me%zz", status=400)
        self.publish(b"3")
        reader.until(lambda r: len(r.of("message")) == 2)
        self.assertEqual([e.data for e in reader.of("message")], ["1", "3"])
        self.assertEqual(reader.of("weir.done"), [])

    def test_a_stream_is_replaced(self):
        self.publish(b"old")
        old = self.read()
        old.wait("message")
        self.ask("PUT", path(self.key), status=200)
        self.ask("PUT", path(self.key, on_duplicate="reject"), status=409)
        self.ask("PUT", path(self.key, on_duplicate="replace"), status=201)
        end = old.rest()[-1]
        self.assertEqual((end.type, json.loads(end.data)["reason"]),
                         ("weir.done", "replaced_by_new_stream"))
        self.assertEqual(self.status_of_read(end.id), 204)
        self.publish(b"new")
        new = self.read()
        self.assertEqual(new.wait("message").data, "new")

    @alone()
    def test_a_client_is_replaced(self):
        self.publish(b"1")
        old = self.read(client="me")
        old.wait("message")
        new = self.read(client="me")
        new.wait("message")
        end = old.rest()[-1]
        self.assertEqual((end.type, json.loads(end.data)["reason"]),
                         ("weir.closing", "replaced"))
        self.assertEqual(self.stats()["subscribers"], 1)

    @alone("--max-subscribers", "1")
    def test_a_limit_is_no_error_of_the_clients(self):
        self.publish(b"1")
        self.read().wait("message")
        refused = self.read()
        events = refused.rest()
        self.assertEqual(refused.exchange.status, 200)
        self.assertEqual([e.type for e in events], ["weir.closing"])
        self.assertIsNotNone(refused.decoder.retry)

    @alone("--heartbeat", "400ms", "--heartbeat-jitter", "0")
    def test_who_leaves_while_idle_is_noticed(self):
        # By the time a witness has had its fourth heartbeat from then on,
        # everybody else has had two.
        self.publish(b"1")
        leavers = [self.read() for _ in range(4)]
        witness = self.read()
        for reader in leavers + [witness]:
            reader.wait("message")
        self.assertEqual(self.stats()["subscribers"], 5)
        witness.until(lambda r: r.decoder.comments != 0)
        leavers[0].exchange.wire.close()
        leavers[1].exchange.wire.close(reset=True)
        leavers[2].exchange.wire.cancel(leavers[2].exchange)
        leavers[3].exchange.wire.close()
        had = witness.decoder.comments
        witness.until(lambda r: r.decoder.comments >= had + 4)
        self.assertEqual(self.stats()["subscribers"], 1)

    def test_full_sockets(self):
        # Two readers, which share a connection where connections are shared,
        # let it run full; then one leaves, in the midst of a frame or not.
        self.ask("PUT", path(self.key), status=201)
        line = self.wire(4096)
        readers = [Reader(line if line.shared > 1 or i == 0 else
                          self.wire(4096), path(self.key)) for i in range(2)]
        for reader in readers:
            reader.wait("weir.ready")
        texts = ["%d" % i + "x" * choice for i, choice in enumerate(
            random.Random(3).choices(range(65536), k=150))]
        for text in texts:
            self.publish(text.encode())
        leaver, stayer = readers
        leaver.exchange.wire.cancel(leaver.exchange)
        stayer.until(lambda r: len(r.of("message")) == len(texts))
        self.assertEqual([e.data for e in stayer.of("message")], texts)
        kit.check_order(stayer.events)

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.server.process.pid))

    def rss(self):
        with open("/proc/%d/status" % self.server.process.pid) as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def stalled(self, how):
        """A reader that takes the first event, and then no more."""
        fds = self.fds()  # without a connection
        self.publish(b"first")
        reader = self.read(rcvbuf=4096 if how == "deaf" else None)
        reader.wait("message")
        last_id = reader.decoder.last_id
        reader.exchange.wire.windows = False
        # It costs a part of the history and a little besides, and not what has
        # been published since (40 MiB).
        piece = b"x" * 65536
        for _ in range(150):  # until all threads, where there are, had one
            self.publish(piece)
        before = self.rss()
        for _ in range(640):
            self.publish(piece)
        if not SANITIZED:
            self.assertLess(self.rss() - before, 16 * 1048576)
        if how == "windowless":
            reader.until(lambda r: r.exchange.torn)
            self.assertTrue(reader.exchange.wire.open)
        else:
            kit.wait_until(lambda: self.fds() <= fds,
                           "the connection to be closed")
        kit.wait_until(lambda: self.stats()["subscribers"] == 0,
                       "the reader to be gone")
        last = self.publish(b"last")
        again = self.read(last_id)
        again.until(lambda r: r.decoder.last_id == last)
        self.assertEqual(again.verdict, "evicted")
        again.exchange.wire.close()

    @alone("--stall", "1s", "--history-bytes", "1M", "--max-subscribers", "9")
    def test_who_stops_reading_is_aborted(self):
        for how in self.Wire.stalls:
            with self.subTest(how):
                self.key = how
                self.stalled(how)


class Curl:
    """A client that nobody here has written."""

    def test_curl(self):
        self.publish(b"1\n2")
        self.ask("POST", path(self.key, "/end"), status=200)
        how = "--http2-prior-knowledge" if self.Wire is wire.Http2 else (
            "--http1.1")
        said = subprocess.run(
            ["curl", "--no-progress-meter", how, "-N", "http://%s:%d%s" % (
                *self.server.address, path(self.key))],
            stdout=subprocess.PIPE, timeout=kit.PATIENCE, check=True).stdout
        decoder = kit.Decoder()
        self.assertEqual([e.type for e in decoder.feed(said)],
                         ["weir.ready", "message", "weir.done"])
        self.assertTrue(decoder.is_between)


class Raw:
    """What only those who speak HTTP/1 can get wrong, byte by byte."""

    def raw(self, request, condition=lambda said: False):
        """What is said to these bytes, to its end or until it is enough."""
        with socket.create_connection(self.server.address,
                                      kit.PATIENCE) as sock:
            sock.sendall(request.encode())
            said = b""
            while not condition(said):
                data = sock.recv(65536)
                if not data:
                    break
                said += data
        return said

    def test_a_stream_over_http_1_0(self):
        self.publish(b"1")
        said = self.raw("GET %s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                        % path(self.key), lambda said: b"data: 1\n" in said)
        self.assertNotIn(b"content-length", said.lower())
        self.assertNotIn(b"chunked", said.lower())
        self.assertIn(b"data: 1\n", said)

    @alone("--max-body", "1K")
    def test_a_body_that_is_too_large(self):
        # In one piece with its head, so that nobody closes with a reset
        # because of what was not read.
        head = ("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                "Content-Length: %d\r\n\r\n")
        for size, status in ((1024, b"201"), (1025, b"413"), (3000, b"413")):
            said = self.raw(head % (path(self.key, "/events"), size)
                            + "x" * size)
            self.assertEqual(said.split(b" ")[1], status, said)

    def test_what_follows_the_response_to_head(self):
        said = self.raw("HEAD / HTTP/1.1\r\nHost: x\r\n"
                        "Connection: close\r\n\r\n")
        self.assertTrue(said.endswith(b"\r\n\r\n"), said)


class Unanswered:
    """libmicrohttpd does not tell of a request that it gives up."""

    def test_a_request_that_is_never_answered_costs_nothing(self):
        # A query of so many parts is more than libmicrohttpd takes.
        request = b"GET /%s?%s HTTP/1.1\r\nHost: x\r\n\r\n" % (
            b"a" * 9000, b"&" * 550)
        seen = []
        for _ in range(2):  # the first is to warm up
            for _ in range(1000):
                with socket.create_connection(self.server.address) as sock:
                    sock.sendall(request)
            self.stats()
            seen.append(self.rss())
        if not SANITIZED:
            self.assertLess(seen[1] - seen[0], 6 * 1048576)


class Accepting:
    """Where it is the host that decides what becomes of a refused accept."""

    @alone()
    def test_without_descriptors_it_waits_for_some(self):
        # There is no connection either, whose end could wake it up.
        pid = self.server.process.pid
        had = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        taken = os.listdir("/proc/%d/fd" % pid)
        free = next(n for n in range(len(taken) + 1) if str(n) not in taken)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, had[1]))
        reader = self.read()
        self.assertTrue(self.server.idles())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, had)
        reader.until(lambda r: r.exchange.status == 404)


# Every other piece that is lent to libevent is refused, as without memory.
SCARCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
int evbuffer_add_reference(void *buffer, const void *data, size_t len,
                           void (*back)(const void *, size_t, void *),
                           void *arg) {
  static int calls;
  int (*real)(void *, const void *, size_t,
              void (*)(const void *, size_t, void *), void *);
  *(void **)&real = dlsym(RTLD_NEXT, "evbuffer_add_reference");
  return ++calls % 2 == 0 ? -1 : real(buffer, data, len, back, arg);
}
"""


class Scarce:
    """What only a host that lends its bytes can get wrong."""

    def test_what_was_not_lent_is_sent_first(self):
        work = tempfile.mkdtemp(prefix="weir-")
        self.addCleanup(shutil.rmtree, work)
        scarce = os.path.join(work, "scarce.so")
        subprocess.run(os.environ.get("CC", "cc").split() + [
            "-shared", "-fPIC", "-x", "c", "-", "-o", scarce, "-ldl"],
            input=SCARCE.encode(), check=True)
        self.server = kit.Server(program=self.program,
                                 wrapper=("env", "LD_PRELOAD=" + scarce))
        self.addCleanup(self.server.stop)
        # Pages of several pieces, so that some of a page are refused.
        want = ["%d %s" % (i, "x" * 700) for i in range(100)]
        for text in want:
            self.publish(text.encode())
        self.ask("POST", path(self.key, "/end"), status=200)
        self.assertEqual([e.data for e in self.read().rest()[1:-1]], want)


def load_tests(loader, tests, pattern):
    suite = unittest.TestSuite()
    for program in PROGRAMS:
        name = os.path.basename(program)
        extra = (Raw,) if wire.wire_of(name) is wire.Http1 else ()
        if name == "microhttpd":
            extra += (Unanswered,)
        if name in ("evhttp", "nghttp2"):
            extra += (Accepting,)
        if name == "evhttp" and not SANITIZED:
            extra += (Scarce,)
        kind = type(name, (Host, Curl, *extra, unittest.TestCase),
                    {"program": program, "Wire": wire.wire_of(name)})
        suite.addTests(loader.loadTestsFromTestCase(kind))
    return suite


def main(arguments):
    global PROGRAMS
    PROGRAMS = [a for a in arguments if not a.startswith("-")]
    if not PROGRAMS:
        print("*** SKIPPED: there is no host to test")
        return
    if wire.h2 is None and any(
            wire.wire_of(os.path.basename(p)) is wire.Http2 for p in PROGRAMS):
        if os.environ.get("HOSTS_REQUIRED"):
            raise SystemExit("%s has no module h2" % sys.executable)
        print("*** SKIPPED: %s has no module h2 to read HTTP/2 with"
              % sys.executable)
        PROGRAMS = [p for p in PROGRAMS if wire.wire_of(
            os.path.basename(p)) is not wire.Http2]
    unittest.main(argv=[sys.argv[0]] + [
        a for a in arguments if a.startswith("-")])


if __name__ == "__main__":
    main(sys.argv[1:])
