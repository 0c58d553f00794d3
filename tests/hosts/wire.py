# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Clients of HTTP/1.1 and of HTTP/2 (by prior knowledge) that look the same.

A wire is a TCP connection; an exchange on it is a request and what has come of
its response. HTTP/1.1 has one exchange a wire, HTTP/2 many.
"""
import socket
import struct
import sys

import kit

# Where Debian's packages are, if this is not Debian's Python.
sys.path.append("/usr/lib/python3/dist-packages")
try:
    import h2.config
    import h2.connection
    import h2.events
    import h2.settings
except ImportError:
    h2 = None


class Exchange:
    def __init__(self, wire, number=None):
        self.wire = wire
        self.number = number
        self.status = None
        self.fields = {}
        self.body = bytearray()
        self.ended = False  # in an orderly way
        self.torn = False   # in another

    @property
    def over(self):
        return self.ended or self.torn

    def take(self):
        """What has come of the body since the last time."""
        data = bytes(self.body)
        self.body.clear()
        return data


class Wire:
    shared = 1           # exchanges that a wire is to be used for
    stalls = ("deaf",)   # ways not to take what is sent

    def __init__(self, address, rcvbuf=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(kit.PATIENCE)
        if rcvbuf is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect(address)
        self.host = "%s:%d" % address
        self.exchanges = []
        self.open = True

    def read(self, size=65536):
        """Read once. False: the wire is at its end."""
        try:
            data = self.sock.recv(size)
        except ConnectionError:
            data = b""
        if data:
            self.feed(data)
            return True
        self.finish()
        self.close()
        return False

    def finish(self):
        for exchange in self.exchanges:
            exchange.torn = not exchange.ended

    def close(self, reset=False):
        if self.open and reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
        self.open = False
        self.sock.close()


class Http1(Wire):
    """One exchange a connection."""

    name = "HTTP/1.1"

    def __init__(self, address, rcvbuf=None):
        super().__init__(address, rcvbuf)
        self.raw = bytearray()
        self.left = None  # of the body, or of a chunk; None: to the end
        self.chunked = False
        self.bodiless = False

    def ask(self, method, target, headers=(), body=b""):
        lines = ["%s %s HTTP/1.1" % (method, target), "Host: " + self.host]
        lines += ["%s: %s" % field for field in headers]
        if method != "GET":
            lines.append("Content-Length: %d" % len(body))
        self.bodiless = method == "HEAD"
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        self.exchanges = [Exchange(self)]
        return self.exchanges[0]

    def cancel(self, exchange):
        self.close()

    def feed(self, data):
        exchange = self.exchanges[0]
        self.raw += data
        if exchange.status is None:
            end = self.raw.find(b"\r\n\r\n")
            if end < 0:
                return
            self.take_head(exchange, bytes(self.raw[:end]).decode())
            del self.raw[:end + 4]
        while self.raw and not exchange.ended:
            if self.chunked and self.left is None:
                if not self.take_size(exchange):
                    return
            n = len(self.raw) if self.left is None else self.left
            piece = self.raw[:n]
            exchange.body += piece
            del self.raw[:len(piece)]
            if self.left is not None:
                self.left -= len(piece)
                if self.left == 0:
                    self.left = None
                    exchange.ended = not self.chunked
        if exchange.ended and self.raw:
            raise AssertionError("after the end: %r" % bytes(self.raw[:100]))

    def take_head(self, exchange, head):
        lines = head.split("\r\n")
        exchange.status = int(lines[0].split(" ")[1])
        for line in lines[1:]:
            name, _, value = line.partition(":")
            exchange.fields[name.lower()] = value.strip()
        self.chunked = "transfer-encoding" in exchange.fields
        if "content-length" in exchange.fields:
            self.left = int(exchange.fields["content-length"])
        if exchange.status == 204 or self.left == 0 or self.bodiless:
            exchange.ended = True

    def take_size(self, exchange):
        """The line before a chunk. False: it is not complete."""
        if self.raw[:2] == b"\r\n":
            del self.raw[:2]
        end = self.raw.find(b"\r\n")
        if end < 0:
            return False
        self.left = int(bytes(self.raw[:end]).split(b";")[0], 16)
        if self.left == 0:
            if b"\r\n\r\n" not in self.raw[end:]:
                self.left = None
                return False
            exchange.ended = True
            self.raw.clear()
            return False
        del self.raw[:end + 2]
        return True

    def finish(self):
        for exchange in self.exchanges:
            if (exchange.status is not None and not self.chunked
                    and self.left is None):
                exchange.ended = True  # as far as one can know
        super().finish()


class Http2(Wire):
    """Many exchanges a connection, each with a window that it may withhold."""

    name = "HTTP/2"
    shared = 20
    stalls = ("deaf", "windowless")

    def __init__(self, address, rcvbuf=None):
        super().__init__(address, rcvbuf)
        self.windows = True  # give back what was taken
        self.http = h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        if rcvbuf is not None:  # the socket is to be full before the windows
            most = 2**31 - 1
            self.http.update_settings(
                {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: most})
            self.http.increment_flow_control_window(most - 65535)
        self.flush()

    def flush(self):
        data = self.http.data_to_send()
        if data and self.open:
            try:
                self.sock.sendall(data)
            except ConnectionError:
                pass  # the next read tells

    def ask(self, method, target, headers=(), body=b""):
        exchange = Exchange(self, self.http.get_next_available_stream_id())
        fields = [(":method", method), (":path", target), (":scheme", "http"),
                  (":authority", self.host)]
        fields += [(name.lower(), value) for name, value in headers]
        self.exchanges.append(exchange)
        self.http.send_headers(exchange.number, fields, end_stream=not body)
        while body:
            n = min(len(body), self.http.max_outbound_frame_size,
                    self.http.local_flow_control_window(exchange.number))
            if n == 0:
                self.flush()
                self.read()
                continue
            self.http.send_data(exchange.number, body[:n],
                                end_stream=n == len(body))
            body = body[n:]
        self.flush()
        return exchange

    def cancel(self, exchange):
        if not exchange.over:
            exchange.torn = True
            self.http.reset_stream(exchange.number, 8)
            self.flush()

    def feed(self, data):
        by_number = {e.number: e for e in self.exchanges}
        for event in self.http.receive_data(data):
            exchange = by_number.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.DataReceived):
                if self.windows and event.flow_controlled_length:
                    self.http.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id)
                exchange.body += event.data
            elif isinstance(event, h2.events.ResponseReceived):
                exchange.fields = dict(event.headers)
                exchange.status = int(exchange.fields[":status"])
            elif isinstance(event, h2.events.StreamEnded):
                exchange.ended = True
            elif isinstance(event, h2.events.StreamReset):
                exchange.torn = True
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.finish()
        self.flush()


# The class of what a host speaks.
def wire_of(host):
    return Http2 if host == "nghttp2" else Http1
