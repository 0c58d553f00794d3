# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""The asyncio server, from outside: sockets, over loopback."""
import asyncio
import faulthandler
import json
import socket
import unittest

import server
import weir

QUESTION = "How does a weir hold a stream back without ever losing a drop?"
WORDS = [word + " " for word in ("You asked: " + QUESTION).split()]


class Client:
    """One request, and what comes of it."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.last_id = ""

    @classmethod
    async def ask(cls, port, method, path, body="", last_id="", **options):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, **options)
        writer.write(("%s %s HTTP/1.1\r\nHost: localhost\r\n%s"
                      "Content-Length: %d\r\n\r\n%s" % (
                          method, path,
                          last_id and "Last-Event-ID: %s\r\n" % last_id,
                          len(body), body)).encode())
        client = cls(reader, writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        client.status = int(head.split(" ")[1])
        return client

    async def frame(self):
        """The next frame: (type, data); comments are none. None: the end."""
        type, data = "message", []
        while True:
            line = await self.reader.readline()
            if not line:
                return None
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "event":
                type = value
            elif name == "data":
                data.append(value)
            elif not name and data:
                return type, "\n".join(data)

    async def frames(self):
        all = []
        while True:
            frame = await self.frame()
            if frame is None:
                return all
            all.append(frame)

    def drop(self):
        self.writer.transport.abort()


class ServerTest(unittest.IsolatedAsyncioTestCase):
    options = {}

    async def asyncSetUp(self):
        self.hub = weir.Hub()
        self.server = server.Server(self.hub, pause=0.005, **self.options)
        self.port = await self.server.begin()
        self.clients = []

    async def asyncTearDown(self):
        for client in self.clients:
            client.drop()
        if self.server:
            await self.server.close()

    async def ask(self, *request, **options):
        client = await Client.ask(self.port, *request, **options)
        self.clients.append(client)
        return client

    async def status(self, *request, **options):
        return (await self.ask(*request, **options)).status


class Answers(ServerTest):
    async def test_a_reader_that_drops_after_every_word(self):
        self.assertEqual(await self.status("POST", "/answers/1", QUESTION), 201)
        words, last_id = [], ""
        while True:
            client = await self.ask("GET", "/answers/1", last_id=last_id)
            self.assertEqual(client.status, 200)
            type, data = await client.frame()
            self.assertEqual(type, "weir.ready")
            self.assertEqual(json.loads(data)["verdict"],
                             "resumed" if last_id else "fresh")
            type, data = await client.frame()
            last_id = client.last_id
            client.drop()
            if type == "weir.done":
                break
            self.assertEqual(type, "token")
            words.append(data)
        self.assertEqual(words, WORDS)
        self.assertEqual(
            await self.status("GET", "/answers/1", last_id=last_id), 204)

    async def test_readers_at_the_same_time(self):
        await self.ask("POST", "/answers/1", QUESTION)
        clients = [await self.ask("GET", "/answers/1") for _ in range(20)]
        for frames in await asyncio.gather(*(c.frames() for c in clients)):
            types, texts = zip(*frames)
            self.assertEqual(types, ("weir.ready", *["token"] * len(WORDS),
                                     "weir.done"))
            self.assertEqual(texts[1:-1], tuple(WORDS))

    async def test_it_goes_on_without_readers(self):
        await self.ask("POST", "/answers/1", QUESTION)
        client = await self.ask("GET", "/answers/1")
        await client.frame()
        client.drop()
        while self.server.answers:
            await asyncio.sleep(0.005)
        client = await self.ask("GET", "/answers/1", last_id=client.last_id)
        frames = await client.frames()
        self.assertEqual([data for _, data in frames[1:-1]], WORDS)

    async def test_stop(self):
        self.server.pause = 3600
        await self.ask("POST", "/answers/1", QUESTION)
        client = await self.ask("GET", "/answers/1")
        self.assertEqual(await self.status("DELETE", "/answers/1"), 204)
        *_, (type, data) = await client.frames()
        self.assertEqual(type, "weir.done")
        self.assertEqual(json.loads(data)["reason"], "cancelled")
        while self.server.answers:
            await asyncio.sleep(0.005)
        self.assertEqual(await self.status("DELETE", "/answers/1"), 404)

    async def test_refusals(self):
        self.server.pause = 3600
        self.assertEqual(await self.status("GET", "/"), 200)
        self.assertEqual(await self.status("GET", "/elsewhere"), 404)
        self.assertEqual(await self.status("GET", "/answers/1"), 404)
        self.assertEqual(await self.status("POST", "/answers/1", "?"), 201)
        self.assertEqual(await self.status("POST", "/answers/1", "?"), 409)
        self.assertEqual(await self.status("POST", "/answers/%00"), 400)
        self.assertEqual(await self.status("GET", "/answers/%00"), 400)
        self.assertEqual(await self.status("PUT", "/answers/1"), 405)
        for length, status in ((10000, 201), (10001, 413), (1000000, 413)):
            self.assertEqual(
                await self.status("POST", "/answers/2", "x" * length), status)

    async def test_a_client_that_says_nothing_is_sent_away(self):
        self.server.patience = 0.01
        for said in (b"", b"POST /answers/1 HTTP/1.1\r\n"
                     b"Content-Length: 1\r\n\r\n"):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.port)
            writer.write(said)
            self.assertEqual(await reader.read(), b"")
            writer.close()

    async def test_a_client_that_leaves_while_nothing_is_said(self):
        stream = self.hub.open("answers/1")
        client = await self.ask("GET", "/answers/1")
        await client.frame()
        self.assertEqual(stream.signal("x", "s"), 1)
        client.writer.close()
        while stream.signal("x", "s"):
            await asyncio.sleep(0.005)
        self.assertEqual(self.server.readers, {})

    async def test_closing_the_server(self):
        self.server.pause = 3600
        await self.ask("POST", "/answers/1", QUESTION)
        client = await self.ask("GET", "/answers/1")
        reading = asyncio.ensure_future(client.frames())
        while not self.server.readers:
            await asyncio.sleep(0.005)
        closing = asyncio.ensure_future(self.server.close())
        *_, (type, data) = await reading
        self.assertEqual(type, "weir.closing")
        self.assertEqual(json.loads(data)["reason"], "draining")
        await closing
        with self.assertRaises(OSError):
            await self.ask("GET", "/")
        self.server = None

    async def test_closing_the_server_waits_for_nobody_for_ever(self):
        self.server.patience = 3600
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while not self.server.tasks:
            await asyncio.sleep(0.005)
        self.server.patience = 0.01
        await self.server.close()
        self.server = None
        self.assertEqual(await reader.read(), b"")
        writer.close()


class Slow(ServerTest):
    options = {"stall": 100}

    async def test_a_client_that_stops_reading_is_cut_off(self):
        stream = self.hub.open("answers/1")
        client = socket.create_connection(("127.0.0.1", self.port))
        self.addCleanup(client.close)
        client.sendall(b"GET /answers/1 HTTP/1.1\r\n\r\n")
        while not self.server.readers:
            await asyncio.sleep(0.005)
        for _ in range(300):  # more than all buffers on the way hold
            stream.publish("x" * 100000)
        self.server.called.set()
        while self.server.readers:
            await asyncio.sleep(0.005)
        while self.server.tasks:
            await asyncio.sleep(0.005)


if __name__ == "__main__":
    faulthandler.dump_traceback_later(120, exit=True)  # where it waits
    unittest.main()
