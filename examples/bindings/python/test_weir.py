# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""The scenario that every binding passes; see ../README.md."""
import ctypes
import gc
import os
import sys
import threading
import time
import unittest

import weir

WORDS = {"int": weir.c_int, "int32": weir.int32, "uint32": weir.uint32,
         "uint64": weir.uint64, "size": weir.size, "void": None}


def word(type):
    """What a type is to the listing: one of WORDS, or a pointer."""
    if type is not None and issubclass(type, ctypes.Array):
        type = type._type_
    return type if type in WORDS.values() else "pointer"


def frames(data):
    """The frames in some bytes: (id, type, data)."""
    for frame in data.decode().split("\n\n")[:-1]:
        fields = {"id": "", "event": "message"}
        for line in frame.split("\n"):
            name, _, value = line.partition(": ")
            fields[name] = (fields["data"] + "\n" + value
                            if name == "data" and name in fields else value)
        yield fields["id"], fields["event"], fields["data"]


def types(data):
    return [type for _, type, _ in frames(data)]


class Interface(unittest.TestCase):
    def test_it_agrees_with_the_headers(self):
        fields, structs, calls, values = {}, {}, {}, {}
        with open(os.environ["WEIR_ABI"], encoding="ascii") as lines:
            for kind, name, *rest in map(str.split, lines):
                if kind == "size":
                    structs[name] = int(rest[0])
                elif kind == "field":
                    fields.setdefault(name, []).append(
                        (rest[0], int(rest[1]), int(rest[2]),
                         WORDS.get(rest[3], rest[3])))
                elif kind == "version":
                    version = name
                elif kind == "value":
                    values[name] = int(rest[0])
                else:
                    calls[name] = rest
        mirrored = [struct for struct in ctypes.Structure.__subclasses__()
                    if struct.__module__ == "weir"]
        self.assertTrue(mirrored)
        for struct in mirrored:
            name = struct.__name__
            self.assertEqual(ctypes.sizeof(struct), structs[name], name)
            ours = [(field, getattr(struct, field).offset,
                     getattr(struct, field).size, word(type))
                    for field, type in struct._fields_]
            self.assertEqual(ours, fields[name], name)
        for name, types in weir.CALLS.items():
            self.assertEqual([word(type) for type in types],
                             [WORDS.get(of, of) for of in calls[name]], name)
        for name, value in weir.CONSTANTS.items():
            self.assertEqual(value, values["WEIR_" + name], name)
        self.assertEqual(weir.version(), version)


class Scenario(unittest.TestCase):
    def setUp(self):
        self.hub = weir.Hub(history_events=4)
        self.addCleanup(self.hub.close)

    def fails(self, code, call, *args, **options):
        with self.assertRaises(weir.Error) as failed:
            call(*args, **options)
        self.assertEqual(failed.exception.code, code)
        self.assertTrue(str(failed.exception))

    def attach(self, key, **options):
        """Attach a client: the response, and all that it reads."""
        response = self.hub.attach(key, **options)
        return response, response.subscriber.read()

    def test_publish(self):
        stream = self.hub.open("a/1")
        self.assertEqual(stream.publish("Hello", type="token"), 1)
        response, data = self.attach("a/1")
        self.assertEqual((response.status, response.verdict), (200, "fresh"))
        self.assertTrue(response.head.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertIn(("X-Stream-Id", "a/1"), response.fields)
        self.assertEqual(types(data), ["weir.ready", "token"])
        self.assertIsNone(response.subscriber.read())
        self.assertEqual(list(self.hub.notices()), [])

        text = "two\nlines and an \u00fcmlaut"
        self.assertEqual(stream.publish(text), 2)
        self.assertEqual(stream.signal("{}", "typing", weir.EVENT_JSON), 1)
        notice, = self.hub.notices()
        self.assertEqual(notice.kind, weir.NOTICE_READABLE)
        self.assertIs(notice.source, response.subscriber)
        event, signal = frames(response.subscriber.read())
        self.assertEqual(event[1:], ("message", text))
        self.assertEqual(signal, ("", "typing", "{}"))

    def test_the_longest_key(self):
        key = "\u6f22" * 85
        self.hub.open(key)
        response, _ = self.attach(key)
        self.assertEqual(dict(response.fields)["X-Stream-Id"],
                         "%E6%BC%A2" * 85)
        self.assertIn(("Connection", "close"), response.fields)

    def test_drop_and_resume(self):
        stream = self.hub.open("a/1")
        for word in ("one", "two", "three"):
            stream.publish(word)
        response, data = self.attach("a/1")
        seen = list(frames(data))[:3]  # the third event is lost on the way
        response.subscriber.close()
        stream.publish("four")

        response, data = self.attach("a/1", last_event_id=seen[-1][0])
        self.assertEqual(response.verdict, "resumed")
        ready, *rest = frames(data)
        self.assertEqual(ready[0], seen[-1][0])
        self.assertEqual([data for _, _, data in rest], ["three", "four"])
        response, data = self.attach(
            "a/1", query="lastEventId=" + seen[-1][0])
        self.assertEqual(response.verdict, "resumed")

    def test_gap(self):
        stream = self.hub.open("a/1")
        stream.publish("1")
        _, data = self.attach("a/1")
        first = list(frames(data))[-1][0]
        for i in range(2, 8):
            stream.publish(str(i))
        for cursor, verdict in ((first, "evicted"), ("b-1", "foreign"),
                                ("?", "malformed")):
            response, data = self.attach("a/1", last_event_id=cursor)
            self.assertEqual(response.verdict, verdict)
            gap, ready, *rest = frames(data)
            self.assertEqual((gap[1], ready[1]), ("weir.gap", "weir.ready"))
            self.assertEqual(gap[0], ready[0])
            self.assertEqual([data for _, _, data in rest],
                             ["4", "5", "6", "7"])

    def test_replace(self):
        old = self.hub.open("a/1")
        response, _ = self.attach("a/1", client="tab")
        # A client that comes twice: the older connection is told to go.
        again, _ = self.attach("a/1", client="tab")
        notice, = self.hub.notices()
        self.assertEqual((notice.kind, notice.source),
                         (weir.NOTICE_CLOSING, response.subscriber))
        self.assertEqual(types(response.subscriber.read()), ["weir.closing"])
        self.assertEqual(response.subscriber.read(), b"")

        new = self.hub.open("a/1", on_duplicate=weir.DUPLICATE_REPLACE)
        kinds = {notice.kind for notice in self.hub.notices()
                 if notice.source is old}
        self.assertEqual(kinds, {weir.NOTICE_CANCELLED, weir.NOTICE_ENDED})
        data = again.subscriber.read()
        self.assertEqual(types(data), ["weir.done"])
        self.assertIn(b"replaced_by_new_stream", data)
        self.assertEqual(again.subscriber.read(), b"")
        self.fails(weir.EENDED, old.publish, "late")
        self.assertEqual(new.publish("first"), 1)
        self.fails(weir.EEXISTS, self.hub.open, "a/1",
                   on_duplicate=weir.DUPLICATE_REJECT)

    def test_end(self):
        stream = self.hub.open("a/1")
        stream.publish("last")
        self.assertEqual(stream.end(), 2)
        response, data = self.attach("a/1")
        self.assertEqual(types(data), ["weir.ready", "message", "weir.done"])
        self.assertEqual(response.subscriber.read(), b"")
        end = list(frames(data))[-1][0]
        response = self.hub.attach("a/1", last_event_id=end)
        self.assertEqual((response.status, response.verdict),
                         (204, "finished"))
        self.assertIsNone(response.subscriber)
        self.assertTrue(response.head.startswith(b"HTTP/1.1 204 "))

        stream = self.hub.open("a/2")
        stream.fail("overloaded", "Try again later.")
        response, data = self.attach("a/2")
        self.assertEqual(types(data), ["weir.ready", "weir.failed"])

    def test_shown_out(self):
        stream = self.hub.open("a/1")
        response, _ = self.attach("a/1")
        response.subscriber.dismiss("moved", 5000)
        data = response.subscriber.read()
        self.assertEqual(types(data), ["weir.closing"])
        self.assertIn(b'"reason":"moved"', data)
        self.assertIn(b"retry: 5", data)
        self.assertEqual(response.subscriber.read(), b"")

        response, _ = self.attach("a/1")
        stream.cancel("stopped")
        self.assertIn(b'"reason":"stopped"', response.subscriber.read())

    def test_refusals(self):
        self.assertEqual(self.hub.attach("a/1").status, 404)
        stream = self.hub.open("a/1")
        self.fails(weir.ERESERVED, stream.publish, "x", type="open")
        self.fails(weir.EUTF8, stream.publish, b"\xff")
        self.fails(weir.EINVAL, self.hub.open, "")
        for option in ({"no_such_option": 1}, {"idle": "1"}, {"user": 1}):
            with self.assertRaises(TypeError):
                self.hub.open("a/2", **option)
        subscriber = self.hub.attach("a/1").subscriber
        for call, options in (
                (self.hub.open, {"key": "a/2", "linger": -1}),
                (self.hub.open, {"key": "a/2", "linger": 2 ** 64}),
                (self.hub.open, {"key": "a/2", "on_duplicate": 2 ** 32}),
                (stream.publish, {"data": "x", "flags": 2 ** 32}),
                (subscriber.read, {"most": -1}),
                (subscriber.dismiss, {"retry": 2 ** 32 + 2000}),
                (self.hub.drain, {"over": -1}),
                (self.hub.drain, {"over": 1, "retry": 2 ** 32 + 2000})):
            with self.assertRaises(OverflowError):
                call(**options)
        self.assertEqual(self.hub.attach("a/2").status, 404)
        self.hub.open("a/2", label=2 ** 64 - 1)

        self.hub.drain(0, 7000)
        response = self.hub.attach("a/1")
        self.assertEqual((response.status, response.subscriber), (200, None))
        self.assertEqual(types(response.body), ["weir.closing"])
        self.assertIn(b"retry: 7", response.body)

    def test_time(self):
        self.assertIsNone(self.hub.timeout())
        stream = self.hub.open("a/1", first_event=1,
                               on_first_event=weir.ACTION_FAIL)
        told = []
        while not told:
            time.sleep(self.hub.timeout())
            told = list(self.hub.notices())
        self.assertEqual((told[0].kind, told[0].source, told[0].timer),
                         (weir.NOTICE_EXPIRED, stream,
                          weir.TIMER_FIRST_EVENT))
        self.assertEqual((told[1].kind, told[1].seq), (weir.NOTICE_ENDED, 1))

    def test_handles_outlive_the_hub(self):
        stream = self.hub.open("a/1")
        response, _ = self.attach("a/1")
        self.hub.close()
        self.fails(weir.EGONE, stream.publish, "x")
        self.fails(weir.EGONE, response.subscriber.read)
        self.fails(weir.EGONE, self.hub.open, "a/1")
        self.assertEqual(list(self.hub.notices()), [])
        stream.close()
        stream.close()
        self.fails(weir.EGONE, stream.publish, "x")

    def test_threads(self):
        """Each gets its own bytes, though all share the hub."""
        wrong = []

        def follow(word):
            stream = self.hub.open(word)
            for _ in range(500):
                stream.publish(word * 20)
                response, data = self.attach(word)
                response.subscriber.close()
                if {data for *_, data in list(frames(data))[1:]} != {word * 20}:
                    wrong.append(word)

        interval = sys.getswitchinterval()
        self.addCleanup(sys.setswitchinterval, interval)
        sys.setswitchinterval(1e-6)
        threads = [threading.Thread(target=follow, args=(word,))
                   for word in ("one", "two", "three", "four")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_closing_in_another_thread(self):
        """What a call uses stays until it has come back."""
        stream = self.hub.open("a/1")
        with self.hub._lock:  # as a call has it
            closing = threading.Thread(target=stream.close)
            closing.start()
            closing.join(0.05)
            self.assertEqual(stream.publish("x"), 1)
        closing.join()
        self.fails(weir.EGONE, stream.publish, "x")

    def test_a_hub_that_is_refused(self):
        told = []
        self.addCleanup(setattr, sys, "unraisablehook", sys.unraisablehook)
        sys.unraisablehook = told.append
        with self.assertRaises(TypeError):
            weir.Hub(no_such_option=1)
        gc.collect()
        self.assertEqual(told, [])

    def test_what_is_dropped_is_released(self):
        stream = self.hub.open("a/1")
        response, _ = self.attach("a/1")
        self.assertEqual(stream.signal("x", "s"), 1)
        del response
        self.assertEqual(stream.signal("x", "s"), 0)


if __name__ == "__main__":
    unittest.main()
