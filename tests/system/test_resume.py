# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Connections that break, anywhere, and clients that go on where they were."""
import json
import random
import re
import threading
import unittest

import kit
from kit import path, seq_of


def text_of(i):
    """The data of event i: all that data can be."""
    return ["plain %d" % i, "two\nlines %d" % i, "", ":colon %d" % i,
            " blank %d" % i, "id: 99\n\ndata: %d" % i, "ünï©ode \U0001f30a",
            "\n", "data", "{\"i\":%d}" % i][i % 10]


class EveryOffset(kit.Case):
    """Cut the bytes of a run at every offset, and go on from there."""

    weight = 9
    options = ("--heartbeat", "5ms", "--heartbeat-jitter", "0")
    heartbeat = "comment"

    def beats(self, reader):
        return reader.decoder.comments + len(reader.of("weir.ping"))

    def record(self):
        """A run of 200 events with signals and heartbeats between them, as a
        client has seen it live: the bytes, and the events with their ids."""
        self.server.open(self.key)
        reader = self.server.reader(self.key, heartbeat=self.heartbeat)
        reader.ready
        conn = self.server.connect()
        for i in range(200):
            said = conn.ask("POST", path(self.key, "/events",
                                         type="t%d" % (i % 3)),
                            text_of(i).encode())
            self.assertEqual(said.status, 201)
            if i % 3 == 0:
                conn.ask("POST", path(self.key, "/signals", type="signal"),
                         b"s%d" % i)
            if i % 10 == 0:
                beats = self.beats(reader)
                reader.until(lambda r: self.beats(r) > beats)
        self.server.end(self.key)
        reader.rest()
        events = [e for e in reader.events if e.has_id and
                  not e.type == "weir.ready"]
        self.assertEqual([e.data for e in events[:-1]],
                         [text_of(i) for i in range(200)])
        self.assertGreaterEqual(self.beats(reader), 20)
        self.assertGreaterEqual(len(reader.of("signal")), 60)
        kit.check_order(reader.events)
        return reader.raw, events

    def go_on(self, last_id, by_query):
        """What a client with this cursor gets: a status and bytes."""
        conn = kit.Connection(self.server.address)
        try:
            if last_id and by_query:
                conn.send(conn.request(
                    "GET", path(self.key, lastEventId=last_id)))
            else:
                conn.send(conn.request(
                    "GET", path(self.key), None,
                    [("Last-Event-ID", last_id)] if last_id else []))
            head = conn.head()
            return head.status, b"" if head.status == 204 else (
                conn.read_to_end())
        finally:
            conn.reset()

    def r07_every_event_comes_once_wherever_it_is_cut(self):
        raw, published = self.record()
        decoder = kit.Decoder()
        before = []
        seen = {}
        for at in range(len(raw) + 1):
            # The client has had raw[:at]; its decoder keeps last_id, no more.
            if at != 0:
                before += [e for e in decoder.feed(raw[at - 1:at])
                           if e in published]
            status, body = self.go_on(decoder.last_id, at % 2 == 1)
            if status == 204:
                self.assertEqual(before, published, at)
                continue
            # The answers to one cursor differ in `retry` alone: decode one.
            body = re.sub(rb"retry: \d+", b"retry: 1", body, count=1)
            if body not in seen:
                again = kit.Decoder(decoder.last_id)
                events = again.feed(body)
                self.assertTrue(again.is_between, at)
                kit.check_order(events)
                self.assertEqual(events[0].type, "weir.ready")
                seen[body] = events[1:]
            self.assertEqual(before + seen[body], published, at)
        # As many answers as there are cursors: none, ready's, and 200 events'.
        self.assertEqual(len(seen), 202)


class EveryOffsetPing(EveryOffset):
    """The same with heartbeats that are events."""

    heartbeat = "ping"


class Cuts(kit.Case):
    """Clients that lose their connection again and again, all of them live."""

    weight = 5

    def publish(self, count, ids, pause=None):
        conn = kit.Connection(self.server.address)
        for i in range(count):
            said = conn.ask("POST", path(self.key, "/events"),
                            text_of(i).encode())
            ids.append(said.json()["id"])
            if i % 7 == 0:
                conn.ask("POST", path(self.key, "/signals", type="signal"),
                         b"s")
            if pause is not None:
                pause(i)
        conn.ask("POST", path(self.key, "/end"), b"")
        conn.close()

    def check(self, source, ids):
        got = [e for e in source.events
               if e.has_id and not kit.is_own(e)]
        self.assertEqual([e.id for e in got], ids)
        self.assertEqual([e.data for e in got],
                         [text_of(i) for i in range(len(ids))])
        for events in source.connections:
            kit.check_order(events)
        self.assertEqual(source.closed, 204)
        self.assertEqual(source.events[-1].type, "weir.done")

    def test_twenty_resets_in_the_middle(self):
        # The client is cut after every 40th event, wherever that is in a
        # frame; the publisher waits until it has been.
        self.server.open(self.key)
        cuts = threading.Semaphore(0)
        count = [0]

        def cut():
            count[0] += 1
            cuts.release()
            return random.Random(count[0]).randrange(100, 1500) if (
                count[0] <= 20) else None

        source = kit.EventSource(self.server, path(self.key), cut=cut)
        ids = []
        thread = threading.Thread(target=self.publish, args=(
            840, ids, lambda i: i % 40 == 39 and cuts.acquire(timeout=5)))
        thread.start()
        source.run(lambda s: False)
        thread.join()
        self.assertGreaterEqual(len(source.connections), 21)
        self.check(source, ids)

    def test_fifty_readers_with_random_cuts(self):
        self.server.open(self.key)
        sources = []
        for seed in range(50):
            chance = random.Random(seed)
            cuts = iter([chance.randrange(0, 4000) for _ in range(8)])
            sources.append(kit.EventSource(
                self.server, path(self.key), scale=0.00001 * (seed % 3),
                cut=lambda cuts=cuts: next(cuts, None)))
        threads = [threading.Thread(target=source.run,
                                    args=(lambda s: False,))
                   for source in sources]
        ids = []
        for thread in threads:
            thread.start()
        self.publish(300, ids)
        for thread in threads:
            thread.join(kit.PATIENCE)
        for source in sources:
            self.check(source, ids)
        self.server.wait_stats(subscribers=0)

    def race17_two_resumes_with_one_cursor_get_the_same(self):
        ids = [self.server.publish_id(self.key, text_of(i).encode())
               for i in range(10)]
        one = self.server.reader(self.key, ids[4])
        two = self.server.reader(self.key, ids[4])
        self.server.end(self.key)
        one.rest()
        two.rest()
        self.assertEqual(one.frames[1:], two.frames[1:])
        self.assertEqual(len(one.events), 7)

    def race33_a_torn_frame_does_not_move_the_cursor(self):
        first = self.server.publish_id(self.key, b"1")
        self.server.publish(self.key, b"2" * 1000)
        reader = self.server.reader(self.key)
        reader.wait("message", 2)
        whole = reader.raw
        decoder = kit.Decoder()
        decoder.feed(whole[:-1])
        self.assertEqual(decoder.last_id, first)
        again = self.server.reader(self.key, decoder.last_id)
        self.assertEqual(again.wait("message").data, "2" * 1000)

    def r72_five_kills_give_one_message(self):
        self.server.open(self.key)
        left = [5]

        def cut():
            left[0] -= 1
            return 300 if left[0] >= 0 else None

        source = kit.EventSource(self.server, path(self.key), cut=cut)
        thread = threading.Thread(target=self.publish, args=(60, []))
        thread.start()
        source.run(lambda s: False)
        thread.join()
        text = "".join(e.data for e in source.events if e.type == "message")
        self.assertEqual(text, "".join(text_of(i) for i in range(60)))


class Verdicts(kit.Case):
    """Exactly what each of them gets."""

    options = ("--history-events", "3")

    def setUp(self):
        super().setUp()
        self.generation = self.server.open(self.key).json()["generation"]

    def fill(self, count):
        return [self.server.publish_id(self.key, b"%d" % (i + 1))
                for i in range(count)]

    def check(self, cursor, verdict, gap, position, rest, query=False):
        """The frames of a connection with this cursor, byte for byte. gap:
        what was requested, first and last; None is no gap."""
        reader = kit.Reader(
            self.server, path(self.key, **(
                {"lastEventId": cursor} if query else {})),
            "" if query else cursor)
        self.assertEqual(reader.response.status, 200)
        count = len(rest) + 1 + (gap is not None)
        reader.until(lambda r: len(r.events) == count)
        identity = '"stream":"%s","generation":"%s"' % (
            self.key, self.generation)
        retry = "retry: %d\n" % reader.decoder.retry
        want = []
        if gap is not None:
            requested, first, last = gap
            want.append(
                "id: %s-%d\nevent: weir.gap\n%sdata: {%s,\"verdict\":\"%s\","
                "\"requested\":%s,\"first\":%d,\"last\":%d}\n\n" % (
                    self.generation, position, retry, identity, verdict,
                    json.dumps(requested), first, last))
            retry = ""
        want.append("id: %s-%d\nevent: weir.ready\n%sdata: {%s,"
                    "\"verdict\":\"%s\"}\n\n" % (
                        self.generation, position, retry, identity, verdict))
        want += ["id: %s-%d\ndata: %d\n\n" % (self.generation, i, i)
                 for i in rest]
        self.assertEqual(reader.frames, want)
        self.assertTrue(1000 <= reader.decoder.retry <= 1500)
        kit.check_order(reader.events)
        reader.close()

    def test_fresh(self):
        self.check("", "fresh", None, 0, [])
        self.fill(2)
        self.check("", "fresh", None, 0, [1, 2])

    @kit.in_memory
    def test_fresh_where_the_first_are_gone(self):
        # It had nothing, so it lost nothing.
        self.fill(5)
        self.check("", "fresh", None, 2, [3, 4, 5])

    def test_resumed(self):
        ids = self.fill(3)
        self.check(self.generation + "-0", "resumed", None, 0, [1, 2, 3])
        self.check(ids[0], "resumed", None, 1, [2, 3])
        self.check(ids[1], "resumed", None, 2, [3])
        self.check(ids[2], "resumed", None, 3, [])

    @kit.in_memory
    def r10_evicted_is_told_of_the_gap(self):
        ids = self.fill(7)
        self.check(ids[0], "evicted", (ids[0], 5, 7), 4, [5, 6, 7])
        self.check(ids[2], "evicted", (ids[2], 5, 7), 4, [5, 6, 7])
        self.check(self.generation + "-0", "evicted",
                   (self.generation + "-0", 5, 7), 4, [5, 6, 7])

    @kit.in_memory
    def r60_the_oldest_that_is_left_says_who_is_evicted(self):
        ids = self.fill(5)
        self.check(ids[1], "resumed", None, 2, [3, 4, 5])
        self.check(ids[0], "evicted", (ids[0], 3, 5), 2, [3, 4, 5])

    def test_ahead(self):
        self.fill(3)
        for seq in (4, 5, 9223372036854775806):
            cursor = "%s-%d" % (self.generation, seq)
            self.check(cursor, "ahead", (cursor, 1, 3), 0, [1, 2, 3])

    def test_foreign(self):
        self.fill(3)
        for cursor in ("b-1", "zzzzzzzzzzzz-3", "b-0"):
            self.check(cursor, "foreign", (cursor, 1, 3), 0, [1, 2, 3])

    def r08_what_is_no_cursor_is_served_as_a_foreign_one(self):
        self.fill(3)
        for cursor in ("abc", "-1", "6", "99999999999999999999", "b-", "-",
                       "b-01", "B-1", "b-1-1", "b--1", "b-x", "a-1", "1-1",
                       "~", "._~-", "b-9223372036854775807",
                       "b-99999999999999999999", "zzzzzzzzzzzzzz-1"):
            with self.subTest(cursor):
                self.check(cursor, "malformed", (cursor, 1, 3), 0, [1, 2, 3])
                self.check(cursor, "malformed", (cursor, 1, 3), 0, [1, 2, 3],
                           query=True)

    def test_what_could_break_out_is_not_repeated(self):
        self.fill(3)
        for cursor in ("\u0666".encode().decode("latin-1"), "b 1", "\"b-1\"",
                       "b-1\\", "<b-1>", "b-1;x=y", "b\t1", "x" * 129,
                       "b-" + "1" * 10000, "\x7f", "b-1\x01"):
            with self.subTest(cursor[:20]):
                self.check(cursor, "malformed", (None, 1, 3), 0, [1, 2, 3])
        for cursor in ("b-1\n", "\0", "b-1\r\ndata: x\n\n", "%", "\xff"):
            with self.subTest(cursor):
                self.check(cursor, "malformed", (None, 1, 3), 0, [1, 2, 3],
                           query=True)

    def test_128_bytes_are_repeated_and_129_are_not(self):
        self.fill(3)
        cursor = "x" * 128
        self.check(cursor, "malformed", (cursor, 1, 3), 0, [1, 2, 3])
        self.check(cursor + "x", "malformed", (None, 1, 3), 0, [1, 2, 3])

    def test_blanks_around_a_cursor_are_not_its(self):
        ids = self.fill(2)
        conn = self.server.connect()
        conn.send(b"GET " + path(self.key).encode() + b" HTTP/1.1\r\nHost: x"
                  b"\r\nLast-Event-ID: \t " + ids[0].encode() + b" \t\r\n\r\n")
        conn.head()
        self.assertIn(b'"resumed"', conn.read_until(b"\n\n"))

    def test_finished(self):
        ids = self.fill(2)
        end = self.server.end(self.key).json()["id"]
        for headers, query in (([("Last-Event-ID", end)], {}),
                               ([], {"lastEventId": end})):
            self.assertEqual(self.server.ask(
                "GET", path(self.key, **query), headers=headers).status, 204)
        # Not before it has seen the end.
        reader = self.server.reader(self.key, ids[-1])
        self.assertEqual([e.type for e in reader.rest()],
                         ["weir.ready", "weir.done"])
        # A cursor beyond the end proves nothing.
        beyond = self.server.reader(self.key, self.generation + "-9")
        self.assertEqual(beyond.verdict, "ahead")

    def test_finished_of_the_generation_before(self):
        self.fill(1)
        end = self.server.end(self.key).json()["id"]
        self.server.open(self.key)
        self.server.publish(self.key, b"of the next")
        self.assertEqual(self.server.ask(
            "GET", path(self.key), headers=[("Last-Event-ID", end)]).status,
            204)

    def test_unknown(self):
        for headers in ([], [("Last-Event-ID", self.generation + "-1")]):
            self.status(self.server.ask("GET", "/streams/nothing",
                                        headers=headers), 404)

    def r30_a_cursor_of_0_is_not_no_cursor(self):
        self.check("", "fresh", None, 0, [])
        self.check(self.generation + "-0", "resumed", None, 0, [])

    @kit.in_memory
    def f02_a_gap_is_an_event_and_carries_the_safe_position(self):
        ids = self.fill(7)
        reader = self.server.reader(self.key, ids[0])
        gap = reader.wait("weir.gap")
        # Cut right behind the gap: nothing is lost, nothing comes twice.
        again = self.server.reader(self.key, gap.id)
        again.wait_data("7")
        self.assertEqual([e.data for e in again.of("message")],
                         ["5", "6", "7"])
        self.assertEqual(again.verdict, "resumed")


@kit.in_memory
class Behind(kit.Case):
    """A reader that falls behind what is kept."""

    def test_is_told_what_it_has_missed(self):
        with kit.Server("--history-events", "10", "--stall", "0") as server:
            server.open("k")
            reader = server.reader("k", rcvbuf=4096)
            reader.ready
            conn = server.connect()
            for i in range(300):
                conn.ask("POST", path("k", "/events"),
                         b"%d:" % (i + 1) + b"x" * 100000)
            server.end("k")
            events = reader.rest()
            kit.check_order(events)
            gaps = reader.of("weir.gap")
            self.assertGreaterEqual(len(gaps), 1)
            for gap in gaps:
                said = json.loads(gap.data)
                at = events.index(gap)
                before, after = events[at - 1], events[at + 1]
                self.assertEqual(said["verdict"], "evicted")
                self.assertEqual(said["requested"], before.id)
                self.assertEqual(said["first"], seq_of(after.id))
                self.assertEqual(seq_of(gap.id) + 1, seq_of(after.id))
                self.assertEqual(server.stats()["gaps_total"], len(gaps))
            self.assertEqual(events[-1].type, "weir.done")
            for event in reader.of("message"):
                self.assertEqual(event.data,
                                 "%d:" % seq_of(event.id) + "x" * 100000)


class Restart(kit.Case):
    options = None

    def test_the_cursor_of_a_former_process_is_foreign(self):
        with kit.Server() as server:
            server.publish("k", b"1")
            old = server.publish_id("k", b"2")
        with kit.Server() as server:
            response = server.ask("GET", path("k"),
                                  headers=[("Last-Event-ID", old)])
            self.status(response, 404)
            new = server.publish_id("k", b"3")
            self.assertNotEqual(kit.epoch_of(old), kit.epoch_of(new))
            reader = server.reader("k", old)
            reader.wait_data("3")
            self.assertEqual([e.type for e in reader.events],
                             ["weir.gap", "weir.ready", "message"])
            self.assertEqual(reader.verdict, "foreign")

    def f22_two_processes_do_not_take_each_other_s_cursors(self):
        with kit.Server() as one, kit.Server() as two:
            cursor = one.publish_id("k", b"one")
            two.publish("k", b"two")
            reader = two.reader("k", cursor)
            reader.wait_data("two")
            self.assertEqual(reader.verdict, "foreign")


if __name__ == "__main__":
    unittest.main()
