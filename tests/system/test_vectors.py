# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""The vectors in tests/vectors, through the server and the kit's decoder."""
import base64
import json
import os
import unittest
from urllib.parse import quote

import kit
from kit import path

VECTORS = os.path.join(kit.ROOT, "tests", "vectors")


def rows(name):
    with open(os.path.join(VECTORS, name), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


class Encode(kit.Case):
    """What is published comes out as the same event."""

    def fields(self, row):
        return {name: base64.b64decode(value["b64"])
                for name, value in row["fields"].items()
                if isinstance(value, dict)}

    def post(self, key, fields):
        target = path(key, "/events") + "?x=y"
        if "event" in fields:
            target += "&type=" + quote(fields["event"])
        return self.server.ask("POST", target, fields["data"])

    def test_rows_that_are_events(self):
        good = [row for row in rows("encode.jsonl") if "expect" in row]
        self.assertGreater(len(good), 10)
        for i, row in enumerate(good):
            with self.subTest(row["name"]):
                key = "%s-%d" % (self.key, i)
                response = self.post(key, self.fields(row))
                self.status(response, 201)
                self.server.end(key)
                events = self.server.reader(key).rest()
                self.assertEqual(len(events), 3)
                # The id is the log's, whatever the row has.
                self.assertEqual(events[1].type, row["expect"][0]["event"])
                self.assertEqual(events[1].data, row["expect"][0]["data"])
                self.assertEqual(events[1].id, response.json()["id"])

    def test_rows_that_are_refused(self):
        bad = [row for row in rows("encode.jsonl") if "reject" in row]
        tried = 0
        for row in bad:
            fields = self.fields(row)
            if "id" in fields:
                # No request can put an id on an event, bad or good.
                continue
            with self.subTest(row["name"]):
                self.status(self.post(self.key, fields), 400)
                tried += 1
        self.assertGreaterEqual(tried, 4)
        self.assertEqual(self.server.ask(
            "GET", path(self.key, "/info")).status, 404)

    def r01_the_bytes_of_an_event(self):
        cursor = self.server.publish_id(self.key, b'{"n": 1}',
                                        type="job.event")
        reader = self.server.reader(self.key)
        reader.wait("job.event")
        self.assertEqual(reader.frames[-1], "id: %s\nevent: job.event\n"
                         'data: {"n": 1}\n\n' % cursor)


class Decode(unittest.TestCase):
    """The decoder that judges the server is judged itself."""

    def check(self, row, pieces):
        decoder = kit.Decoder()
        events = []
        for piece in pieces:
            events += decoder.feed(piece)
        self.assertEqual(
            [{"event": e.type, "data": e.data, "id": e.id} for e in events],
            row["expect"])
        self.assertEqual(decoder.last_id, row["last_id"])
        self.assertEqual(decoder.retry, row.get("retry"))

    def test_rows_at_every_split(self):
        for row in rows("decode.jsonl"):
            data = base64.b64decode(row["input_base64"])
            with self.subTest("%s: %s" % (row["source"], row["name"])):
                self.check(row, [data])
                if len(data) > 300:
                    continue
                self.check(row, [data[i:i + 1] for i in range(len(data))])
                for at in range(1, len(data)):
                    self.check(row, [data[:at], b"", data[at:]])


if __name__ == "__main__":
    unittest.main()
