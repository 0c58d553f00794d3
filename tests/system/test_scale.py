# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Ten thousand readers are ordinary."""
import os
import resource
import select
import socket
import unittest

import kit
from kit import path

READERS = 10000
STREAMS = 200
EVENTS = 5


def raise_limit(wanted):
    """Let this process have so many descriptors; how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


class Crowd:
    """Many readers in one thread: sockets, and the bytes that came."""

    def __init__(self, server, targets):
        self.poll = select.epoll() if hasattr(select, "epoll") else None
        self.socks = {}
        self.bytes = {}
        self.ended = set()
        for i, (key, target) in enumerate(targets):
            sock = socket.socket()
            # The server closes first, and TIME_WAIT would be its own.
            sock.connect(server.address)
            sock.send(("GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
                       % target).encode())
            sock.setblocking(False)
            self.socks[sock.fileno()] = (sock, key)
            self.bytes[sock.fileno()] = b""
            self.poll.register(sock.fileno(), select.EPOLLIN)

    def read(self):
        """Take what there is."""
        for fd, _ in self.poll.poll(1, 4096):
            data = self.socks[fd][0].recv(65536)
            self.bytes[fd] += data
            if not data:
                self.ended.add(fd)
                self.poll.unregister(fd)

    def until(self, condition, what):
        def look():
            self.read()
            return condition()
        kit.wait_until(look, what)

    def count(self, mark):
        return sum(mark in data for data in self.bytes.values())

    def close(self):
        for sock, _ in self.socks.values():
            sock.close()
        self.poll.close()


class Scale(kit.Case):
    weight = 8
    options = None

    def setUp(self):
        super().setUp()
        if not hasattr(select, "epoll"):
            self.skipTest("there is no epoll to hold so many readers with")
        if raise_limit(READERS + 1000) < READERS + 1000:
            self.skipTest("NOT TESTED: %d descriptors are needed; the hard "
                          "limit is lower" % (READERS + 1000))

    def check(self, program=None, readers=READERS, streams=STREAMS):
        server = kit.Server("--linger", "1s", "--heartbeat", "0",
                            program=program)
        keys = ["stream-%d" % i for i in range(streams)]
        for key in keys:
            self.assertEqual(server.open(key).status, 201)
        crowd = Crowd(server, [(keys[i % streams], path(keys[i % streams]))
                               for i in range(readers)])
        crowd.until(lambda: crowd.count(b"weir.ready") == readers, "ready")
        stats = server.stats()
        self.assertEqual(stats["subscribers"], readers)
        self.assertEqual(stats["streams"], streams)
        rss = self.resident(server)
        conn = server.connect()
        for i in range(EVENTS):
            for key in keys:
                said = conn.ask("POST", path(key, "/events"),
                                b"%s %d" % (key.encode(), i))
                self.assertEqual(said.status, 201)
            said = conn.ask("POST", path(keys[0], "/signals"), b"s")
            self.assertEqual(said.json()["reached"], readers // streams)
            crowd.read()
        for key in keys:
            self.assertEqual(conn.ask("POST", path(key, "/end"),
                                      b"").status, 200)
        crowd.until(lambda: len(crowd.ended) == readers, "the end")
        self.check_bytes(crowd, keys)
        crowd.close()
        conn.close()
        # Neither byte nor timer is left behind: what lingered has gone, and
        # nothing is held by nobody.
        server.wait_stats(subscribers=0, streams=0, resident_bytes=0,
                          pending=0, connections=1)
        stats = server.stats()
        self.assertEqual(stats["attaches_total"], readers)
        self.assertEqual(stats["detaches_total"], readers)
        self.assertEqual(stats["delivered_events_total"],
                         readers * (EVENTS + 1))
        self.assertEqual(stats["evicted_total"] + stats["stalled_total"]
                         + stats["gaps_total"], 0)
        server.stop()
        if rss is not None:
            print("%d readers: %d bytes of the server's for each"
                  % (readers, rss * 1024 // readers))

    def check_bytes(self, crowd, keys):
        """Every reader has had everything, once, and in order; signals, which
        come in between, only the first stream's."""
        for fd, (_, key) in crowd.socks.items():
            head, body = crowd.bytes[fd].split(b"\r\n\r\n", 1)
            self.assertTrue(head.startswith(b"HTTP/1.1 200 OK\r\n"))
            frames = [frame for frame in body.split(b"\n\n")
                      if b"data: s" != frame]
            self.assertEqual(len(frames), EVENTS + 3)
            self.assertIn(b"weir.ready", frames[0])
            for i in range(EVENTS):
                self.assertTrue(frames[i + 1].endswith(
                    b"-%d\ndata: %s %d" % (i + 1, key.encode(), i)),
                    frames[i + 1])
            self.assertIn(b"weir.done", frames[-2])
            self.assertEqual(frames[-1], b"")

    def resident(self, server):
        """KiB of the server's memory, or None."""
        try:
            with open("/proc/%d/status" % server.process.pid) as lines:
                for line in lines:
                    if line.startswith("VmRSS:"):
                        return int(line.split()[1])
        except OSError:
            pass
        return None

    def r51_two_hundred_streams_with_ten_thousand_readers(self):
        self.check()

    def r51_ten_streams(self):
        self.check(readers=100, streams=10)

    @unittest.skipUnless(kit.LONG, "takes long")
    def test_ten_thousand_readers_of_one_stream(self):
        self.check(streams=1)

    @unittest.skipUnless(kit.LONG, "takes long")
    def test_ten_thousand_streams(self):
        self.check(streams=READERS)

    @unittest.skipUnless(kit.LONG and os.path.exists(kit.SERVER_POLL),
                         "takes long")
    def test_with_poll(self):
        self.check(program=kit.SERVER_POLL)


if __name__ == "__main__":
    unittest.main()
