# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Seeded chance: requests that are nearly right, and a model to compare with.

A failure names the seed that it can be had again with."""
import random
import unittest

import kit
from kit import path

TIMES = 50 if kit.LONG else 1


class Requests(kit.Case):
    """Whatever comes, the server answers or closes, and lives on."""

    weight = 3

    SEEDS = (
        b"GET /streams/k?from=head&client=a%20b HTTP/1.1\r\nHost: x\r\n"
        b"Last-Event-ID: b-1\r\nAccept: text/event-stream\r\n\r\n",
        b"POST /streams/k/events?type=t&split=lines HTTP/1.1\r\nHost: x\r\n"
        b"Content-Length: 11\r\n\r\nhello\nworld",
        b"POST /streams/k/signals HTTP/1.1\r\nHost: x\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
        b"5;e=\"x\"\r\nhello\r\n6\r\n world\r\n0\r\nT: x\r\n\r\n",
        b"PUT /streams/k?on_duplicate=replace&envelope=json HTTP/1.1\r\n"
        b"Host: x\r\nContent-Length: 0\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\n"
        b"Access-Control-Request-Method: GET\r\n\r\n",
        b"HEAD /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        b"GET http://x/stats HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /streams/k/events HTTP/1.1\r\nHost: x\r\nExpect: 100-continue"
        b"\r\nContent-Length: 3\r\n\r\nabc",
        b"DELETE /streams/%6B HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /streams/k/end?reason=x HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    PIECES = (b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"%", b"%zz",
              b"%00", b"?", b"&", b"/", b"//", b"..", b"\xff", b"\xc3\xa4",
              b"0", b"9" * 30, b"-1", b"x" * 300, b"Content-Length: 5\r\n",
              b"Transfer-Encoding: chunked\r\n", b"Host: y\r\n",
              b"Connection: close\r\n", b"\r\n\r\n", b"HTTP/1.1", b"GET ")

    def mutate(self, chance):
        data = bytearray(chance.choice(self.SEEDS))
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(data) + 1)
            what = chance.randrange(5)
            if what == 0:
                data[at:at] = chance.choice(self.PIECES)
            elif what == 1:
                del data[at:at + chance.randrange(1, 20)]
            elif what == 2 and at < len(data):
                data[at] = chance.randrange(256)
            elif what == 3:
                other = chance.randrange(len(data) + 1)
                data[at:at] = data[min(at, other):max(at, other)]
            else:
                data += chance.choice(self.SEEDS)
        return bytes(data)

    def test_requests_that_are_nearly_right(self):
        for seed in range(1500 * TIMES):
            chance = random.Random(seed)
            data = self.mutate(chance)
            conn = kit.Connection(self.server.address)
            try:
                at = chance.randrange(len(data) + 1)
                conn.send(data[:at])
                conn.send(data[at:])
                conn.half_close()
                answer = conn.read_to_end()
            except ConnectionError:
                # It has closed with bytes of ours unread.
                answer = b""
            finally:
                conn.close()
            if answer:
                self.assertTrue(answer.startswith(b"HTTP/1.1 "),
                                (seed, data, answer[:200]))
        self.server.wait_stats(connections=1, subscribers=0, pending=0)


class Model(kit.Case):
    """Random requests, and what each has to be answered with."""

    weight = 3
    KEYS = ("a", "b", "ü/%")

    def test_against_a_model(self):
        for seed in range(8 * TIMES):
            chance = random.Random(seed)
            # Per key: None, or [generations, ended, the data of its events].
            self.model = {key: None for key in self.KEYS}
            with self.subTest(seed=seed), kit.Server() as self.own:
                for _ in range(150):
                    getattr(self, chance.choice((
                        "open", "publish", "publish", "publish", "split",
                        "signal", "end", "cancel", "info", "read")))(
                            chance, chance.choice(self.KEYS))

    def expect(self, response, status):
        self.assertEqual(response.status, status, response)
        return response

    def is_live(self, key):
        return self.model[key] is not None and not self.model[key][1]

    def open(self, chance, key):
        how = chance.choice(("join", "replace", "reject"))
        response = self.own.open(key, on_duplicate=how)
        if not self.is_live(key) or how == "replace":
            self.expect(response, 201)
            self.model[key] = [response.json()["generation"], False, []]
        elif how == "join":
            self.expect(response, 200)
            self.assertEqual(response.json()["generation"],
                             self.model[key][0])
        else:
            self.expect(response, 409)

    def add(self, key, response, data):
        if self.model[key] is None:
            self.model[key] = [kit.epoch_of(response.json()["id"]), False, []]
        self.model[key][2] += data
        self.assertEqual(response.json()["id"], "%s-%d" % (
            self.model[key][0], len(self.model[key][2])))

    def publish(self, chance, key):
        data = "x" * chance.randrange(3000)
        response = self.own.publish(key, data.encode())
        if self.model[key] is not None and self.model[key][1]:
            self.expect(response, 409)
        else:
            self.add(key, self.expect(response, 201), [data])

    def split(self, chance, key):
        lines = ["y" * chance.randrange(50)
                 for _ in range(chance.randrange(1, 20))]
        response = self.own.publish(
            key, "".join(line + "\n" for line in lines).encode(),
            split="lines")
        if self.model[key] is not None and self.model[key][1]:
            self.expect(response, 409)
        else:
            self.add(key, self.expect(response, 201), lines)

    def signal(self, chance, key):
        self.expect(self.own.signal_to(key, b"s"),
                    404 if self.model[key] is None
                    else 202 if self.is_live(key) else 409)

    def end(self, chance, key):
        act = chance.choice((self.own.end, self.own.fail))
        response = self.expect(act(key), 404 if self.model[key] is None
                               else 200 if self.is_live(key) else 409)
        if response.status == 200:
            self.add(key, response, [None])
            self.model[key][1] = True

    def cancel(self, chance, key):
        response = self.expect(self.own.cancel(key),
                               404 if self.model[key] is None else 200)
        if response.status == 200:
            self.assertEqual(response.json()["cancelled"], self.is_live(key))
            if self.is_live(key):
                self.model[key][1] = True
                self.model[key][2] += [None]

    def info(self, chance, key):
        response = self.own.ask("GET", path(key, "/info"))
        if self.model[key] is None:
            self.expect(response, 404)
            return
        generation, ended, data = self.model[key]
        said = self.expect(response, 200).json()
        self.assertEqual((said["generation"], said["last"], said["ended"]),
                         (generation, len(data), len(data) if ended else 0))

    def read(self, chance, key):
        if self.model[key] is None:
            self.expect(self.own.ask("GET", path(key)), 404)
            return
        generation, ended, data = self.model[key]
        after = chance.randrange(len(data) + 1)
        if after == len(data) and ended:
            self.expect(self.own.ask("GET", path(key), headers=[
                ("Last-Event-ID", "%s-%d" % (generation, after))]), 204)
            return
        reader = self.own.reader(key, "%s-%d" % (generation, after))
        reader.until(lambda r: len(r.events) == 1 + len(data) - after)
        self.assertEqual(reader.verdict, "resumed")
        kit.check_order(reader.events)
        self.assertEqual([e.data for e in reader.of("message")],
                         [d for d in data[after:] if d is not None])
        reader.close()


if __name__ == "__main__":
    unittest.main()
