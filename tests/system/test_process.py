# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""The process: its command line, its end, its descriptors, its memory."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import unittest

import kit
from kit import path


def run(*arguments):
    """Run the server to its end: status, standard output, standard error."""
    done = subprocess.run([kit.SERVER] + list(arguments), timeout=kit.PATIENCE,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class CommandLine(kit.Case):
    options = None

    def good(self, *arguments):
        # What is behind --version is not looked at, what is before it is.
        status, out, err = run(*arguments, "--version")
        self.assertEqual((status, err), (0, ""), arguments)
        self.assertRegex(out, r"^weir \d+\.\d+\.\d+\n$")

    def bad(self, *arguments):
        status, out, err = run(*arguments, "--version")
        self.assertEqual((status, out), (2, ""), arguments)
        self.assertRegex(err, "^server: .*\n$")

    def test_help_names_every_option(self):
        status, out, err = run("--help")
        self.assertEqual((status, err), (0, ""))
        for name in ("listen", "cors", "publish-token", "max-body",
                     "memory-bytes", "linger", "first-event", "idle",
                     "abandoned", "heartbeat", "stall", "retry", "lifetime",
                     "drain", "history-events", "history-bytes",
                     "history-age", "max-streams", "max-subscribers",
                     "max-stream-subscribers", "max-client-subscribers",
                     "max-event", "signal-ring", "utf8", "request-timeout",
                     "keep-alive", "help", "version"):
            self.assertIn("--%s " % name, out)
        self.assertLessEqual(max(map(len, out.splitlines())), 80)

    def test_help_says_what_the_defaults_are(self):
        out = run("--help")[1]
        for name, value in (("listen", "127.0.0.1:8080"), ("linger", "10m"),
                            ("heartbeat", "12s"), ("retry-jitter", "500ms"),
                            ("retry-replaced", "1m"),
                            ("drain", "5s"), ("memory-bytes", "256M"),
                            ("max-client-subscribers", "6"),
                            ("signal-ring", "64"), ("idle", "off"),
                            ("keep-age", "1d"), ("sync", "always"),
                            ("utf8", "check")):
            self.assertRegex(out, r"\n  --%s +\S.* \[%s\]\n"
                             % (name, re.escape(value)))
        for line in out.splitlines()[6:]:
            self.assertRegex(line, "^  --[a-z0-9-]+ +[^ ].{3,}$")

    def test_help_says_what_cannot_be_0(self):
        # What the options themselves allow is seen before the address is.
        for line in run("--help")[1].splitlines()[6:]:
            name = line.split()[0]
            if name in ("--listen", "--cors", "--publish-token", "--log",
                        "--utf8", "--help", "--version"):
                continue
            status = run("--listen", "none", name, "0")[0]
            has_least = re.search(r" \d+\w* (to|or more)\b", line) is not None
            self.assertEqual(status, 2 if has_least else 1, line)

    def test_help_says_what_else_limits_a_time(self):
        out = run("--help")[1]
        self.assertRegex(out, r"\n  --retry-jitter .* at most 1d in all \[")
        self.assertRegex(out, r"\n  --request-timeout .* a body has 5m \[")

    def test_durations(self):
        for text in ("12s", "500ms", "24h", "10m", "1d", "0", "0s", "0ms",
                     "012s", "213503982334d"):
            self.good("--linger", text)
            self.good("--linger=" + text)
        for text in ("12", "", "s", "12 s", " 12s", "12S", "1.5s", "-1s",
                     "+1s", "1h30m", "12sec", "0x1s", "1e3s",
                     "18446744073709551616ms", "18446744073709551615h",
                     "213503982335d", "9" * 100 + "s"):
            self.bad("--linger", text)
            self.bad("--linger=" + text)
        # Those that have 32 bits.
        self.good("--heartbeat", "49d")
        self.bad("--heartbeat", "50d")

    def test_sizes_and_counts(self):
        for text in ("4096", "64K", "8M", "1G", "0"):
            self.good("--memory-bytes", text)
        for text in ("", "K", "64k", "64KB", "-1", "1.5M", "64 K",
                     "99999999999999999999", "17179869184G"):
            self.bad("--memory-bytes", text)
        self.good("--max-streams", "7")
        self.bad("--max-streams", "7K")
        self.good("--signal-ring", "4294967295")
        self.bad("--signal-ring", "4294967296")
        self.good("--utf8", "pass")
        self.good("--utf8", "check")
        self.bad("--utf8", "maybe")

    def test_options_that_are_none(self):
        self.bad("--colour", "blue")
        self.bad("-l", "x")
        self.bad("linger", "1s")
        self.bad("--ling", "1s")
        self.bad("--linger-", "1s")
        self.assertEqual(run("--linger")[0], 2)

    def test_what_cannot_work_is_refused_at_the_start_by_its_name(self):
        # Else every client would be told that it asks for the impossible.
        for arguments in (("--retry", "100ms"), ("--retry=25h", "--stall=1s"),
                          ("--heartbeat", "1s", "--heartbeat-jitter", "1s"),
                          ("--lifetime", "1s", "--lifetime-jitter", "1s"),
                          ("--signal-ring", "0"), ("--max-event-lines", "0"),
                          ("--max-event-lines", "100001"),
                          ("--cors", "https://x\r\nEvil: yes"),
                          ("--retry", "23h", "--retry-jitter", "2h")):
            status, out, err = run("--listen", "127.0.0.1:0", *arguments)
            self.assertEqual((status, out), (2, ""), arguments)
            name = arguments[-2].split("=")[0]
            self.assertRegex(err, "^server: %s: invalid argument, .*\n$" % name)
        # What is wrong only without what follows is not.
        self.assertIn("ADDR:PORT", run("--listen", "none", "--heartbeat-jitter",
                                       "30s", "--heartbeat", "60s")[2])

    def test_addresses(self):
        for address in ("", "nonsense", "127.0.0.1", "127.0.0.1:x",
                        "127.0.0.1:", "127.0.0.1:-1", "127.0.0.1:65536",
                        "127.0.0.1:131072", "x" * 300 + ":0",
                        "198.51.100.1:0"):
            status, out, err = run("--listen", address)
            self.assertEqual((status, out), (1, ""), address)
            self.assertRegex(err, "^server: .*\n$")

    def test_a_port_that_is_taken(self):
        with kit.Server() as server:
            status, out, err = run("--listen", "127.0.0.1:%d"
                                   % server.address[1])
            self.assertEqual((status, out), (1, ""))
            self.assertIn("cannot listen", err)

    def test_says_where_it_listens_and_nothing_else(self):
        with kit.Server() as server:
            self.assertEqual(server.line, "listening on http://%s:%d\n"
                             % server.address)
            server.publish("k", b"x")
            self.assertEqual(server.ask("BREW", "/").status, 501)

    def test_utf8_pass_lets_bytes_through(self):
        with kit.Server("--utf8", "pass") as server:
            server.publish_id("k", b"\xff\xfe")
            reader = server.reader("k")
            reader.wait("message")
            self.assertIn(b"data: \xff\xfe\n\n", reader.raw)


class Drain(kit.Case):
    weight = 4
    options = None

    def test_ends_at_once_when_nobody_is_there(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = kit.Server("--drain", "10h")
            server.publish("k", b"x")
            server.signal(number)
            server.wait()

    def test_every_reader_is_told_to_go(self):
        server = kit.Server("--drain", "1s")
        readers = []
        for i in range(50):
            server.publish(str(i % 5), b"x")
            readers.append(server.reader(str(i % 5)))
            readers[i].ready
        server.signal()
        retries = set()
        for reader in readers:
            events = reader.rest()
            self.assertEqual(events[-1].type, "weir.closing")
            self.assertFalse(events[-1].has_id)
            self.assertEqual(json.loads(events[-1].data)["reason"],
                             "draining")
            self.assertTrue(1000 <= reader.decoder.retry <= 1500)
            retries.add(reader.decoder.retry)
            reader.close()
        # Drawn for each, so that they do not come back together.
        self.assertGreater(len(retries), 5)
        server.wait()

    def r29_shutdown_is_a_frame_without_an_id_and_the_end(self):
        server = kit.Server("--drain", "1s")
        last = server.publish_id("k", b"x")
        reader = server.reader("k")
        reader.wait("message")
        server.signal()
        closing = reader.rest()[-1]
        self.assertEqual(closing.type, "weir.closing")
        self.assertFalse(closing.has_id)
        self.assertEqual(reader.decoder.last_id, last)
        reader.close()
        server.wait()

    def test_what_is_on_its_way_is_sent_first(self):
        # Whole frames, and what was published before the signal.
        server = kit.Server("--drain", "2s")
        server.open("k")
        reader = server.reader("k", rcvbuf=4096)
        reader.ready
        server.publish_id("k", b"x" * 1000000)
        server.signal()
        events = reader.rest()
        kit.check_order(events)
        self.assertEqual(events[-1].type, "weir.closing")
        reader.close()
        server.wait()

    def test_a_reader_that_takes_nothing_does_not_hold_it_up(self):
        server = kit.Server("--drain", "500ms", "--stall", "0")
        server.open("k")
        reader = server.reader("k", rcvbuf=4096)
        reader.ready
        for _ in range(5):
            server.publish_id("k", b"x" * 1000000)
        server.signal()
        server.wait()
        reader.close()

    def test_idle_connections_are_closed(self):
        server = kit.Server("--drain", "10h")
        fresh = server.connect()
        used = server.connect()
        used.ask("GET", "/healthz")
        half = server.connect()
        half.send(b"GET / HT")
        server.wait_stats(connections=4)
        server.signal()
        for conn in (fresh, used, half):
            self.assertTrue(conn.is_at_end())
        server.wait()

    def test_a_request_on_its_way_is_answered(self):
        server = kit.Server("--drain", "10h")
        server.open("k")
        reader = server.reader("k")
        conn = server.connect()
        data = conn.request("POST", path("k", "/events"), b"hello")
        conn.send(data[:-2])
        # The server has read all but the last bytes.
        server.wait_stats(connections=3)
        other = server.connect()
        other.ask("GET", "/healthz")
        server.signal()
        # It is draining when it has closed those who idle.
        self.assertTrue(other.is_at_end())
        conn.send(data[-2:])
        response = self.status(conn.response(), 503)
        self.assertEqual(response.json()["error"], "draining")
        self.assertTrue(response.closes)
        self.assertTrue(conn.is_at_end())
        conn.close()
        reader.close()
        server.wait()

    def test_nobody_is_let_in(self):
        server = kit.Server("--drain", "10h")
        server.open("k")
        reader = server.reader("k")
        reader.ready
        idle = server.connect()
        idle.ask("GET", "/healthz")
        server.signal()
        self.assertTrue(idle.is_at_end())
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(server.address, kit.PATIENCE).close()
        reader.close()
        server.wait()

    def test_a_second_signal_ends_it_at_once(self):
        server = kit.Server("--drain", "10h", "--stall", "0")
        server.open("k")
        reader = server.reader("k", rcvbuf=4096)
        reader.ready
        server.publish_id("k", b"x" * 1000000)
        idle = server.connect()
        idle.ask("GET", "/healthz")
        server.signal()
        self.assertTrue(idle.is_at_end())
        server.signal()
        server.wait()
        reader.close()

    def test_a_drain_of_nothing(self):
        server = kit.Server("--drain", "0")
        server.open("k")
        reader = server.reader("k")
        reader.ready
        server.signal()
        server.wait()
        reader.close()

    def f05_a_client_goes_on_elsewhere(self):
        # Draining is no error: the client comes back with its cursor.
        one = kit.Server("--drain", "500ms")
        one.publish("k", b"x")
        source = kit.EventSource(one, path("k"))
        thread = threading.Thread(target=source.run, args=(
            lambda s: len(s.connections) == 2,))
        thread.start()
        kit.wait_until(lambda: source.last_id.endswith("-1"))
        with kit.Server() as two:
            source.server = two
            two.publish("k", b"y")
            one.signal()
            kit.wait_until(lambda: len(source.connections) == 2)
            thread.join()
            self.assertIsNone(source.closed)
            one.wait()
        self.assertEqual(source.connections[0][-1].type, "weir.closing")


class Descriptors(kit.Case):
    options = None

    def test_survives_without(self):
        with kit.Server("--keep-alive", "0", "--request-timeout", "0",
                        limit=64) as server:
            server.open("k")
            reader = server.reader("k")
            reader.ready
            conns = []
            # The kernel takes them in; the server cannot take all over.
            for _ in range(100):
                conns.append(server.connect())
                conns[-1].send(conns[-1].request("GET", "/healthz"))
            answered = conns[0]
            self.assertEqual(answered.response().status, 200)
            # Those who are in are served as ever.
            self.assertEqual(answered.ask("POST", path("k", "/events"),
                                          b"still").status, 201)
            reader.wait_data("still")
            served = int(answered.ask("GET", "/stats").json()["connections"])
            self.assertLess(served, 64)
            # When they go, the others come in.
            for conn in conns[1:60]:
                conn.reset()
            for conn in conns[60:]:
                self.assertEqual(conn.response().status, 200)
                conn.close()
            self.assertEqual(answered.ask("GET", "/healthz").status, 200)

    def test_raises_its_own_soft_limit(self):
        server = kit.Server(wrapper=(
            "sh", "-c", 'ulimit -S -n 64 && exec "$@"', "sh"))
        with server:
            conns = [server.connect() for _ in range(100)]
            for conn in conns:
                self.assertEqual(conn.ask("GET", "/healthz").status, 200)

    def test_no_descriptor_is_left_behind(self):
        with kit.Server() as server:
            folder = "/proc/%d/fd" % server.process.pid
            if not os.path.isdir(folder):
                self.skipTest("there is no " + folder)
            server.open("k")
            server.stats()
            kit.wait_until(lambda: server.stats()["connections"] == 1)
            before = len(os.listdir(folder))
            for i in range(50):
                reader = server.reader("k", client=str(i % 3))
                reader.ready
                (reader.reset if i % 2 else reader.close)()
                server.ask("BREW", "/")
                half = server.connect()
                half.send(b"POST /")
                half.reset()
            kit.wait_until(lambda: server.stats()["connections"] == 1)
            kit.wait_until(lambda: len(os.listdir(folder)) <= before)


class Quiet(kit.Case):
    """Who waits, waits: the server does not run in circles meanwhile."""

    options = None

    def setUp(self):
        super().setUp()
        if not os.path.exists("/proc/self/stat"):
            self.skipTest("there is no /proc")

    def test_with_connections_in_every_state(self):
        with kit.Server("--stall", "0", program=self.program) as server:
            server.publish_id("k", b"x" * 1000000)
            server.connect()
            for data in (b"GET", b"POST /streams/k/events HTTP/1.1\r\nHost: x"
                         b"\r\nContent-Length: 9\r\n\r\nhalf",
                         b"GET / HTTP/1.1\r\n\r\n" + b"x" * 100000):
                server.connect().send(data)
            reader = server.reader("k", client="me")
            reader.wait("message")
            slow = server.reader("k", rcvbuf=4096)
            # Answers that nobody takes, and half a request behind them.
            for half_close in (False, True):
                pipe = server.connect(rcvbuf=4096)
                pipe.send(pipe.request("GET", "/metrics") * 900 + b"GET")
                if half_close:
                    pipe.half_close()
            gone = server.reader("k", rcvbuf=4096)
            gone.conn.half_close()
            self.assertTrue(server.idles())
            # It is all there, and goes on.
            slow.wait("message")
            server.publish("k", b"y")
            reader.wait_data("y")

    def test_without_descriptors(self):
        with kit.Server(limit=32, program=self.program) as server:
            for _ in range(50):
                server.connect()
            self.assertTrue(server.idles())

    def test_while_draining(self):
        server = kit.Server("--drain", "10h", program=self.program)
        server.open("k")
        reader = server.reader("k")
        reader.ready
        idle = server.connect()
        idle.ask("GET", "/healthz")
        server.signal()
        self.assertTrue(idle.is_at_end())
        self.assertTrue(server.idles())
        reader.close()
        server.wait()


class Leaks(kit.Case):
    """A run through everything under valgrind: no error, no byte left. With a
    sanitizer built in, every other test is one of these."""

    weight = 6
    options = None

    def everything(self, server):
        server.open("a", envelope="json", timers="answer")
        server.open("a", on_duplicate="replace")
        server.open("a", on_duplicate="reject")
        server.publish("a", b"one")
        server.publish("a", b"a\nb\r\n\nc", split="lines", type="t")
        server.publish("a", b"\xff")
        server.publish("a", b"x" * 100000)
        readers = [server.reader("a", client="c%d" % (i % 3))
                   for i in range(8)]
        for reader in readers:
            reader.ready
        server.signal_to("a", b"s")
        server.ask("POST", "/demo/d?interval=1&script=fail")
        server.ask("POST", "/demo/d2?interval=1")
        server.ask("POST", "/demo/d3?interval=10000")
        server.ask("POST", "/demo/a/cut?client=c1")
        conn = server.connect()
        for i in range(3):
            conn.ask("GET", path("nothing", client="%d" % i))
        conn.send_pieces(conn.request("POST", path("a", "/events"), b"x" * 50))
        conn.response()
        conn.send(b"POST /streams/a/events HTTP/1.1\r\nHost: x\r\nTransfer-"
                  b"Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: t\r\n\r\n")
        conn.response()
        server.connect().send(b"POST /streams/a/events HTTP/1.1\r\nHost: x\r\n"
                              b"Content-Length: 50\r\n\r\nhalf")
        server.connect().send(b"GET /half")
        for data in (b"\0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
                     b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n"):
            bad = server.connect()
            bad.send(data)
            bad.response()
        for target in ("/", "/stats", "/metrics", "/healthz", "/nothing",
                       path("a", "/info"), path("a%"), "/streams/%zz"):
            server.ask("GET", target)
            server.ask("HEAD", target)
            server.ask("OPTIONS", target)
        last = server.end("a").json()["id"]
        server.publish("a", b"late")
        for cursor in ("", "b-1", "?", last, last[:-2] + "1"):
            server.ask("GET", path("a"), headers=[("Last-Event-ID", cursor)])
        server.open("gone")
        server.cancel("gone")
        if not kit.SYNC:
            kit.wait_until(lambda: server.ask(
                "GET", path("gone")).status == 404)
        server.open("a")
        for way in (server.fail, server.cancel):
            server.publish("z", b"x")
            way("z")
        left = server.reader("a")
        left.ready
        return left

    @unittest.skipUnless(shutil.which("valgrind"), "valgrind is not there")
    def test_a_run_leaves_nothing(self):
        with open(kit.SERVER, "rb") as program:
            if b"__asan_init" in program.read():
                self.skipTest("the server has a sanitizer of its own")
        server = kit.Server(
            "--linger", "300ms", "--drain", "300ms", wrapper=(
                "valgrind", "-q", "--leak-check=full",
                "--show-leak-kinds=all", "--errors-for-leak-kinds=all",
                "--track-fds=no", "--error-exitcode=99"))
        left = self.everything(server)
        server.signal()
        left.rest()
        server.let_go()
        server.wait()


if __name__ == "__main__":
    unittest.main()
