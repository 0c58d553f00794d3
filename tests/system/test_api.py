# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""What each request does: a test or more for every row and every sentence."""
import json
import os
import re
import unittest

import kit
from kit import path, seq_of


class Open(kit.Case):
    def test_opens(self):
        response = self.status(self.server.open(self.key), 201)
        said = response.json()
        self.assertEqual(sorted(said), ["epoch", "generation", "stream"])
        self.assertEqual(said["stream"], self.key)
        self.assertRegex(said["generation"], "^[a-z2-7]{1,13}$")
        self.assertEqual(said["generation"], said["epoch"])

    def test_joins_by_default(self):
        first = self.status(self.server.open(self.key), 201).json()
        again = self.status(self.server.open(self.key), 200).json()
        third = self.status(self.server.open(self.key, on_duplicate="join"),
                            200).json()
        self.assertEqual(first, again)
        self.assertEqual(first, third)

    def test_rejects(self):
        self.status(self.server.open(self.key, on_duplicate="reject"), 201)
        response = self.server.open(self.key, on_duplicate="reject")
        self.status(response, 409)
        self.assertEqual(response.json()["error"], "exists")

    def test_replaces(self):
        first = self.server.open(self.key).json()
        second = self.status(
            self.server.open(self.key, on_duplicate="replace"), 201).json()
        self.assertNotEqual(first["generation"], second["generation"])
        self.assertEqual(self.server.info(self.key)["generation"],
                         second["generation"])

    def test_rejects_nothing_once_it_has_ended(self):
        first = self.server.open(self.key).json()
        self.server.end(self.key)
        second = self.status(
            self.server.open(self.key, on_duplicate="reject"), 201).json()
        self.assertNotEqual(first["generation"], second["generation"])

    def test_wants_words_it_knows(self):
        for query in ({"on_duplicate": "merge"}, {"envelope": "xml"},
                      {"timers": "none"}, {"on_duplicate": ""}):
            self.status(self.server.open(self.key, **query), 400)
        self.status(self.server.ask(
            "PUT", path(self.key) + "?on_duplicate=%zz"), 400)
        self.assertEqual(self.server.ask(
            "GET", path(self.key, "/info")).status, 404)

    def test_says_what_is_wrong(self):
        self.server.open(self.key)
        for method, tail, query, body, word in (
                ("PUT", "", "on_duplicate=x", b"", "on_duplicate"),
                ("PUT", "", "envelope=x", b"", "envelope"),
                ("PUT", "", "timers=x", b"", "timers"),
                ("GET", "", "from=x", b"", "from"),
                ("GET", "", "heartbeat=x", b"", "heartbeat"),
                ("GET", "", "client=" + "x" * 256, b"", "client"),
                ("GET", "", "client=%zz", b"", "client"),
                ("POST", "/events", "type=%zz", b"", "%"),
                ("POST", "/events", "type=a%0ab", b"", "type"),
                ("POST", "/events", "type=" + "x" * 256, b"", "type"),
                ("POST", "/events", "split=x", b"", "split"),
                ("POST", "/events", "split=lines", b"", "line"),
                ("POST", "/signals", "type=a%0ab", b"", "type"),
                ("POST", "/end", "reason=" + "x" * 256, b"", "reason"),
                ("POST", "/fail", "code=" + "x" * 256, b"", "code"),
                ("POST", "/fail", "code=x", b"x" * 4097, "text")):
            response = self.status(self.server.ask(
                method, path(self.key, tail) + "?" + query, body), 400)
            self.assertIn(word, response.json()["message"], query)
        for key in ("x" * 256, "\n", "\x7f"):
            for method, tail in (("PUT", ""), ("GET", ""), ("GET", "/info"),
                                 ("POST", "/events"), ("DELETE", "")):
                response = self.status(
                    self.server.ask(method, path(key, tail)), 400)
                self.assertIn("key", response.json()["message"])

    def test_ignores_what_it_does_not_know(self):
        self.status(self.server.open(self.key, color="blue"), 201)

    def test_takes_a_body_that_nobody_needs(self):
        self.status(self.server.ask("PUT", path(self.key), b"x" * 100), 201)

    def r48_two_opens_are_one_generation(self):
        # Two requests on two connections, sent before either is answered.
        conns = [self.server.connect() for _ in range(8)]
        for conn in conns:
            conn.send(conn.request("PUT", path(self.key), b""))
        said = [conn.response() for conn in conns]
        self.assertEqual(sorted(r.status for r in said), [200] * 7 + [201])
        self.assertEqual(len({r.json()["generation"] for r in said}), 1)

    def r49_a_duplicate_is_joined_replaced_or_rejected(self):
        key = self.key
        first = self.server.open(key).json()["generation"]
        self.status(self.server.open(key, on_duplicate="reject"), 409)
        joined = self.server.open(key, on_duplicate="join")
        self.assertEqual(joined.json()["generation"], first)
        after = self.server.open(key, on_duplicate="replace")
        self.assertNotEqual(after.json()["generation"], first)


class Replace(kit.Case):
    def r45_the_old_generation_ends_with_this_reason(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key)
        reader.ready
        self.server.open(self.key, on_duplicate="replace")
        done = json.loads(reader.rest()[-1].data)
        self.assertEqual(done["reason"], "replaced_by_new_stream")

    def r46_the_clients_of_the_old_one_get_a_benign_end(self):
        for count in (0, 3):
            key = "%s-%d" % (self.key, count)
            old = self.server.open(key).json()["generation"]
            for i in range(count):
                self.server.publish(key, b"%d" % i)
            reader = self.server.reader(key)
            reader.until(lambda r: len(r.events) == count + 1)
            self.server.open(key, on_duplicate="replace")
            self.server.publish(key, b"of the next one")
            events = reader.rest()
            self.assertEqual(len(events), count + 2)
            self.assertEqual(events[-1].type, "weir.done")
            self.assertEqual(json.loads(events[-1].data), {
                "stream": key, "generation": old,
                "reason": "replaced_by_new_stream"})
            self.assertEqual(seq_of(events[-1].id), count + 1)

    def r47_the_old_end_does_not_hurt_the_new_one(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key)
        self.server.open(self.key, on_duplicate="replace")
        self.server.publish(self.key, b"kept")
        reader.rest()
        self.assertEqual(self.server.info(self.key)["last"], 1)
        self.assertEqual(self.server.info(self.key)["status"], "live")

    def test_a_new_generation_begins_at_1(self):
        for _ in range(3):
            self.server.publish(self.key, b"old")
        old = self.server.info(self.key)
        self.server.open(self.key, on_duplicate="replace")
        cursor = self.server.publish_id(self.key, b"new")
        self.assertEqual(seq_of(cursor), 1)
        self.assertNotEqual(kit.epoch_of(cursor), old["epoch"])
        reader = self.server.reader(self.key)
        reader.wait_data("new")
        self.assertEqual([e.data for e in reader.of("message")], ["new"])

    def test_who_has_seen_the_old_end_is_finished(self):
        # And is not fed the next generation.
        self.server.publish(self.key, b"old")
        reader = self.server.reader(self.key)
        reader.wait("message")
        self.server.open(self.key, on_duplicate="replace")
        reader.rest()
        again = self.server.ask("GET", path(self.key), headers=[
            ("Last-Event-ID", reader.decoder.last_id)])
        self.assertEqual(again.status, 204)

    def test_who_has_not_is_told_to_start_over(self):
        old = self.server.publish_id(self.key, b"old")
        self.server.open(self.key, on_duplicate="replace")
        self.server.publish(self.key, b"new")
        reader = self.server.reader(self.key, old)
        reader.wait_data("new")
        self.assertEqual([e.type for e in reader.events],
                         ["weir.gap", "weir.ready", "message"])
        self.assertEqual(reader.verdict, "foreign")


class Envelope(kit.Case):
    def test_wraps_data_as_a_string(self):
        made = self.server.open(self.key, envelope="json").json()
        self.server.publish(self.key, "häß\"lich\n\\".encode(), type="token")
        self.server.publish(self.key, b'{"a":1}')
        reader = self.server.reader(self.key)
        event = reader.wait("token")
        self.assertEqual(json.loads(event.data), {
            "stream": self.key, "generation": made["generation"], "index": 0,
            "data": "häß\"lich\n\\"})
        event = reader.wait("message")
        self.assertEqual(json.loads(event.data)["data"], '{"a":1}')
        self.assertEqual(json.loads(event.data)["index"], 1)

    def r12_every_frame_says_which_stream_it_is_of(self):
        made = self.server.open(self.key, envelope="json").json()
        reader = self.server.reader(self.key)
        reader.ready
        self.server.publish(self.key, b"a")
        self.server.signal_to(self.key, b"b", type="signal")
        self.server.publish(self.key, b"c", type="x")
        self.server.end(self.key)
        events = reader.rest()
        self.assertEqual(len(events), 5)
        for event in events:
            said = json.loads(event.data)
            self.assertEqual(said["stream"], self.key)
            self.assertEqual(said["generation"], made["generation"])
        self.assertEqual(reader.response.get("x-stream-id"), self.key)

    def r14_the_index_counts_events_and_nothing_else(self):
        self.server.open(self.key, envelope="json")
        reader = self.server.reader(self.key)
        reader.ready
        for i in range(5):
            self.server.publish(self.key, b"%d" % i)
            self.server.signal_to(self.key, b"s", type="signal")
        self.server.end(self.key)
        events = reader.rest()
        said = [json.loads(e.data) for e in events]
        self.assertEqual([s["index"] for s, e in zip(said, events)
                          if e.type == "message"], list(range(5)))
        self.assertTrue(all("index" not in s for s, e in zip(said, events)
                            if e.type != "message"))
        # And so it does in a replay.
        again = self.server.reader(self.key)
        indexes = [json.loads(e.data)["index"] for e in again.rest()
                   if e.type == "message"]
        self.assertEqual(indexes, list(range(5)))

    def test_is_the_choice_of_who_began(self):
        self.server.open(self.key)
        self.server.open(self.key, envelope="json")
        self.server.publish(self.key, b"bare")
        reader = self.server.reader(self.key)
        self.assertEqual(reader.wait("message").data, "bare")

    def test_lines_are_none_in_it(self):
        # What a new stream would refuse is for this one to judge.
        self.server.open(self.key, envelope="json")
        self.status(self.server.publish(self.key, b"\n" * 200000), 201)
        response = self.server.publish(self.key, b"\xff")
        self.assertEqual(self.status(response, 400).json()["error"],
                         "not_utf8")


class Publish(kit.Case):
    def test_gives_the_id(self):
        response = self.status(self.server.publish(self.key, b"a"), 201)
        self.assertEqual(sorted(response.json()), ["id"])
        cursor = response.json()["id"]
        self.assertRegex(cursor, "^[a-z2-7]{1,13}-1$")
        reader = self.server.reader(self.key)
        event = reader.wait("message")
        self.assertEqual(event, kit.Event("message", "a", cursor, True))

    def test_opens_the_stream_if_need_be(self):
        self.status(self.server.publish(self.key, b"a"), 201)
        self.assertEqual(self.server.info(self.key)["status"], "live")

    def r11_every_event_has_an_id(self):
        ids = [self.server.publish_id(self.key, b"%d" % i, type="t%d" % i)
               for i in range(5)]
        self.server.end(self.key)
        events = self.server.reader(self.key).rest()
        self.assertTrue(all(event.has_id for event in events))
        self.assertEqual([event.id for event in events[1:-1]], ids)

    def test_numbers_are_dense(self):
        ids = [self.server.publish_id(self.key, b"x") for _ in range(10)]
        self.assertEqual([seq_of(i) for i in ids], list(range(1, 11)))
        self.assertEqual(len({kit.epoch_of(i) for i in ids}), 1)

    def test_has_the_type(self):
        for kind in ("token", "a b", "häß", "data:x", "x" * 255):
            self.status(self.server.publish(self.key, b"d", type=kind), 201)
        self.status(self.server.publish(self.key, b"d", type="x" * 256), 400)
        self.server.end(self.key)
        reader = self.server.reader(self.key)
        self.assertEqual([e.type for e in reader.rest()][1:-1],
                         ["token", "a b", "häß", "data:x", "x" * 255])

    def test_message_is_the_default_type(self):
        self.server.publish(self.key, b"1")
        self.server.publish(self.key, b"2", type="")
        self.server.publish(self.key, b"3", type="message")
        self.server.end(self.key)
        reader = self.server.reader(self.key)
        self.assertEqual([e.type for e in reader.rest()][1:-1],
                         ["message"] * 3)
        self.assertNotIn(b"event: message", reader.raw)

    def test_refuses_types_that_mean_something_else(self):
        for kind in ("open", "error", "weir.ready", "weir.gap", "weir.done",
                     "weir.failed", "weir.closing", "weir.ping"):
            response = self.server.publish(self.key, b"x", type=kind)
            self.status(response, 400)
            self.assertEqual(response.json()["error"], "reserved_type")
        self.status(self.server.publish(self.key, b"x", type="Error"), 201)
        self.status(self.server.publish(self.key, b"x", type="weir.x"), 201)

    def r17_nothing_gets_out_of_its_field(self):
        evil = "1\ndata: evil\n\nid: 2"
        for kind in (evil, "a\rb", "a\nb", "a\0b", "a\r\nb"):
            self.status(self.server.publish(self.key, b"x", type=kind), 400)
        self.server.publish(self.key, evil.encode())
        self.server.publish(self.key, b"a\rid: x\r\revent: y\r\n\r\n:c")
        self.server.end(self.key)
        reader = self.server.reader(self.key)
        events = reader.rest()
        self.assertEqual([e.data for e in events[1:-1]],
                         [evil, "a\nid: x\n\nevent: y\n\n:c"])
        self.assertEqual([seq_of(e.id) for e in events], [0, 1, 2, 3])
        self.assertEqual(reader.decoder.comments, 0)
        self.assertNotIn(b"\r", reader.raw)

    def test_bodies_are_bytes_whatever_they_are_called(self):
        for kind in ("application/json", "application/x-www-form-urlencoded",
                     "multipart/form-data; boundary=x", "garbage", ""):
            self.status(self.server.ask(
                "POST", path(self.key, "/events"), b"a=b&c=%20",
                [("Content-Type", kind)] if kind else []), 201)
        self.server.end(self.key)
        reader = self.server.reader(self.key)
        self.assertEqual({e.data for e in reader.rest()[1:-1]}, {"a=b&c=%20"})

    def test_without_a_body_is_an_empty_event(self):
        for body in (None, b""):
            self.status(self.server.ask("POST", path(self.key, "/events"),
                                        body), 201)
        reader = self.server.reader(self.key)
        self.assertEqual(reader.wait("message", 2).data, "")
        self.assertIn(b"data: \n\n", reader.raw)

    def test_refuses_what_is_not_utf8(self):
        for body in (b"\xff", b"a\x00b", b"\xc0\xaf", b"\xed\xa0\x80"):
            response = self.server.publish(self.key, body)
            self.status(response, 400)
            self.assertEqual(response.json()["error"], "not_utf8")
        self.status(self.server.publish(self.key, "\U0001f30a".encode()), 201)

    def test_what_is_refused_begins_no_stream(self):
        for status, name, body, kind in (
                (400, "not_utf8", b"\xff", "x"),
                (400, "reserved_type", b"x", "open"),
                (400, "invalid", b"x", "a\rb"),
                (400, "invalid", b"x", "x" * 256),
                (413, "event_too_big", b"x" * (1 << 20) + b"x", "x"),
                (413, "event_too_big", b"\n" * 100000, "x")):
            response = self.server.publish(self.key, body, type=kind)
            self.status(response, status)
            self.assertEqual(response.json()["error"], name)
            self.assertEqual(self.server.ask(
                "GET", path(self.key, "/info")).status, 404)
        # Nor does it begin one behind an end.
        self.server.publish(self.key, b"x")
        self.server.end(self.key)
        response = self.server.publish(self.key, b"\xff")
        self.assertEqual(response.json()["error"], "ended")


class Lines(kit.Case):
    options = ("--max-event", "100")

    def split(self, body):
        return self.server.publish(self.key, body, split="lines", type="line")

    def data(self):
        self.server.end(self.key)
        return [e.data for e in self.server.reader(self.key).rest()[1:-1]]

    def test_each_line_is_an_event(self):
        response = self.status(self.split(b"a\nb\r\nc"), 201)
        self.assertEqual(sorted(response.json()), ["count", "id"])
        self.assertEqual(response.json()["count"], 3)
        self.assertEqual(seq_of(response.json()["id"]), 3)
        self.assertEqual(self.data(), ["a", "b", "c"])

    def test_a_last_line_end_ends_a_line(self):
        for body, count in ((b"a\n", 1), (b"a\r\n", 1), (b"a\nb\n", 2)):
            self.assertEqual(self.split(body).json()["count"], count)
        self.assertEqual(self.data(), ["a", "a", "a", "b"])

    def test_an_empty_line_is_an_event(self):
        self.assertEqual(self.split(b"\n\na\n\r\n\n").json()["count"], 5)
        self.assertEqual(self.data(), ["", "", "a", "", ""])

    def test_a_lone_cr_ends_no_line(self):
        self.assertEqual(self.split(b"a\rb\nc\r").json()["count"], 2)
        # In the frame it is a line end, as everywhere.
        self.assertEqual(self.data(), ["a\nb", "c\n"])

    def test_all_or_nothing(self):
        bad = [b"good\n\xff\n", b"good\n" + b"x" * 101 + b"\ngood",
               b"good\na\0b"]
        for body in bad:
            self.assertIn(self.split(body).status, (400, 413))
            self.assertEqual(self.server.ask(
                "GET", path(self.key, "/info")).status, 404)
        self.server.open(self.key)
        for body in bad:
            self.assertIn(self.split(body).status, (400, 413))
        self.assertEqual(self.server.info(self.key)["last"], 0)
        self.status(self.split(b"good\n" + b"x" * 100), 201)
        self.assertEqual(self.server.info(self.key)["last"], 2)

    def test_nothing_is_no_line(self):
        self.status(self.split(b""), 400)
        # What is refused has opened nothing.
        self.assertEqual(self.server.ask(
            "GET", path(self.key, "/info")).status, 404)

    def test_lines_of_one_request(self):
        most = 262144
        response = self.status(self.split(b"\n" * (most + 1)), 413)
        self.assertEqual(response.json()["error"], "too_many_lines")
        self.assertIn(str(most), response.json()["message"])
        self.assertEqual(self.server.ask(
            "GET", path(self.key, "/info")).status, 404)
        self.assertEqual(self.status(self.split(b"\n" * most), 201).json()
                         ["count"], most)

    def test_knows_no_other_split(self):
        self.status(self.server.publish(self.key, b"a", split="words"), 400)

    def r22_a_batch_has_numbers_in_a_row(self):
        self.server.publish(self.key, b"first")
        self.split(b"\n".join(b"%d" % i for i in range(4000)))
        self.server.publish(self.key, b"last")
        data = self.data()
        self.assertEqual(data, ["first"] + [str(i) for i in range(4000)]
                         + ["last"])


class Signals(kit.Case):
    def test_reach_those_who_are_there(self):
        self.server.open(self.key)
        self.assertEqual(self.status(
            self.server.signal_to(self.key, b"x"), 202).json(),
            {"reached": 0})
        readers = [self.server.reader(self.key) for _ in range(3)]
        for reader in readers:
            reader.ready
        response = self.server.signal_to(self.key, b"y", type="status")
        self.assertEqual(self.status(response, 202).json(), {"reached": 3})
        for reader in readers:
            event = reader.wait("status")
            self.assertEqual(event.data, "y")
            self.assertFalse(event.has_id)
            # What was sent before it came is not for it.
            self.assertEqual(len(reader.events), 2)
        late = self.server.reader(self.key)
        late.ready
        self.server.signal_to(self.key, b"z", type="status")
        self.assertEqual(late.wait("status").data, "z")

    def r02_signals_have_no_id_line_at_all(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key)
        reader.ready
        self.server.signal_to(self.key, b'{"status": "running"}',
                              type="job.status")
        reader.wait("job.status")
        self.assertEqual(
            reader.frames[-1],
            'event: job.status\ndata: {"status": "running"}\n\n')

    def r03_signals_do_not_move_the_cursor(self):
        ids = [self.server.publish_id(self.key, b"%d" % i)
               for i in range(5)]
        reader = self.server.reader(self.key)
        reader.wait("message", 5)
        for _ in range(3):
            self.server.signal_to(self.key, b"x", type="signal")
        reader.wait("signal", 3)
        self.assertEqual(reader.decoder.last_id, ids[-1])

    def r05_what_follows_a_signal_is_not_lost(self):
        for i in range(6):
            self.server.publish(self.key, b"%d" % (i + 1))
        reader = self.server.reader(self.key)
        reader.wait_data("6")
        self.server.signal_to(self.key, b"x", type="signal")
        reader.wait("signal")
        reader.reset()
        self.server.publish(self.key, b"7")
        self.server.publish(self.key, b"8")
        again = self.server.reader(self.key, reader.decoder.last_id)
        again.wait_data("8")
        self.assertEqual([e.data for e in again.of("message")], ["7", "8"])

    def test_come_after_the_events_before_them(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key)
        reader.ready
        with self.subTest("one request after the other, in one write"):
            conn = self.server.connect()
            conn.send(b"".join(
                conn.request("POST", path(self.key, tail, type=kind), b"%d" % i)
                for i in range(100)
                for tail, kind in (("/events", "e"), ("/signals", "s"))))
            for _ in range(200):
                self.assertIn(conn.response().status, (201, 202))
        self.server.end(self.key)
        seen = 0
        for event in reader.rest()[1:-1]:
            if event.type == "e":
                seen += 1
            else:
                self.assertLess(int(event.data), seen)

    def test_are_never_replayed(self):
        self.server.open(self.key)
        first = self.server.reader(self.key)
        first.ready
        self.server.signal_to(self.key, b"x", type="signal")
        first.wait("signal")
        self.server.end(self.key)
        self.assertEqual([e.type for e in
                          self.server.reader(self.key).rest()],
                         ["weir.ready", "weir.done"])

    def test_want_a_stream_that_lives(self):
        self.status(self.server.signal_to(self.key, b"x"), 404)
        self.server.open(self.key)
        self.server.end(self.key)
        self.status(self.server.signal_to(self.key, b"x"), 409)

    def test_refuse_what_publish_refuses(self):
        self.server.open(self.key)
        for kind, body in (("error", b"x"), ("a\nb", b"x"), ("x", b"\xff")):
            self.status(self.server.signal_to(self.key, body, type=kind), 400)

    def test_fall_off_a_ring(self):
        with kit.Server("--signal-ring", "4") as server:
            server.open("k")
            reader = server.reader("k")
            reader.ready
            conn = server.connect()
            # All of them before the server turns to the reader.
            conn.send(b"".join(
                conn.request("POST", path("k", "/signals", type="s"),
                             b"%d" % i) for i in range(100)))
            for _ in range(100):
                self.assertEqual(conn.response().status, 202)
            server.end("k")
            got = [e.data for e in reader.rest() if e.type == "s"]
            self.assertEqual(got[-1], "99")
            self.assertEqual(got, sorted(got, key=int))
            self.assertEqual(server.stats()["signals_dropped_total"],
                             100 - len(got))
            reader.close()


class Ends(kit.Case):
    def test_an_end_is_logged(self):
        self.server.publish(self.key, b"a")
        reader = self.server.reader(self.key)
        reader.wait("message")
        response = self.status(self.server.end(self.key, reason="complete"),
                               200)
        self.assertEqual(seq_of(response.json()["id"]), 2)
        done = reader.rest()[-1]
        self.assertEqual(done.type, "weir.done")
        self.assertEqual(done.id, response.json()["id"])
        self.assertEqual(json.loads(done.data), {
            "stream": self.key,
            "generation": self.server.info(self.key)["generation"],
            "reason": "complete"})

    def test_done_is_the_default_reason(self):
        self.server.open(self.key)
        self.server.end(self.key)
        done = self.server.reader(self.key).rest()[-1]
        self.assertEqual(json.loads(done.data)["reason"], "done")

    def test_a_failure_is_logged(self):
        self.server.open(self.key)
        response = self.status(self.server.fail(
            self.key, "Das war nichts.\n\"".encode(), code="no_model"), 200)
        failed = self.server.reader(self.key).rest()[-1]
        self.assertEqual(failed.type, "weir.failed")
        self.assertEqual(failed.id, response.json()["id"])
        self.assertEqual(json.loads(failed.data), {
            "stream": self.key,
            "generation": self.server.info(self.key)["generation"],
            "code": "no_model", "message": "Das war nichts.\n\""})

    def test_failed_is_the_default_code(self):
        self.server.open(self.key)
        self.server.fail(self.key)
        said = json.loads(self.server.reader(self.key).rest()[-1].data)
        self.assertEqual((said["code"], said["message"]), ("failed", ""))

    def test_reasons_codes_and_messages_are_bounded(self):
        self.server.open(self.key)
        self.status(self.server.end(self.key, reason="x" * 256), 400)
        self.status(self.server.fail(self.key, b"x", code="x" * 256), 400)
        self.status(self.server.fail(self.key, b"x" * 4097), 400)
        self.status(self.server.fail(self.key, b"\xff"), 400)
        self.assertEqual(self.server.info(self.key)["status"], "live")
        self.status(self.server.fail(self.key, b"x" * 4096, code="y" * 255),
                    200)
        other = self.key + "-2"
        self.server.open(other)
        self.status(self.server.end(other, reason="x" * 255), 200)

    def test_nothing_follows_an_end(self):
        for end in (self.server.end, self.server.fail, self.server.cancel):
            key = self.key + end.__name__
            self.server.publish(key, b"a")
            self.status(end(key), 200)
            last = self.server.info(key)["last"]
            response = self.server.publish(key, b"late")
            self.status(response, 409)
            self.assertEqual(response.json()["error"], "ended")
            self.status(self.server.publish(key, b"l\nate", split="lines"),
                        409)
            self.status(self.server.signal_to(key, b"late"), 409)
            self.status(self.server.end(key), 409)
            self.status(self.server.fail(key), 409)
            self.assertEqual(self.server.info(key)["last"], last)
            events = self.server.reader(key).rest()
            self.assertEqual(len(events), 3)

    def r36_there_is_one_end(self):
        conns = [self.server.connect() for _ in range(8)]
        self.server.open(self.key)
        for i, conn in enumerate(conns):
            tail = "/end" if i % 2 else "/fail"
            conn.send(conn.request("POST", path(self.key, tail), b""))
        said = sorted(conn.response().status for conn in conns)
        self.assertEqual(said, [200] + [409] * 7)
        kinds = [e.type for e in self.server.reader(self.key).rest()]
        self.assertEqual(len(kinds), 2)

    def r40_and_nothing_follows_it(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key)
        reader.ready
        conn = self.server.connect()
        conn.send(conn.request("POST", path(self.key, "/events"), b"1")
                  + conn.request("POST", path(self.key, "/end"), b"")
                  + conn.request("POST", path(self.key, "/events"), b"2")
                  + conn.request("POST", path(self.key, "/signals"), b"3"))
        self.assertEqual([conn.response().status for _ in range(4)],
                         [201, 200, 409, 409])
        self.assertEqual([e.type for e in reader.rest()],
                         ["weir.ready", "message", "weir.done"])

    def r42_what_was_published_comes_before_the_end(self):
        self.server.open(self.key)
        readers = [self.server.reader(self.key) for _ in range(3)]
        conn = self.server.connect()
        conn.send(conn.request(
            "POST", path(self.key, "/events", split="lines"), b"1\n2\n3")
            + conn.request("POST", path(self.key, "/end"), b""))
        conn.response()
        conn.response()
        for reader in readers:
            events = reader.rest()
            kit.check_order(events)
            self.assertEqual([e.data for e in events[1:-1]], ["1", "2", "3"])
            self.assertEqual(events[-1].type, "weir.done")

    def r33_a_failure_is_replayed_byte_for_byte(self):
        before = self.server.publish_id(self.key, b"part")
        live = self.server.reader(self.key)
        live.wait("message")
        self.server.fail(self.key, b"sorry", code="x")
        live.rest()
        replay = self.server.reader(self.key, before)
        replay.rest()
        self.assertEqual(live.frames[-1], replay.frames[-1])
        self.assertTrue(self.server.info(self.key)["failed"])

    def r34_the_partial_answer_is_kept(self):
        for i in range(3):
            self.server.publish(self.key, b"%d" % i)
        self.server.fail(self.key, b"sorry", code="x")
        self.assertEqual([e.type for e in
                          self.server.reader(self.key).rest()],
                         ["weir.ready"] + ["message"] * 3 + ["weir.failed"])

    def r35_a_failure_without_clients_is_there_for_the_next(self):
        self.server.open(self.key)
        self.server.fail(self.key, b"nobody heard", code="x")
        reader = self.server.reader(self.key)
        self.assertEqual(json.loads(reader.rest()[-1].data)["message"],
                         "nobody heard")

    def r44_clients_get_the_safe_text_and_no_more(self):
        # The server has no other: what a producer calls safe is what is sent.
        self.server.open(self.key)
        self.server.fail(self.key, b"Something went wrong.", code="internal")
        reader = self.server.reader(self.key)
        reader.rest()
        self.assertEqual(sorted(json.loads(reader.events[-1].data)),
                         ["code", "generation", "message", "stream"])

    def test_want_a_stream(self):
        self.status(self.server.end(self.key), 404)
        self.status(self.server.fail(self.key), 404)
        self.status(self.server.cancel(self.key), 404)
        self.assertEqual(self.server.ask("GET", path(self.key)).status, 404)


class Cancel(kit.Case):
    def test_cancels(self):
        self.server.publish(self.key, b"a")
        reader = self.server.reader(self.key)
        reader.wait("message")
        response = self.status(self.server.cancel(self.key), 200)
        self.assertEqual(response.json(), {"cancelled": True})
        done = reader.rest()[-1]
        self.assertEqual(done.type, "weir.done")
        self.assertEqual(json.loads(done.data)["reason"], "cancelled")

    def r54_what_has_ended_is_not_cancelled(self):
        self.server.open(self.key)
        self.server.end(self.key, reason="complete")
        for _ in range(2):
            response = self.status(self.server.cancel(self.key), 200)
            self.assertEqual(response.json(), {"cancelled": False})
        events = self.server.reader(self.key).rest()
        self.assertEqual(len(events), 2)
        self.assertEqual(json.loads(events[-1].data)["reason"], "complete")

    def r43_a_client_that_leaves_cancels_nothing(self):
        self.server.open(self.key)
        for way in ("close", "reset"):
            reader = self.server.reader(self.key)
            reader.ready
            getattr(reader, way)()
            kit.wait_until(
                lambda: self.server.info(self.key)["subscribers"] == 0)
            self.assertEqual(self.server.info(self.key)["status"], "live")


class Read(kit.Case):
    def test_what_a_stream_begins_with(self):
        made = self.server.open(self.key).json()
        reader = self.server.reader(self.key)
        reader.ready
        self.assertRegex(
            reader.frames[0],
            '^id: %s-0\nevent: weir\\.ready\nretry: 1[0-4][0-9][0-9]\n'
            'data: \\{"stream":"%s","generation":"%s","verdict":"fresh"\\}'
            '\n\n$' % (made["generation"], self.key, made["generation"]))

    def r09_the_same_url_with_the_header_goes_on(self):
        # What a native EventSource can do: no other URL, one header.
        for i in range(7):
            self.server.publish(self.key, b"%d" % (i + 1))
        target = path(self.key)
        source = kit.EventSource(self.server, target,
                                 cut=iter([250, None]).__next__)
        source.run(lambda s: any(e.data == "7" for e in s.events))
        self.assertEqual(len(source.connections), 2)
        data = [e.data for e in source.events if e.type == "message"]
        self.assertEqual(data, [str(i + 1) for i in range(7)])

    def test_a_cursor_in_the_query(self):
        ids = [self.server.publish_id(self.key, b"%d" % i) for i in range(4)]
        for name in ("lastEventId", "last_event_id", "Last-Event-ID",
                     "evs_last_event_id"):
            reader = self.server.reader(self.key, **{name: ids[1]})
            reader.wait_data("3")
            self.assertEqual([e.data for e in reader.of("message")],
                             ["2", "3"])
            self.assertEqual(reader.verdict, "resumed")

    def r08_the_header_is_newer_than_the_query(self):
        ids = [self.server.publish_id(self.key, b"%d" % i) for i in range(4)]
        both = self.server.reader(self.key, ids[2], lastEventId=ids[0])
        both.wait_data("3")
        self.assertEqual([e.data for e in both.of("message")], ["3"])
        # Also where it is older: a client may rewind.
        both = self.server.reader(self.key, ids[0], lastEventId=ids[2])
        both.wait_data("3")
        self.assertEqual([e.data for e in both.of("message")],
                         ["1", "2", "3"])
        # An empty one is none.
        both = self.server.reader(self.key, lastEventId=ids[2],
                                  headers=[("Last-Event-ID", "")])
        both.wait_data("3")
        self.assertEqual([e.data for e in both.of("message")], ["3"])

    def test_from_start_and_from_head(self):
        self.server.publish(self.key, b"old")
        for query, want in (({}, ["old", "new"]),
                            ({"from": "start"}, ["old", "new"]),
                            ({"from": "head"}, ["new"])):
            key = self.key + str(len(want)) + str(len(query))
            self.server.publish(key, b"old")
            reader = self.server.reader(key, **query)
            self.assertEqual(reader.verdict, "fresh")
            self.server.publish(key, b"new")
            reader.wait_data("new")
            self.assertEqual([e.data for e in reader.of("message")], want)

    def test_from_is_for_who_has_no_cursor(self):
        ids = [self.server.publish_id(self.key, b"%d" % i) for i in range(3)]
        reader = self.server.reader(self.key, ids[0], **{"from": "head"})
        reader.wait_data("2")
        self.assertEqual([e.data for e in reader.of("message")], ["1", "2"])

    def test_from_the_head_of_what_has_ended_is_its_end(self):
        self.server.publish(self.key, b"a")
        self.server.end(self.key)
        reader = self.server.reader(self.key, **{"from": "head"})
        self.assertEqual([e.type for e in reader.rest()],
                         ["weir.ready", "weir.done"])

    def test_wants_words_it_knows(self):
        self.server.open(self.key)
        for query in ({"from": "middle"}, {"heartbeat": "loud"},
                      {"client": "x" * 256}, {"from": ""}):
            self.status(self.server.ask("GET", path(self.key, **query)), 400)
        self.status(self.server.ask(
            "GET", path(self.key) + "?client=%f"), 400)

    def f15_a_stream_is_there_from_its_open(self):
        self.status(self.server.ask("GET", path(self.key)), 404)
        self.server.open(self.key)
        self.assertEqual(self.server.reader(self.key).verdict, "fresh")

    def f10_who_has_seen_no_event_has_a_cursor_all_the_same(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key)
        reader.ready
        reader.reset()
        self.server.publish(self.key, b"meanwhile")
        again = self.server.reader(self.key, reader.decoder.last_id)
        again.wait_data("meanwhile")
        self.assertEqual(again.verdict, "resumed")

    def f03_at_the_head_nothing_comes_again(self):
        self.server.publish(self.key, b"1")
        last = self.server.publish_id(self.key, b"2")
        reader = self.server.reader(self.key, last)
        reader.ready
        self.server.publish(self.key, b"3")
        reader.wait_data("3")
        self.assertEqual([e.data for e in reader.of("message")], ["3"])

    def r63_the_head_and_ready_come_before_the_producer_does_a_thing(self):
        # Overruled by design.md: the warm-up is `ready`, not a comment.
        self.server.open(self.key)
        reader = self.server.reader(self.key)
        reader.ready
        self.assertEqual(reader.response.status, 200)
        self.assertTrue(reader.raw.startswith(b"id: "))
        self.assertEqual(reader.decoder.comments, 0)

    def r69_there_is_one_ready_on_a_connection(self):
        # Overruled by design.md: `ready` comes at once.
        self.server.publish(self.key, b"1")
        self.server.publish(self.key, b"2", type="ready")
        reader = self.server.reader(self.key)
        reader.wait("ready")
        self.server.end(self.key)
        reader.rest()
        self.assertEqual(len(reader.of("weir.ready")), 1)

    def test_head_of_a_stream_is_the_head_alone(self):
        self.server.publish(self.key, b"a")
        reader = self.server.reader(self.key, client="c")
        reader.ready
        before = self.server.stats()
        conn = self.server.connect()
        response = conn.ask("HEAD", path(self.key, client="c"))
        self.assertEqual(response.status, 200)
        self.assertEqual(response.get("content-type"),
                         "text/event-stream; charset=utf-8")
        self.assertTrue(conn.is_at_end())
        # It displaces nobody.
        self.server.publish(self.key, b"b")
        reader.wait_data("b")
        self.assertEqual(self.server.stats()["replaced_total"],
                         before["replaced_total"])
        self.assertEqual(self.server.info(self.key)["subscribers"], 1)
        self.assertEqual(conn.sock.recv(1), b"")
        gone = self.server.connect()
        self.assertEqual(gone.ask("HEAD", "/streams/nothing").status, 404)


class Head(kit.Case):
    """The head of an event stream, field by field."""

    def fields(self, version="HTTP/1.1"):
        self.server.open(self.key)
        conn = self.server.connect()
        conn.send(("GET %s %s\r\nHost: x\r\n\r\n"
                   % (path(self.key), version)).encode())
        return conn.head()

    def r61_the_head(self):
        # Overruled by design.md: Connection is `close`.
        head = self.fields()
        self.assertEqual(head.raw, (
            "HTTP/1.1 200 OK\r\n"
            "Content-Type: text/event-stream; charset=utf-8\r\n"
            "Cache-Control: no-cache, no-transform\r\n"
            "X-Accel-Buffering: no\r\n"
            "X-Stream-Id: %s\r\n"
            "Connection: close" % self.key).encode())

    def r62_no_length_no_coding(self):
        head = self.fields()
        for name in ("content-length", "transfer-encoding",
                     "content-encoding"):
            self.assertIsNone(head.get(name))
        # Not even for who would like one.
        reader = self.server.reader(
            self.key, headers=[("Accept-Encoding", "gzip, br"),
                               ("TE", "trailers, chunked")])
        self.assertIsNone(reader.response.get("content-encoding"))
        self.assertTrue(reader.ready)

    def r64_x_stream_id_may_be_read_by_other_origins(self):
        with kit.Server("--cors", "https://app.example") as server:
            server.open("k")
            reader = server.reader("k")
            self.assertEqual(reader.response.get("x-stream-id"), "k")
            self.assertIn("X-Stream-Id", reader.response.get(
                "access-control-expose-headers"))

    def r67_what_tells_proxies_not_to_wait(self):
        head = self.fields()
        self.assertEqual(head.get("x-accel-buffering"), "no")
        self.assertIn("no-transform", head.get("cache-control"))

    def f20_the_same_in_the_words_of_the_field(self):
        head = self.fields()
        self.assertEqual(head.get("cache-control"), "no-cache, no-transform")
        self.assertEqual(head.get("x-accel-buffering"), "no")
        self.assertEqual(head.get("connection"), "close")

    def test_http_1_0_gets_the_same(self):
        self.assertEqual(self.fields("HTTP/1.0").get("content-type"),
                         "text/event-stream; charset=utf-8")

    def r13_the_key_comes_from_the_path_and_is_echoed(self):
        # Overruled by design.md: keys are the host's, none is made up.
        key = "same-stream-id"
        self.server.open(key)
        reader = self.server.reader(key)
        self.assertEqual(reader.response.get("x-stream-id"), key)
        self.assertEqual(reader.ready["stream"], key)
        for field in ("X-Stream-Id", "Stream-Id"):
            other = self.server.reader(key, headers=[(field, "another")])
            self.assertEqual(other.response.get("x-stream-id"), key)

    def r65_the_status_is_decided_before_the_first_byte(self):
        self.server.open(self.key)
        ended = self.key + "-ended"
        self.server.open(ended)
        last = self.server.end(ended).json()["id"]
        cases = [
            (409, self.server.open(self.key, on_duplicate="reject")),
            (404, self.server.ask("GET", "/streams/never")),
            (400, self.server.ask("GET", path(self.key, heartbeat="x"))),
            (204, self.server.ask("GET", path(ended), headers=[
                ("Last-Event-ID", last)])),
        ]
        for status, response in cases:
            self.assertEqual(response.status, status)
            self.assertNotIn(b"data:", response.body)


class Finished(kit.Case):
    def r68_at_the_end_of_what_has_ended_comes_204(self):
        for end in (self.server.end, self.server.fail, self.server.cancel):
            key = self.key + end.__name__
            self.server.publish(key, b"a")
            end(key)
            source = kit.EventSource(self.server, path(key))
            source.run(lambda s: False)
            self.assertEqual(source.closed, 204)
            self.assertEqual(len(source.connections), 1)
            self.assertEqual([e.type for e in source.events][:2],
                             ["weir.ready", "message"])

    def test_the_204(self):
        self.server.open(self.key)
        last = self.server.end(self.key).json()["id"]
        conn = self.server.connect()
        response = conn.ask("GET", path(self.key),
                            headers=[("Last-Event-ID", last)])
        self.assertEqual(response.status, 204)
        # With this type more clients stop.
        self.assertEqual(response.get("content-type"), "text/event-stream")
        self.assertEqual(response.get("cache-control"), "no-store")
        self.assertIsNone(response.get("content-length"))
        # Nothing was left of the connection's framing.
        self.assertEqual(conn.ask("GET", "/healthz").status, 200)

    def test_the_204_says_when_the_connection_closes(self):
        self.server.open(self.key)
        last = self.server.end(self.key).json()["id"]
        conn = self.server.connect()
        response = conn.ask("GET", path(self.key),
                            headers=[("Last-Event-ID", last),
                                     ("Connection", "close")])
        self.assertEqual(response.status, 204)
        self.assertTrue(response.closes)
        self.assertTrue(conn.is_at_end())


@kit.in_memory
class Linger(kit.Case):
    options = ("--linger", "700ms")

    def test_a_stream_stays_for_a_while_and_goes(self):
        self.server.publish(self.key, b"a")
        self.server.end(self.key)
        # It is there, as often as one likes.
        self.assertEqual(len(self.server.reader(self.key).rest()), 3)
        kit.wait_until(lambda: self.server.ask(
            "GET", path(self.key)).status == 404, "404")
        self.status(self.server.ask("GET", path(self.key, "/info")), 404)
        self.status(self.server.end(self.key), 404)
        self.status(self.server.cancel(self.key), 404)
        self.assertEqual(self.server.stats()["streams"], 0)

    def test_then_a_new_generation(self):
        first = self.server.publish_id(self.key, b"a")
        self.server.end(self.key)
        self.status(self.server.publish(self.key, b"late"), 409)
        kit.wait_until(lambda: self.server.ask(
            "GET", path(self.key)).status == 404, "404")
        second = self.server.publish_id(self.key, b"b")
        self.assertEqual(seq_of(second), 1)
        self.assertNotEqual(kit.epoch_of(first), kit.epoch_of(second))
        reader = self.server.reader(self.key, first)
        reader.wait_data("b")
        self.assertEqual(reader.verdict, "foreign")

    def test_an_open_stream_does_not_go(self):
        self.server.publish(self.key, b"a")
        other = self.key + "-ended"
        self.server.open(other)
        self.server.end(other)
        kit.wait_until(lambda: self.server.ask(
            "GET", path(other)).status == 404, "404")
        self.assertEqual(self.server.info(self.key)["status"], "live")


class Keys(kit.Case):
    def there_and_back(self, encoded, key):
        target = "/streams/" + encoded
        response = self.server.ask("PUT", target)
        self.assertIn(response.status, (200, 201), response)
        self.assertEqual(response.json()["stream"], key)
        reader = kit.Reader(self.server, target)
        self.assertEqual(reader.ready["stream"], key)
        self.assertEqual(reader.response.get("x-stream-id"),
                         kit.quote(key, safe="!\"#$&'()*+,/:;<=>?@[\\]^`{|}~"))
        info = self.server.ask("GET", target + "/info")
        self.assertEqual(info.json()["stream"], key)

    def test_are_percent_decoded(self):
        self.there_and_back("plain", "plain")
        self.there_and_back("a%2Fb", "a/b")
        self.there_and_back("a%2fb%2Finfo", "a/b/info")
        self.there_and_back("%61%62", "ab")
        self.there_and_back("a%25b", "a%b")
        self.there_and_back("a+b", "a+b")
        self.there_and_back("a%20b", "a b")
        self.there_and_back("a?x=y".replace("?", "%3F"), "a?x=y")
        self.there_and_back("..", "..")
        self.there_and_back("%2e%2e%2f", "../")
        self.there_and_back("%22%5C", "\"\\")

    def test_are_unicode(self):
        for key in ("Straße", "日本語", "\U0001f30a", "é", "\u202e"):
            self.there_and_back(kit.quote(key, safe=""), key)

    def test_are_one_however_they_are_encoded(self):
        self.server.ask("PUT", "/streams/same")
        response = self.server.ask("PUT", "/streams/%73%61%6d%65")
        self.assertEqual(response.status, 200)

    def test_have_255_bytes_at_most(self):
        for size, status in ((1, 201), (254, 201), (255, 201), (256, 400),
                             (4000, 400)):
            self.assertEqual(self.server.ask(
                "PUT", "/streams/" + "k" * size).status, status, size)
        # Bytes, not characters, and not what they are encoded in.
        self.there_and_back(kit.quote("ß" * 127), "ß" * 127)
        self.assertEqual(self.server.ask(
            "PUT", "/streams/" + kit.quote("ß" * 128)).status, 400)
        self.there_and_back("%6b" * 255, "k" * 255)
        for method, tail in (("GET", ""), ("POST", "/events"), ("GET", "/info"),
                             ("DELETE", ""), ("POST", "/signals")):
            self.status(self.server.ask(
                method, "/streams/" + "k" * 256 + tail), 400)

    def test_have_no_control_characters(self):
        for char in ("%00", "%01", "%0a", "%0D", "%1f", "%7f"):
            for method in ("PUT", "GET", "DELETE"):
                self.status(self.server.ask(
                    method, "/streams/a" + char + "b"), 400)

    def test_are_utf8(self):
        for text in ("%ff", "%c0%af", "%ed%a0%80", "a%80"):
            self.status(self.server.ask("PUT", "/streams/" + text), 400)

    def test_are_well_formed(self):
        for text in ("%", "%4", "%zz", "a%2", "a%-1", "%%41"):
            for method in ("PUT", "GET"):
                self.status(self.server.ask(method, "/streams/" + text), 400)

    def test_are_there(self):
        for target in ("/streams", "/streams/", "/streams//events",
                       "/streams//info", "/streams/?x=y", "/streams/a/",
                       "/streams/a/other", "/streams/a/events/", "/nothing",
                       "/streams/a/info/more", "//", "/stats/", "/streamsx/a"):
            self.status(self.server.ask("GET", target), 404)

    def f08_keys_are_not_taken_from_cursors(self):
        # A cursor of another stream fails closed: nothing of that stream is
        # shown, and nothing of this one left out.
        other = self.server.publish_id(self.key + "-other", b"secret")
        self.server.publish(self.key, b"public")
        reader = self.server.reader(self.key, other)
        reader.wait_data("public")
        self.assertEqual([e.type for e in reader.events],
                         ["weir.gap", "weir.ready", "message"])
        self.assertNotIn(b"secret", reader.raw)


class Looks(kit.Case):
    def test_info(self):
        made = self.server.open(self.key).json()
        info = self.server.info(self.key)
        self.assertEqual(info, {
            "stream": self.key, "generation": made["generation"],
            "epoch": made["epoch"], "status": "live", "failed": False,
            "trimmed": 0, "last": 0, "ended": 0, "pending": 0,
            "subscribers": 0, "events": 0, "signals": 0, "dropped": 0,
            "resident": info["resident"]})
        self.server.publish(self.key, b"a")
        reader = self.server.reader(self.key)
        reader.ready
        self.server.signal_to(self.key, b"s")
        info = self.server.info(self.key)
        self.assertEqual((info["last"], info["subscribers"], info["events"],
                          info["signals"]), (1, 1, 1, 1))
        reader.reset()
        self.server.fail(self.key)
        info = self.server.info(self.key)
        self.assertEqual((info["status"], info["failed"], info["ended"],
                          info["last"]), ("ended", True, 2, 2))
        self.status(self.server.ask("GET", path("never", "/info")), 404)

    def test_info_makes_nothing(self):
        before = self.server.stats()["streams"]
        self.server.ask("GET", path(self.key, "/info"))
        self.server.ask("GET", path(self.key))
        self.assertEqual(self.server.stats()["streams"], before)

    def test_stats(self):
        before = self.server.stats()
        self.server.publish(self.key, b"a")
        self.server.signal_to(self.key, b"a")
        reader = self.server.reader(self.key)
        reader.wait("message")
        after = self.server.stats()
        for name, more in (("streams", 1), ("subscribers", 1),
                           ("opens_total", 1), ("attaches_total", 1),
                           ("events_total", 1), ("signals_total", 1),
                           ("delivered_events_total", 1)):
            self.assertEqual(after[name] - before[name], more, name)
        self.assertEqual(after["verdicts"]["fresh"],
                         before["verdicts"]["fresh"] + 1)
        self.assertGreater(after["sent_bytes_total"], 0)
        self.assertEqual(sorted(after["verdicts"]), [
            "ahead", "evicted", "finished", "foreign", "fresh", "malformed",
            "resumed", "rewound", "unknown"])

    def f01_verdicts_are_counted(self):
        before = self.server.stats()["verdicts"]
        cursor = self.server.publish_id(self.key, b"a")
        for text in ("", cursor, "b-1", "?", cursor[:-1] + "9"):
            self.server.reader(self.key, text).ready
        after = self.server.stats()["verdicts"]
        for name in ("fresh", "resumed", "foreign", "malformed", "ahead"):
            self.assertEqual(after[name] - before[name], 1, name)

    def test_healthz(self):
        response = self.status(self.server.ask("GET", "/healthz"), 200)
        self.assertEqual(response.json(), {"status": "ok"})

    def test_metrics_are_prometheus_text(self):
        self.server.publish(self.key, b"a")
        response = self.server.ask("GET", "/metrics")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.get("content-type"),
                         "text/plain; version=0.0.4; charset=utf-8")
        values, kinds, helped = {}, {}, set()
        text = response.body.decode("utf-8")
        self.assertTrue(text.endswith("\n"))
        for line in text[:-1].split("\n"):
            match = re.fullmatch(r"# HELP ([a-z_]+) [^\\]+", line)
            if match:
                self.assertNotIn(match.group(1), helped)
                helped.add(match.group(1))
                continue
            match = re.fullmatch(r"# TYPE ([a-z_]+) (counter|gauge)", line)
            if match:
                self.assertNotIn(match.group(1), kinds)
                kinds[match.group(1)] = match.group(2)
                last = match.group(1)
                continue
            match = re.fullmatch(
                r'([a-z_]+)(\{[a-z]+="[^"\\]*"\})? ([0-9]+)', line)
            self.assertTrue(match, line)
            # Samples of one name stand together, below what is said of it.
            self.assertEqual(match.group(1), last)
            name = match.group(1) + (match.group(2) or "")
            self.assertNotIn(name, values)
            values[name] = int(match.group(3))
            self.assertEqual(kinds[match.group(1)] == "counter",
                             match.group(1).endswith("_total"))
        self.assertEqual(helped, set(kinds))
        self.assertGreaterEqual(values["weir_events_total"], 1)
        self.assertIn('weir_verdicts_total{verdict="fresh"}', values)
        # They say what /stats says.
        for name, value in self.server.stats().items():
            if name.endswith("_total"):
                self.assertIn("weir_" + name, values)

    @unittest.skipUnless(
        os.path.exists(os.path.join(kit.ROOT, "examples", "server", "page",
                                    "index.html")), "there is no page yet")
    def test_the_page(self):
        response = self.server.ask("GET", "/")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.get("content-type"),
                         "text/html; charset=utf-8")
        self.assertIn("default-src 'self'",
                      response.get("content-security-policy"))
        self.assertEqual(response.get("x-content-type-options"), "nosniff")
        for name in re.findall(r'(?:src|href)="/?([a-z0-9.-]+\.(?:js|css))"',
                               response.body.decode()):
            part = self.server.ask("GET", "/" + name)
            self.assertEqual(part.status, 200, name)
            self.assertIn("text/", part.get("content-type"))


class Sequences(kit.Case):
    def r52_streams_one_after_the_other_do_not_meet(self):
        generations = set()
        for i in range(3):
            made = self.server.open(self.key)
            self.assertEqual(made.status, 201)
            generations.add(made.json()["generation"])
            self.server.publish(self.key, b"%d" % i)
            self.server.end(self.key)
            events = self.server.reader(self.key).rest()
            self.assertEqual([e.data for e in events[1:-1]], [str(i)])
        self.assertEqual(len(generations), 3)

    def f17_detach_and_cancel_are_two_things(self):
        self.server.open(self.key)
        reader = self.server.reader(self.key)
        reader.ready
        reader.reset()
        kit.wait_until(lambda: self.server.info(self.key)["subscribers"] == 0)
        self.assertEqual(self.server.info(self.key)["status"], "live")
        self.server.cancel(self.key)
        self.assertEqual(self.server.info(self.key)["status"], "ended")

    def r04_replayed_bytes_are_live_bytes(self):
        self.server.open(self.key)
        live = self.server.reader(self.key)
        live.ready
        for i in range(20):
            self.server.publish(self.key, b"x\n" * i, type="t%d" % i)
        self.server.end(self.key)
        live.rest()
        replay = self.server.reader(self.key)
        replay.rest()
        self.assertEqual(live.frames[1:], replay.frames[1:])


class Demo(kit.Case):
    def start(self, **query):
        return self.server.ask(
            "POST", "/demo/%s?%s" % (self.key, kit.urlencode(query)))

    def test_types_an_answer(self):
        self.status(self.start(interval=1), 201)
        reader = self.server.reader(self.key)
        events = reader.rest()
        self.assertEqual(events[-1].type, "weir.done")
        self.assertEqual(json.loads(events[-1].data)["reason"], "complete")
        text = "".join(e.data for e in reader.of("token"))
        self.assertTrue(text.startswith("A weir is a low wall"))
        kit.check_order(events, signals=("status",))

    def test_fails(self):
        self.status(self.start(script="fail", interval=1), 201)
        failed = self.server.reader(self.key).rest()[-1]
        self.assertEqual(failed.type, "weir.failed")
        self.assertEqual(json.loads(failed.data)["code"], "demo_failed")

    def test_is_joined_replaced_or_rejected(self):
        self.status(self.start(interval=10000), 201)
        self.status(self.start(interval=1), 200)
        self.status(self.start(on_duplicate="reject"), 409)
        # Who joins does not type, too: not for as long as another types all.
        self.server.ask("POST", "/demo/another?interval=1")
        self.server.reader("another").rest()
        self.assertEqual(self.server.info(self.key)["last"], 0)
        reader = self.server.reader(self.key)
        reader.ready
        self.status(self.start(on_duplicate="replace", interval=1), 201)
        self.assertEqual(json.loads(reader.rest()[-1].data)["reason"],
                         "replaced_by_new_stream")
        self.assertEqual(self.server.reader(self.key).rest()[-1].type,
                         "weir.done")

    def test_is_cancelled(self):
        self.start(interval=1)
        self.server.cancel(self.key)
        last = self.server.info(self.key)["last"]
        self.assertEqual(json.loads(
            self.server.reader(self.key).rest()[-1].data)["reason"],
            "cancelled")
        self.assertEqual(self.server.info(self.key)["last"], last)

    def test_is_cut(self):
        self.start(interval=10000)
        reader = self.server.reader(self.key, client="me")
        other = self.server.reader(self.key, client="you")
        reader.ready
        other.ready
        response = self.server.ask(
            "POST", "/demo/%s/cut?client=me" % self.key)
        self.assertEqual(response.json(), {"cut": 1})
        with self.assertRaises(ConnectionResetError):
            reader.rest()
        self.server.publish(self.key, b"still there")
        other.wait_data("still there")
        self.server.cancel(self.key)

    def test_wants_words_it_knows(self):
        for query in ({"script": "sing"}, {"interval": 0},
                      {"interval": 10001}, {"interval": "1s"}):
            self.status(self.start(**query), 400)


if __name__ == "__main__":
    unittest.main()
