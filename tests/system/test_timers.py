# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Watchdogs of streams, lifetimes of connections, senders that are slow."""
import json
import socket
import threading
import unittest

import kit
from kit import path


class Watchdogs(kit.Case):
    weight = 4
    options = None

    def last(self, server, key):
        reader = server.reader(key)
        event = reader.rest()[-1]
        return event.type, json.loads(event.data)

    def wait_end(self, server, key):
        kit.wait_until(lambda: server.info(key)["status"] == "ended")

    def r55_no_first_event(self):
        # Overruled by design.md: armed at the open.
        with kit.Server("--first-event", "200ms") as server:
            server.open("k")
            server.publish("other", b"in time")
            reader = server.reader("k")
            events = reader.rest()
            self.assertEqual([e.type for e in events],
                             ["weir.ready", "weir.failed"])
            said = json.loads(events[1].data)
            self.assertEqual(said["code"], "first_event_timeout")
            # It is over: logged, once, and nothing follows.
            self.assertEqual(server.publish("k", b"late").status, 409)
            self.assertEqual(server.info("k")["last"], 1)
            self.assertEqual(server.info("other")["status"], "live")

    def r56_no_event_for_a_while(self):
        # Heartbeats are no progress, and signals are none either.
        with kit.Server("--idle", "800ms", "--heartbeat", "20ms") as server:
            for signals in (False, True):
                key = str(signals)
                server.publish(key, b"a")
                reader = server.reader(key)
                reader.wait("message")
                while reader.read():
                    if signals and server.info(key)["status"] == "live":
                        server.signal_to(key, b"s", type="signal")
                self.assertEqual(json.loads(reader.events[-1].data)["code"],
                                 "idle_timeout")
                self.assertGreater(len(reader.of("signal")) if signals
                                   else reader.decoder.comments, 3)
                kit.check_order(reader.events)

    def test_idle_is_off_before_the_first_event(self):
        with kit.Server("--idle", "100ms") as server:
            server.open("k")
            server.publish("other", b"a")
            self.wait_end(server, "other")
            self.assertEqual(server.info("k")["status"], "live")

    def r59_each_for_itself(self):
        with kit.Server("--first-event", "100ms", "--idle", "1h",
                        "--stream-lifetime", "600ms") as server:
            server.publish("k", b"a")
            server.open("never")
            self.wait_end(server, "never")
            self.wait_end(server, "k")
            self.assertEqual(self.last(server, "never")[1]["code"],
                             "first_event_timeout")
            kind, said = self.last(server, "k")
            self.assertEqual(kind, "weir.done")
            self.assertEqual(said["reason"], "lifetime_timeout")

    def test_abandoned(self):
        with kit.Server("--abandoned", "200ms") as server:
            server.open("k")
            reader = server.reader("k")
            reader.ready
            server.open("alone")
            self.wait_end(server, "alone")
            self.assertEqual(self.last(server, "alone"), ("weir.done", {
                "stream": "alone", "reason": "abandoned",
                "generation": server.info("alone")["generation"]}))
            self.assertEqual(server.info("k")["status"], "live")
            reader.reset()
            self.wait_end(server, "k")

    def r41_a_producer_that_vanishes_ends_in_the_open(self):
        with kit.Server("--first-event", "200ms", "--idle", "200ms") as server:
            for data in (None, b"part of it"):
                key = str(data)
                server.open(key)
                if data is not None:
                    server.publish(key, data)
                source = kit.EventSource(server, path(key))
                source.run(lambda s: False)
                self.assertEqual(source.closed, 204)
                self.assertEqual(source.events[-1].type, "weir.failed")

    def race26_idle_is_the_producer_s_and_stall_the_client_s(self):
        # A client that is slow with a large event does not make the stream
        # idle any later or sooner, and the end waits behind the event.
        with kit.Server("--idle", "200ms", "--stall", "0") as server:
            server.open("k")
            slow = server.reader("k", rcvbuf=4096)
            slow.ready
            server.publish_id("k", b"x" * 1000000)
            self.wait_end(server, "k")
            events = slow.rest()
            self.assertEqual([e.type for e in events],
                             ["weir.ready", "message", "weir.failed"])

    @unittest.skipUnless(kit.LONG, "takes a minute")
    def test_the_timers_of_an_answer(self):
        with kit.Server("--heartbeat", "1s") as server:
            server.open("first", timers="answer")
            server.open("idle", timers="answer")
            server.open("none")
            server.publish("idle", b"a")
            source = kit.Reader(server, path("first"))
            source.conn.sock.settimeout(60)
            self.assertEqual(json.loads(source.rest()[-1].data)["code"],
                             "first_event_timeout")
            self.assertEqual(server.info("idle")["status"], "live")
            source = kit.Reader(server, path("idle"))
            source.conn.sock.settimeout(60)
            self.assertEqual(json.loads(source.rest()[-1].data)["code"],
                             "idle_timeout")
            self.assertEqual(server.info("none")["status"], "live")


class Answer(kit.Case):
    def test_timers_answer_is_taken(self):
        self.status(self.server.open(self.key, timers="answer"), 201)
        self.server.publish(self.key, b"a")
        self.assertEqual(self.server.info(self.key)["status"], "live")


class Lifetime(kit.Case):
    options = ("--lifetime", "150ms", "--lifetime-jitter", "50ms")

    def f25_a_connection_is_asked_to_go_and_comes_back(self):
        self.server.open(self.key)
        done = threading.Event()

        def publish():
            conn = kit.Connection(self.server.address)
            i = 0
            while not done.is_set():
                conn.ask("POST", path(self.key, "/events"), b"%d" % i)
                i += 1
                done.wait(0.002)
            conn.close()
            self.server.end(self.key)

        thread = threading.Thread(target=publish)
        thread.start()
        source = kit.EventSource(self.server, path(self.key))
        source.run(lambda s: len(s.connections) > 4)
        done.set()
        thread.join()
        source.run(lambda s: False)
        for events in source.connections[:4]:
            kit.check_order(events)
            self.assertEqual(events[-1].type, "weir.closing")
            self.assertEqual(json.loads(events[-1].data)["reason"], "expired")
        data = [e.data for e in source.events if e.type == "message"]
        self.assertEqual(data, [str(i) for i in range(len(data))])
        self.assertEqual(source.events[-1].type, "weir.done")


class SlowSenders(kit.Case):
    weight = 4
    options = ("--request-timeout", "300ms", "--keep-alive", "300ms")

    def late(self, data):
        conn = self.server.connect()
        conn.send(data)
        response = self.status(conn.response(), 408)
        self.assertTrue(response.closes)
        self.assertTrue(conn.is_at_end())

    def test_a_head_that_does_not_end(self):
        self.late(b"G")
        self.late(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")

    def test_a_body_that_does_not_come(self):
        head = "POST %s HTTP/1.1\r\nHost: x\r\n" % path(self.key, "/events")
        self.late(head.encode() + b"Content-Length: 5\r\n\r\n")
        self.late(head.encode() + b"Content-Length: 5\r\n\r\nhell")
        self.late(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe")
        self.late(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n"
                  b"5\r\nhello\r\n0\r\n")
        self.assertEqual(self.server.ask(
            "GET", path(self.key, "/info")).status, 404)

    def test_a_body_that_was_asked_for(self):
        conn = self.server.connect()
        conn.send(("POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                   "Content-Length: 5\r\n\r\n"
                   % path(self.key, "/events")).encode())
        self.assertEqual(conn.head().status, 100)
        self.status(conn.response(), 408)
        self.assertTrue(conn.is_at_end())

    def test_a_head_in_drops(self):
        # One byte now and one then: a head has its time in all.
        conn = self.server.connect()
        conn.send(b"GET /healthz HTTP/1.1\r\nX: ")
        conn.sock.settimeout(0.02)
        answer = b""
        while not answer:
            try:
                answer = conn.sock.recv(65536)
            except socket.timeout:
                conn.send(b"x")
        self.assertTrue(answer.startswith(b"HTTP/1.1 408 "))

    def test_a_connection_that_says_nothing(self):
        conn = self.server.connect()
        self.assertTrue(conn.is_at_end())

    def test_a_connection_that_says_nothing_more(self):
        conn = self.server.connect()
        self.assertEqual(conn.ask("GET", "/healthz").status, 200)
        self.assertTrue(conn.is_at_end())

    def test_a_request_that_follows_and_does_not_end(self):
        conn = self.server.connect()
        conn.send(conn.request("GET", "/healthz") * 2 + b"GET")
        self.assertEqual(conn.response().status, 200)
        self.assertEqual(conn.response().status, 200)
        self.status(conn.response(), 408)

    def test_a_stream_is_not_idle(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key)
        reader.ready
        # Another connection is idle for so long.
        self.assertTrue(self.server.connect().is_at_end())
        self.server.publish(self.key, b"there")
        reader.wait_data("there")


class Steady(kit.Case):
    weight = 3
    options = ("--request-timeout", "2s")

    def test_what_goes_on_coming_is_let_come(self):
        # All together it takes longer than the time between two pieces.
        self.server.open(self.key)
        conn = self.server.connect()
        conn.send(("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 25\r\n\r\n"
                   % path(self.key, "/events")).encode())
        pause = threading.Event()
        for _ in range(25):
            pause.wait(0.1)
            conn.send(b"x")
        self.assertEqual(conn.response().status, 201)


class Patience(kit.Case):
    @unittest.skipUnless(kit.LONG, "takes a minute")
    def test_the_defaults(self):
        silent = self.server.connect()
        silent.sock.settimeout(100)
        idle = self.server.connect()
        idle.sock.settimeout(100)
        self.assertEqual(idle.ask("GET", "/healthz").status, 200)
        half = self.server.connect()
        half.sock.settimeout(100)
        half.send(b"GET / HTTP/1.1\r\n")
        self.assertEqual(half.response().status, 408)
        self.assertTrue(silent.is_at_end())
        self.assertTrue(idle.is_at_end())


if __name__ == "__main__":
    unittest.main()
