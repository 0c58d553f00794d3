# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Client keys, limits, heartbeats, readers that are too slow."""
import json
import threading
import unittest

import kit
from kit import path


class Closing:
    """What is said to a client that has to go."""

    def closing(self, event, reason, least, most, decoder):
        self.assertEqual(event.type, "weir.closing")
        self.assertFalse(event.has_id)
        self.assertEqual(json.loads(event.data)["reason"], reason)
        self.assertTrue(least <= decoder.retry <= most, decoder.retry)

    def refused(self, server, key, **query):
        """A GET that a limit refuses: 200, `retry:`, the end."""
        reader = server.reader(key, **query)
        self.assertEqual(reader.response.status, 200)
        self.assertEqual(reader.response.get("content-type"),
                         "text/event-stream; charset=utf-8")
        self.assertEqual(reader.response.get("x-stream-id"), key)
        events = reader.rest()
        self.assertEqual(len(events), 1)
        self.closing(events[0], "unavailable", 1000, 1500, reader.decoder)
        self.assertEqual(reader.raw.decode(), (
            "event: weir.closing\nretry: %d\n"
            'data: {"stream":"%s","generation":null,"reason":"unavailable"}'
            "\n\n" % (reader.decoder.retry, key)))


class ReplacedRetry(kit.Case, Closing):
    options = ("--retry-replaced", "2s")

    def test_when_the_loser_may_come_back_is_an_option(self):
        self.server.open(self.key)
        old = self.server.reader(self.key, client="me")
        old.ready
        self.server.reader(self.key, client="me").ready
        self.closing(old.rest()[1], "replaced", 2000, 8000, old.decoder)


class Replacement(kit.Case, Closing):
    def test_the_newest_wins_and_the_loser_is_told(self):
        made = self.server.open(self.key).json()
        old = self.server.reader(self.key, client="me")
        old.ready
        new = self.server.reader(self.key, client="me")
        new.ready
        events = old.rest()
        self.assertEqual(len(events), 2)
        self.closing(events[1], "replaced", 60000, 66000, old.decoder)
        self.assertEqual(old.frames[1], (
            "event: weir.closing\nretry: %d\ndata: {\"stream\":\"%s\","
            "\"generation\":\"%s\",\"reason\":\"replaced\"}\n\n" % (
                old.decoder.retry, self.key, made["generation"])))
        self.server.publish(self.key, b"for the newest")
        new.wait_data("for the newest")
        self.assertEqual(self.server.info(self.key)["subscribers"], 1)

    def test_the_loser_can_come_back_where_it_was(self):
        self.server.publish(self.key, b"1")
        old = self.server.reader(self.key, client="me")
        old.wait("message")
        self.server.reader(self.key, client="me").ready
        old.rest()
        self.server.publish(self.key, b"2")
        again = self.server.reader(self.key, old.decoder.last_id, client="me")
        again.wait_data("2")
        self.assertEqual(again.verdict, "resumed")

    def f06_there_is_no_war(self):
        # Who comes back within ten minutes is let in beside its successor.
        self.server.open(self.key)
        sources = [kit.EventSource(self.server, path(self.key, client="me"),
                                   scale=0.0001) for _ in range(2)]
        threads = [threading.Thread(
            target=s.run, args=(lambda s: False,)) for s in sources]
        for thread in threads:
            thread.start()
        kit.wait_until(lambda: sum(len(s.connections)
                                   for s in sources) == 3)
        kit.wait_until(
            lambda: self.server.info(self.key)["subscribers"] == 2)
        conn = self.server.connect()
        for i in range(50):
            conn.ask("POST", path(self.key, "/events"), b"%d" % i)
        self.server.end(self.key)
        for thread in threads:
            thread.join(kit.PATIENCE)
        # Three that read, and the end.
        self.assertEqual(sum(len(s.connections) for s in sources), 3)
        for source in sources:
            self.assertEqual(source.closed, 204)
            self.assertEqual([e.data for e in source.events
                              if e.type == "message"],
                             [str(i) for i in range(50)])

    def test_keys_of_different_streams_do_not_meet(self):
        keys = [self.key + "-1", self.key + "-2"]
        readers = []
        for key in keys:
            self.server.open(key)
            readers.append(self.server.reader(key, client="me"))
            readers[-1].ready
        for key, reader in zip(keys, readers):
            self.server.publish(key, b"still here")
            reader.wait_data("still here")

    def test_keys_are_bytes(self):
        self.server.open(self.key)
        for client in ("a b", "ü", "%", "&=", "x" * 255):
            old = self.server.reader(self.key, client=client)
            old.ready
            self.server.reader(self.key, client=client).ready
            self.assertEqual(old.rest()[-1].type, "weir.closing")

    def test_without_a_key_nobody_is_displaced(self):
        self.server.open(self.key)
        readers = [self.server.reader(self.key) for _ in range(10)]
        readers += [self.server.reader(self.key, client="")
                    for _ in range(10)]
        for reader in readers:
            reader.ready
        self.assertEqual(self.server.info(self.key)["subscribers"], 20)

    def test_stats_count_them(self):
        before = self.server.stats()["replaced_total"]
        self.server.open(self.key)
        self.server.reader(self.key, client="me").ready
        self.server.reader(self.key, client="me").ready
        self.assertEqual(self.server.stats()["replaced_total"], before + 1)


class Limits(kit.Case, Closing):
    """Each limit, at it and one beyond."""

    weight = 4
    options = None

    @kit.in_memory
    def test_streams(self):
        with kit.Server("--max-streams", "2", "--linger", "100ms") as server:
            self.status(server.open("1"), 201)
            self.status(server.publish("2", b"x"), 201)
            for response in (server.open("3"), server.publish("3", b"x"),
                             server.publish("3", b"x", split="lines"),
                             server.ask("POST", "/demo/3")):
                self.status(response, 503)
                self.assertEqual(response.json()["error"],
                                 "too_many_streams")
            self.status(server.open("1"), 200)
            self.status(server.publish("2", b"x"), 201)
            self.assertEqual(server.ask("GET", path("3")).status, 404)
            server.reader("1").ready
            server.end("1")
            kit.wait_until(lambda: server.open("3").status == 201)

    def test_subscribers(self):
        with kit.Server("--max-subscribers", "2") as server:
            server.open("1")
            server.open("2")
            one, two = server.reader("1"), server.reader("2")
            one.ready
            two.ready
            self.refused(server, "1")
            self.refused(server, "2")
            one.reset()
            server.wait_stats(subscribers=1)
            server.reader("2").ready
            self.refused(server, "2")
            self.assertEqual(server.stats()["refused_total"], 3)

    def test_subscribers_of_a_stream(self):
        with kit.Server("--max-stream-subscribers", "2") as server:
            server.open("1")
            server.open("2")
            one, two = server.reader("1"), server.reader("1")
            one.ready
            two.ready
            self.refused(server, "1")
            server.reader("2").ready
            one.reset()
            server.wait_stats(subscribers=2)
            server.reader("1").ready
            self.refused(server, "1")

    def test_subscribers_of_a_client(self):
        with kit.Server("--max-client-subscribers", "2") as server:
            server.open("1")
            server.reader("1", client="me").ready
            server.reader("1", client="me").ready  # replaces the first
            server.reader("1", client="me").ready  # is let in beside it
            self.refused(server, "1", client="me")
            server.reader("1", client="you").ready
            self.assertEqual(server.info("1")["subscribers"], 3)

    def test_a_full_stream_still_says_that_it_is_finished(self):
        with kit.Server("--max-stream-subscribers", "1") as server:
            server.publish("k", b"x" * 1000000)
            slow = server.reader("k", rcvbuf=4096)
            server.publish("k", b"x" * 1000000)
            last = server.end("k").json()["id"]
            self.refused(server, "k")
            self.assertEqual(server.ask("GET", path("k"), headers=[
                ("Last-Event-ID", last)]).status, 204)
            slow.rest()

    def f05_what_passes_is_no_error_to_a_client(self):
        # A client that is refused comes back, and is let in.
        with kit.Server("--max-subscribers", "1") as server:
            server.open("k")
            first = server.reader("k")
            first.ready
            source = kit.EventSource(server, path("k"))
            thread = threading.Thread(
                target=source.run, args=(
                    lambda s: any(e.type == "message" for e in s.events),))
            thread.start()
            kit.wait_until(lambda: len(source.connections) >= 3)
            first.reset()
            server.publish("k", b"at last")
            thread.join(kit.PATIENCE)
            self.assertIsNone(source.closed)
            self.assertEqual(source.events[-1].data, "at last")

    @kit.in_memory
    def test_history_by_bytes(self):
        with kit.Server("--history-bytes", "1000") as server:
            first = server.publish_id("k", b"x")
            for _ in range(20):
                server.publish("k", b"x" * 100)
            info = server.info("k")
            self.assertGreater(info["trimmed"], 5)
            self.assertLess(info["trimmed"], 20)
            reader = server.reader("k", first)
            self.assertEqual(reader.verdict, "evicted")
            reader.wait("message", 21 - info["trimmed"])
            self.assertLessEqual(sum(len(f) for f in reader.frames[2:]), 1000)

    @kit.in_memory
    def test_history_by_age(self):
        with kit.Server("--history-age", "200ms") as server:
            first = server.publish_id("k", b"x")
            server.publish("k", b"y")
            kit.wait_until(lambda: server.info("k")["trimmed"] == 2)
            self.assertEqual(server.reader("k", first).verdict, "evicted")


class Memory(kit.Case, Closing):
    weight = 5
    options = None

    @kit.in_memory
    def test_pressure_drives_out_the_oldest(self):
        with kit.Server("--memory-bytes", "1M") as server:
            ids = [server.publish_id("%d" % i, b"x" * 20000)
                   for i in range(8)]
            conn = server.connect()
            for i in range(200):
                self.assertEqual(conn.ask(
                    "POST", path("%d" % (i % 8), "/events"),
                    b"y" * 20000).status, 201)
                self.assertLessEqual(server.stats()["resident_bytes"], 1 << 20)
            # All streams go on; what was driven out is told of.
            for i in range(8):
                reader = server.reader(str(i), ids[i])
                self.assertEqual(reader.verdict, "evicted")
                server.publish(str(i), b"newest")
                reader.wait_data("newest")
                kit.check_order(reader.events)
                reader.close()

    def test_an_event_larger_than_all_of_it(self):
        with kit.Server("--memory-bytes", "64K") as server:
            server.publish("k", b"x")
            response = server.publish("k", b"x" * 70000)
            self.status(response, 503)
            self.assertEqual(response.json()["error"], "memory_limit")
            self.assertEqual(server.info("k")["trimmed"], 0)
            self.status(server.publish("k", b"x"), 201)

    @kit.in_memory
    def test_readers_that_pin_memory_are_cut_off(self):
        with kit.Server("--memory-bytes", "4M", "--stall", "0") as server:
            server.open("k")
            readers = []
            # Each of them holds a page of half a megabyte that nobody else
            # does.
            for i in range(16):
                readers.append(server.reader("k", rcvbuf=4096,
                                             **{"from": "head"}))
                readers[i].ready
                server.publish_id("k", b"%d:" % i + b"x" * 500000)
            evicted = server.stats()["evicted_total"]
            self.assertGreaterEqual(evicted, 8)
            self.assertEqual(server.info("k")["subscribers"], 16 - evicted)
            # Those who have stalled longest are gone; they come back, and are
            # told what they have missed.
            for reader in readers[:evicted]:
                with self.assertRaises(ConnectionResetError):
                    reader.rest()
            server.end("k")
            for reader in readers[:evicted]:
                again = server.reader("k", reader.decoder.last_id)
                kit.check_order(again.rest())
                self.assertEqual(again.events[0].type, "weir.gap")
            for reader in readers[evicted:]:
                kit.check_order(reader.rest())
                self.assertEqual(reader.events[-1].type, "weir.done")


class Heartbeat(kit.Case):
    options = ("--heartbeat", "20ms", "--heartbeat-jitter", "5ms")

    def r15_a_comment_is_one_line(self):
        # Overruled by design.md: no blank line after it.
        self.server.publish(self.key, b"a")
        reader = self.server.reader(self.key)
        reader.wait("message")
        size = len(reader.raw)
        reader.until(lambda r: r.decoder.comments >= 5)
        self.assertEqual(reader.raw[size:],
                         b":\n" * reader.decoder.comments)
        self.assertEqual(len(reader.events), 2)

    def test_a_ping_is_an_event_without_an_id(self):
        made = self.server.publish(self.key, b"a").json()["id"]
        reader = self.server.reader(self.key, heartbeat="ping")
        reader.wait("weir.ping", 3)
        self.assertEqual(reader.frames[2], (
            'event: weir.ping\ndata: {"stream":"%s","generation":"%s"}\n\n'
            % (self.key, kit.epoch_of(made))))
        self.assertEqual(reader.decoder.comments, 0)
        self.assertEqual(reader.decoder.last_id, made)
        comment = self.server.reader(self.key, heartbeat="comment")
        comment.until(lambda r: r.decoder.comments >= 2)
        self.assertEqual(len(comment.of("weir.ping")), 0)

    def r57_heartbeats_before_and_after_the_first_event_until_the_end(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key)
        reader.until(lambda r: r.decoder.comments >= 2)
        self.server.publish(self.key, b"a")
        reader.wait("message")
        beats = reader.decoder.comments
        reader.until(lambda r: r.decoder.comments >= beats + 2)
        self.server.end(self.key)
        reader.rest()
        self.assertTrue(reader.raw.endswith(reader.frames[-1].encode()))
        self.assertEqual(reader.events[-1].type, "weir.done")

    def race28_none_after_the_end(self):
        self.server.publish(self.key, b"a")
        self.server.end(self.key)
        for _ in range(20):
            reader = self.server.reader(self.key)
            reader.rest()
            self.assertEqual(reader.decoder.comments, 0)

    def race27_none_within_a_frame(self):
        # A frame that takes much longer than a heartbeat, read in sips.
        self.server.open(self.key)
        self.server.publish_id(self.key, b"line\n" * 90000)
        reader = self.server.reader(self.key, rcvbuf=2048)
        pause = threading.Event()
        while len(reader.of("message")) == 0:
            data = reader.conn.read(20000)
            reader.raw += data
            reader.events += reader.decoder.feed(data)
            if len(reader.raw) < 200000:
                pause.wait(0.005)
        self.assertEqual(reader.of("message")[0].data, "line\n" * 90000)
        # Nothing that could be one stands among the lines of the frame.
        self.assertNotIn(b"line\n:", reader.raw)
        beats = reader.decoder.comments
        reader.until(lambda r: r.decoder.comments > beats)

    def r16_nor_do_signals(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key, rcvbuf=2048)
        reader.ready
        conn = self.server.connect()
        for i in range(30):
            conn.ask("POST", path(self.key, "/events", type="big"),
                     b"%d\n" % i + b"x" * 50000)
            conn.ask("POST", path(self.key, "/signals", type="signal"),
                     b"%d" % i)
        self.server.end(self.key)
        events = reader.rest()[1:-1]
        # Each comes right behind the event that was published before it.
        self.assertEqual([e.data for e in events[0::2]],
                         ["%d\n" % i + "x" * 50000 for i in range(30)])
        self.assertEqual([(e.type, e.data) for e in events[1::2]],
                         [("signal", str(i)) for i in range(30)])
        kit.check_order(reader.events)

    def test_stats_count_them(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key)
        reader.until(lambda r: r.decoder.comments >= 3)
        self.assertGreaterEqual(self.server.stats()["heartbeats_total"], 3)

    def f13_retry_is_drawn_per_connection(self):
        # And so is the heartbeat, which cannot be seen without a clock.
        self.server.open(self.key)
        seen = set()
        for _ in range(40):
            reader = self.server.reader(self.key)
            reader.ready
            self.assertTrue(1000 <= reader.decoder.retry <= 1500)
            seen.add(reader.decoder.retry)
            reader.close()
        self.assertGreater(len(seen), 5)


class NoHeartbeat(kit.Case):
    options = ("--heartbeat", "0", "--retry", "2s", "--retry-jitter", "0")

    def test_0_is_off(self):
        self.server.open(self.key)
        other = kit.Server("--heartbeat", "10ms")
        with other:
            # For as long as another server beats a good many times.
            other.open("k")
            beats = other.reader("k")
            reader = self.server.reader(self.key)
            reader.ready
            beats.until(lambda r: r.decoder.comments >= 30)
        self.assertEqual(self.server.stats()["heartbeats_total"], 0)
        self.assertEqual(reader.decoder.comments, 0)

    def test_retry_is_what_was_asked_for(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key)
        reader.ready
        self.assertEqual(reader.decoder.retry, 2000)


class Stall(kit.Case):
    options = ("--stall", "1s", "--max-body", "64M", "--max-event", "32M")

    def f12_who_takes_nothing_is_reset_and_goes_on_later(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key, rcvbuf=4096)
        reader.ready
        stalled = self.server.stats()["stalled_total"]
        conn = self.server.connect()
        for i in range(100):
            self.assertEqual(conn.ask("POST", path(self.key, "/events"),
                                      b"%d:" % i + b"x" * 100000).status, 201)
        kit.wait_until(lambda: self.server.stats()["stalled_total"]
                       == stalled + 1, "the stall")
        self.assertEqual(self.server.info(self.key)["subscribers"], 0)
        # What is in the socket may still be read; then comes the reset.
        with self.assertRaises(ConnectionResetError):
            reader.rest()
        got = [e for e in reader.events if e.type == "message"]
        again = self.server.reader(self.key, reader.decoder.last_id)
        self.server.end(self.key)
        got += [e for e in again.rest() if e.type == "message"]
        self.assertEqual([e.data[:4].split(":")[0] for e in got],
                         [str(i) for i in range(100)][-len(got):])
        # Whatever had been dropped meanwhile, it was told.
        kit.check_order(again.events)
        self.assertEqual(again.events[-1].type, "weir.done")

    def test_a_response_that_nobody_takes_is_cut_off_too(self):
        conn = self.server.connect(rcvbuf=4096)
        conn.sock.setblocking(False)
        data = conn.request("GET", "/metrics") * 200
        try:
            while True:
                conn.sock.send(data)
        except BlockingIOError:
            pass
        self.server.wait_stats(connections=1)

    def test_who_waits_for_events_has_not_stalled(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key)
        reader.ready
        # Longer than --stall: another stalls meanwhile.
        other = self.key + "-other"
        self.server.open(other)
        slow = self.server.reader(other, rcvbuf=4096)
        slow.ready
        stalled = self.server.stats()["stalled_total"]
        self.server.publish(other, b"x" * 15000000)
        kit.wait_until(lambda: self.server.stats()["stalled_total"] > stalled)
        self.server.publish(self.key, b"there")
        reader.wait_data("there")


class Sips(kit.Case):
    weight = 9
    options = ("--stall", "2s", "--max-event", "8M")

    def test_who_takes_a_little_has_not_stalled(self):
        # In sips that are small beside what a socket can hold, and for longer
        # than the patience there is.
        self.server.open(self.key)
        reader = self.server.reader(self.key, rcvbuf=65536)
        reader.ready
        self.server.publish_id(self.key, b"x" * 8000000)
        pause = threading.Event()
        for _ in range(50):
            pause.wait(0.1)
            data = reader.conn.read(32768)
            self.assertTrue(data)
            reader.events += reader.decoder.feed(data)
        self.assertEqual(self.server.stats()["stalled_total"], 0)
        self.assertEqual(len(reader.wait("message").data), 8000000)


if __name__ == "__main__":
    unittest.main()
