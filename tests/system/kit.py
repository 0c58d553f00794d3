# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""What the system tests stand on: the real server, raw sockets, a decoder.

They test the reference server from outside, as its clients see it, with the
Python standard library and nothing of weir's own.

    make check-system                       all of them, several at a time
    python3 tests/system/run.py             the same, with the server in build/
    python3 tests/system/run.py test_http   one file
    python3 tests/system/run.py test_http.Smuggling
    cd tests/system; python3 -m unittest -v test_http.Smuggling.test_two_hosts

What decides what is run, in the environment:

    WEIR_SERVER       the server; default build/examples/server. A build with
                      a sanitizer is tested by naming it here: a word on
                      standard error, or an exit status but 0, fails the test.
    WEIR_SERVER_POLL  the server with poll instead of epoll (-DSERVER_POLL)
    WEIR_SYNC=POLICY  the same tests with a log: `--log` and a directory for
                      every server, `--sync` always, 100ms or never
    WEIR_LONG=1       also what takes longer than `make check` has time for
    WEIR_PATIENCE     seconds until a test gives up on something; default 30

How tests are written here:

- No test asserts how long something takes. PATIENCE only bounds how long a
  test that has failed already goes on. Where time has to pass it is the
  server's, set by an option, and the test waits for what follows from it.
- A class has a server of its own, with its `options`, and shares it among its
  methods, each of which has a key of its own (`self.key`). When the class is
  done the server gets SIGTERM, and has to end with status 0, silent.
- Methods are named test_..., or after the requirement that they are a test of:
  r66_..., f05_..., race27_...; those are found too.
- Connection is a socket with a parser of responses that is stricter than any
  client's. Reader is a connection that reads a stream. Decoder is WHATWG HTML
  9.2.6, written from the specification. EventSource is a client that comes
  back, as clients.md says that they do.
"""
import collections
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest
from urllib.parse import quote, urlencode

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SERVER = os.path.abspath(os.environ.get(
    "WEIR_SERVER", os.path.join(ROOT, "build", "examples", "server")))
SERVER_POLL = os.path.abspath(os.environ.get(
    "WEIR_SERVER_POLL", os.path.join(os.path.dirname(SERVER), "server-poll")))
SYNC = os.environ.get("WEIR_SYNC", "")
LONG = os.environ.get("WEIR_LONG", "0") not in ("", "0")
PATIENCE = float(os.environ.get("WEIR_PATIENCE", "30"))


# What only a hub without a log does: it forgets by count, bytes and age, and
# what has ended for good is gone.
in_memory = unittest.skipIf(SYNC, "there is a log")


def wait_until(condition, what="something"):
    """Ask again and again until the answer is true; returns the answer."""
    limit = time.monotonic() + PATIENCE
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > limit:
            raise AssertionError("waited in vain for " + what)
        time.sleep(0.005)


# --- HTTP ------------------------------------------------------------------

class ProtocolError(AssertionError):
    """A response that is none."""


class Response:
    def __init__(self, head):
        lines = head.split(b"\r\n")
        match = re.fullmatch(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([ -~]+)",
                             lines[0])
        if match is None:
            raise ProtocolError("status line: %r" % lines[0])
        self.raw = head
        self.status = int(match.group(1))
        self.reason = match.group(2).decode()
        self.fields = []
        self.body = b""
        for line in lines[1:]:
            match = re.fullmatch(
                rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\x21-\x7e](?:[ -~]*"
                rb"[\x21-\x7e])?)?", line)
            if match is None:
                raise ProtocolError("header field: %r" % line)
            self.fields.append((match.group(1).decode().lower(),
                                (match.group(2) or b"").decode()))
        for name in ("content-length", "content-type", "connection"):
            if len(self.all(name)) > 1:
                raise ProtocolError("%s twice: %r" % (name, head))

    def all(self, name):
        return [value for field, value in self.fields if field == name]

    def get(self, name):
        values = self.all(name)
        return ", ".join(values) if values else None

    @property
    def closes(self):
        return self.get("connection") == "close"

    def json(self):
        return json.loads(self.body.decode("utf-8"))

    def __repr__(self):
        return "<%d %s %r>" % (self.status, self.fields, self.body[:200])


class Connection:
    """A socket, and what has been read from it but not looked at."""

    def __init__(self, address, rcvbuf=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        if rcvbuf is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise
        self.host = "%s:%d" % address
        self.buffer = b""

    def send(self, data):
        self.sock.sendall(data)

    def send_pieces(self, data, size=1):
        for i in range(0, len(data), size):
            self.sock.sendall(data[i:i + size])

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        """Go without a word: the peer gets an RST."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.sock.close()

    def read(self, size=65536):
        """Some bytes; b"" at the end."""
        if self.buffer:
            data, self.buffer = self.buffer, b""
            return data
        return self.sock.recv(size)

    def read_until(self, mark):
        while mark not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise ProtocolError("ended within %r" % self.buffer)
            self.buffer += data
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    def read_exactly(self, size):
        while len(self.buffer) < size:
            data = self.sock.recv(65536)
            if not data:
                raise ProtocolError("ended within %r" % self.buffer)
            self.buffer += data
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def read_to_end(self):
        parts = []
        data = self.read()
        while data:
            parts.append(data)
            data = self.read()
        return b"".join(parts)

    def is_at_end(self):
        """Whether the peer has closed in an orderly way, with nothing left."""
        return self.buffer == b"" and self.sock.recv(1) == b""

    def head(self):
        return Response(self.read_until(b"\r\n\r\n"))

    def response(self, method="GET"):
        """A whole response, which must say where its body ends."""
        response = self.head()
        length = response.get("content-length")
        if response.status < 200 or response.status == 204:
            if length is not None:
                raise ProtocolError("a length without a body: %r" % response)
            return response
        if response.get("transfer-encoding") is not None:
            raise ProtocolError("a coding: %r" % response)
        if length is None and not response.closes:
            raise ProtocolError("an endless body: %r" % response)
        if method == "HEAD":
            return response
        if length is None:
            response.body = self.read_to_end()
        else:
            response.body = self.read_exactly(int(length))
        return response

    def ask(self, method, target, body=None, headers=()):
        """Send a request as clients do, and read the response."""
        self.send(self.request(method, target, body, headers))
        return self.response(method)

    def request(self, method, target, body=None, headers=()):
        lines = ["%s %s HTTP/1.1" % (method, target), "Host: " + self.host]
        lines += ["%s: %s" % field for field in headers]
        if body is not None:
            lines.append("Content-Length: %d" % len(body))
        head = "\r\n".join(lines) + "\r\n\r\n"
        return head.encode("latin-1") + (body or b"")


def path(key, tail="", **query):
    """/streams/KEY and what follows."""
    text = "/streams/" + quote(key, safe="") + tail
    return text + ("?" + urlencode(query) if query else "")


# --- Server-Sent Events ----------------------------------------------------

# has_id: its block had an id field, however that read.
Event = collections.namedtuple("Event", "type data id has_id")


class Decoder:
    """Bytes in any pieces, events out (WHATWG HTML, section 9.2.6)."""

    def __init__(self, last_id=""):
        self.last_id = last_id  # the last event ID string
        self.retry = None       # ms, the last that was said
        self.comments = 0
        self._id = last_id      # the last event ID buffer
        self._has_id = False
        self._type = ""
        self._data = []
        self._line = bytearray()  # what has come of a line
        self._after_cr = False  # a LF now belongs to the CR before it
        self._begun = False     # the BOM, if there was one, is gone

    def feed(self, data):
        events = []
        if not self._begun:
            data = bytes(self._line) + data
            self._line.clear()
            if b"\xef\xbb\xbf".startswith(data[:3]) and len(data) < 3:
                self._line += data
                return events
            self._begun = True
            if data.startswith(b"\xef\xbb\xbf"):
                data = data[3:]
        if self._after_cr and data:
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        self._after_cr = data.endswith(b"\r") or (self._after_cr and not data)
        lines = re.split(b"\r\n|\n|\r", data)
        self._line += lines[0]
        for line in lines[1:]:
            self._take(bytes(self._line), events)
            self._line[:] = line
        return events

    @property
    def is_between(self):
        """Whether it stands between frames, as it should at an end."""
        return (not self._line and self._data == [] and self._type == ""
                and not self._has_id)

    def _take(self, line, events):
        if line == b"":
            self._dispatch(events)
            return
        if line.startswith(b":"):
            self.comments += 1
            return
        name, _, value = line.decode("utf-8", "replace").partition(":")
        if value.startswith(" "):
            value = value[1:]
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id":
            if "\0" not in value:
                self._id = value
            self._has_id = True
        elif name == "retry":
            if re.fullmatch("[0-9]+", value):
                self.retry = int(value)

    def _dispatch(self, events):
        self.last_id = self._id
        if self._data:
            events.append(Event(self._type or "message", "\n".join(self._data),
                                self.last_id, self._has_id))
        self._data = []
        self._type = ""
        self._has_id = False


def seq_of(cursor):
    return int(cursor.rsplit("-", 1)[1])


def epoch_of(cursor):
    return cursor.rsplit("-", 1)[0]


def is_own(event):
    """Whether weir has written it itself."""
    return event.type.startswith("weir.")


# Frames of weir's own that stand outside the log.
BESIDE = ("weir.ready", "weir.gap", "weir.closing", "weir.ping")


def check_order(events, signals=("signal",)):
    """What holds on every connection: see `Invariants` in design.md."""
    position = None
    ready = False
    for event in events:
        if event.type in ("weir.closing", "weir.ping") or (
                event.type in signals):
            assert not event.has_id, event
            assert ready, "before ready: %r" % (event,)
            continue
        assert event.has_id, event
        if event.type == "weir.gap":
            assert not ready or seq_of(event.id) > position, event
            position = seq_of(event.id)
        elif event.type == "weir.ready":
            assert not ready, "ready twice"
            assert position in (None, seq_of(event.id)), event
            ready = True
            position = seq_of(event.id)
        else:
            assert ready, "before ready: %r" % (event,)
            assert seq_of(event.id) == position + 1, (position, event)
            position += 1


class Reader:
    """A connection that reads a stream."""

    def __init__(self, server, target, last_id="", headers=(), rcvbuf=None):
        self.conn = server.connect(rcvbuf)
        fields = [("Accept", "text/event-stream")]
        if last_id:
            fields.append(("Last-Event-ID", last_id))
        self.conn.send(self.conn.request("GET", target, None,
                                         fields + list(headers)))
        self.response = self.conn.head()
        self.decoder = Decoder(last_id)
        self.events = []
        self.raw = bytearray()
        self.ended = False

    def read(self):
        """Read once. False: the stream has ended."""
        data = self.conn.read()
        self.raw += data
        self.events += self.decoder.feed(data)
        self.ended = not data
        return not self.ended

    def until(self, condition, what="a condition"):
        while not condition(self):
            if not self.read():
                raise AssertionError("ended before %s: %r"
                                     % (what, self.raw[-500:]))
        return self

    def wait(self, kind, count=1):
        """Read until there are so many events of a type; the last of them."""
        self.until(lambda r: len(r.of(kind)) >= count, kind)
        return self.of(kind)[count - 1]

    def wait_data(self, data):
        """Read until there is an event with this data."""
        def find(reader):
            return [e for e in reader.events if e.data == data]
        self.until(find, repr(data))
        return find(self)[0]

    def rest(self):
        """Read to the end, which has to be one between frames."""
        while self.read():
            pass
        if not self.decoder.is_between:
            raise AssertionError("torn: %r" % self.raw[-200:])
        return self.events

    def of(self, kind):
        return [e for e in self.events if e.type == kind]

    @property
    def frames(self):
        """What came, frame by frame, as text."""
        return [frame + "\n\n"
                for frame in self.raw.decode("utf-8").split("\n\n")[:-1]]

    @property
    def ready(self):
        """The data of its `ready`, as JSON."""
        return json.loads(self.wait("weir.ready").data)

    @property
    def verdict(self):
        return self.ready["verdict"]

    def close(self):
        self.conn.close()

    def reset(self):
        self.conn.reset()


class EventSource:
    """A client that comes back, as browsers do.

    It keeps its last id over connections, repeats its URL, waits for as long
    as it is told (times `scale`), and stops for good at every status but 200
    and every type but text/event-stream. `cut`, if given, says for each
    connection after how many bytes of its body to reset it, or None.
    """

    def __init__(self, server, target, cut=None, scale=0.002, headers=()):
        self.server = server
        self.target = target
        self.headers = headers
        self.cut = cut
        self.scale = scale
        self.retry = 3000
        self.last_id = ""
        self.events = []
        self.closed = None       # the status that it has stopped at, or 0
        self.connections = []    # the events of each

    def close(self):
        self.closed = 0

    def run(self, until):
        """Go on until a condition holds, or the server says stop."""
        limit = time.monotonic() + PATIENCE
        while self.closed is None and not until(self):
            try:
                self._connect(until)
            except (ConnectionError, ProtocolError):
                pass
            if time.monotonic() > limit:
                raise AssertionError("the client waits in vain")
            if self.closed is None and not until(self):
                time.sleep(self.retry * self.scale / 1000)
        return self

    def _connect(self, until):
        budget = self.cut() if self.cut is not None else None
        reader = Reader(self.server, self.target, self.last_id, self.headers)
        try:
            kind = (reader.response.get("content-type") or "").split(";")[0]
            if reader.response.status != 200 or kind != "text/event-stream":
                self.closed = reader.response.status
                return
            mine = []
            self.connections.append(mine)
            self._read(reader, mine, budget, until)
        finally:
            reader.reset()

    def _read(self, reader, mine, budget, until):
        taken = 0
        while budget is None or taken < budget:
            data = reader.conn.read()
            if not data:
                return
            if budget is not None:
                data = data[:budget - taken]
            taken += len(data)
            events = reader.decoder.feed(data)
            self.last_id = reader.decoder.last_id
            if reader.decoder.retry is not None:
                self.retry = reader.decoder.retry
            mine += events
            self.events += events
            if until(self):
                return


# --- The server ------------------------------------------------------------

class Server:
    """A server process of one's own.

    limit is its hard limit of descriptors; wrapper stands before the command
    (valgrind and its options); host is an address of this machine.
    """

    def __init__(self, *options, program=None, limit=None, wrapper=(),
                 host="127.0.0.1"):
        command = [program or SERVER, "--listen", host + ":0"]
        command += options
        self.directory = None
        if SYNC and "--log" not in options:
            self.directory = tempfile.mkdtemp(prefix="weir-")
            command += ["--log", self.directory, "--sync", SYNC]
        if limit is not None:
            command = ["sh", "-c", 'ulimit -n "$0" && exec "$@"',
                       str(limit)] + command
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            list(wrapper) + command, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=self.errors)
        self.connections = []
        self.line = self.process.stdout.readline().decode()
        match = re.fullmatch(r"listening on http://%s:(\d+)\n"
                             % re.escape(host), self.line)
        if match is None:
            said = self.said()
            self.kill()
            raise AssertionError("%s: %r %s" % (command[0], self.line, said))
        self.address = (host, int(match.group(1)))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.stop()
        else:
            self.kill()

    def said(self):
        """What it has said on standard error."""
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")

    def idles(self):
        """Whether it waits, as it should, and does not run in circles."""
        def seconds():  # of CPU
            with open("/proc/%d/stat" % self.process.pid) as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf(
                "SC_CLK_TCK")

        before = seconds()
        time.sleep(0.4)
        return seconds() - before < 0.2

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self):
        """Wait until it has ended by itself, and see how."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the server does not end")
        self.let_go()
        self.remove_log()
        rest = self.process.stdout.read()
        self.process.stdout.close()
        said = self.said()
        self.errors.close()
        if status != 0 or said or rest:
            raise AssertionError("status %d, standard output %r, error %s"
                                 % (status, rest, said))

    def stop(self):
        self.let_go()
        self.signal()
        self.wait()

    def kill(self):
        self.let_go()
        self.process.kill()
        self.process.wait()
        self.remove_log()
        self.process.stdout.close()
        self.errors.close()

    def remove_log(self):
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)

    def let_go(self):
        """Close what the tests have left open."""
        for conn in self.connections:
            conn.reset()
        self.connections = []

    def connect(self, rcvbuf=None):
        conn = Connection(self.address, rcvbuf)
        self.connections.append(conn)
        return conn

    def ask(self, method, target, body=None, headers=()):
        """A request with a connection of its own."""
        conn = Connection(self.address)
        try:
            return conn.ask(method, target, body,
                            list(headers) + [("Connection", "close")])
        finally:
            conn.close()

    def open(self, key, **query):
        return self.ask("PUT", path(key, **query))

    def publish(self, key, data=b"", **query):
        return self.ask("POST", path(key, "/events", **query), data)

    def publish_id(self, key, data=b"", **query):
        """Publish, which has to work, and return the id."""
        response = self.publish(key, data, **query)
        if response.status != 201:
            raise AssertionError(response)
        return response.json()["id"]

    def signal_to(self, key, data=b"", **query):
        return self.ask("POST", path(key, "/signals", **query), data)

    def end(self, key, **query):
        return self.ask("POST", path(key, "/end", **query), b"")

    def fail(self, key, message=b"", **query):
        return self.ask("POST", path(key, "/fail", **query), message)

    def cancel(self, key):
        return self.ask("DELETE", path(key))

    def info(self, key):
        return self.ask("GET", path(key, "/info")).json()

    def stats(self):
        return self.ask("GET", "/stats").json()

    def reader(self, key, last_id="", headers=(), rcvbuf=None, **query):
        return Reader(self, path(key, **query), last_id, headers, rcvbuf)

    def wait_stats(self, **wanted):
        """Wait until these counters have these values."""
        def look():
            stats = self.stats()
            return all(stats[name] == value for name, value in wanted.items())
        wait_until(look, "%s in /stats" % wanted)


class Case(unittest.TestCase):
    """A class of tests with a server; options None: without one."""

    options = ()
    program = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in list(vars(cls)):
            if re.match(r"(r|f|race|k)\d+_", name):
                setattr(cls, "test_" + name, getattr(cls, name))

    @classmethod
    def setUpClass(cls):
        cls.server = None
        if cls.options is not None:
            cls.server = Server(*cls.options, program=cls.program)

    @classmethod
    def tearDownClass(cls):
        if cls.server is not None:
            cls.server.stop()

    def setUp(self):
        self.key = self._testMethodName

    def tearDown(self):
        if self.server is not None:
            self.server.let_go()

    def status(self, response, status):
        """A response with this status; an error says what was wrong."""
        self.assertEqual(response.status, status, response)
        if status >= 400:
            self.assertEqual(response.get("content-type"), "application/json")
            said = response.json()
            self.assertRegex(said["error"], "^[a-z0-9_]+$", response)
            self.assertTrue(said["message"], response)
            # Which argument, and what it may be: a person reads this.
            self.assertNotEqual(said["message"], "invalid argument", response)
        return response
