# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""HTTP/1.1 as an attacker speaks it, and as odd clients do (RFC 9112)."""
import threading
import unittest

import kit
from kit import path

class HttpCase(kit.Case):
    def setUp(self):
        super().setUp()
        # Sent right behind what ought to be refused: never to be served.
        self.smuggled = (b"PUT /streams/smuggled-%s HTTP/1.1\r\nHost: x\r\n"
                         b"Content-Length: 0\r\n\r\n" % self.key.encode())

    def check_smuggled(self, data):
        self.assertEqual(self.server.ask(
            "GET", path("smuggled-" + self.key, "/info")).status, 404,
            data[:200])

    def refused(self, data, *statuses):
        """Refused, and the connection closed, whatever follows."""
        conn = self.server.connect()
        conn.send(data + self.smuggled)
        response = conn.response()
        self.assertIn(response.status, statuses, data[:200])
        self.status(response, response.status)
        self.assertTrue(response.closes, data[:200])
        self.assertTrue(conn.is_at_end(), data[:200])
        conn.close()
        self.check_smuggled(data)
        return response

    def served(self, data, status, method="GET"):
        conn = self.server.connect()
        conn.send(data)
        response = conn.response(method)
        self.assertEqual(response.status, status, data[:200])
        return response, conn

    def events(self, key=None):
        """The data of the events of a stream, which is ended for it."""
        self.server.end(key or self.key)
        return [e.data for e in
                self.server.reader(key or self.key).rest()[1:-1]]

    def post(self, *fields, body=b"", version="1.1", tail="/events"):
        """The bytes of a POST with these header fields and no others."""
        return (b"POST " + path(self.key, tail).encode() + b" HTTP/"
                + version.encode() + b"\r\nHost: x\r\n"
                + b"".join(field + b"\r\n" for field in fields)
                + b"\r\n" + body)


class Smuggling(HttpCase):
    def test_length_and_coding(self):
        self.refused(self.post(b"Content-Length: 5",
                               b"Transfer-Encoding: chunked",
                               body=b"0\r\n\r\n"), 400)
        self.refused(self.post(b"Transfer-Encoding: chunked",
                               b"Content-Length: 5",
                               body=b"0\r\n\r\n"), 400)
        self.refused(self.post(b"Content-Length: 0",
                               b"Transfer-Encoding: chunked",
                               body=b"0\r\n\r\n"), 400)

    def test_two_lengths(self):
        self.refused(self.post(b"Content-Length: 5", b"Content-Length: 6",
                               body=b"hello"), 400)
        self.refused(self.post(b"Content-Length: 5", b"Content-Length: 0",
                               body=b"hello"), 400)
        self.refused(self.post(b"Content-Length: 5, 6", body=b"hello"), 400)
        self.refused(self.post(b"Content-Length: 5, 5", body=b"hello"), 400)

    def test_a_length_said_twice_is_one(self):
        # RFC 9110, section 8.6, leaves the choice.
        response, conn = self.served(self.post(
            b"Content-Length: 5", b"content-length: 5", body=b"hello"), 201)
        self.assertFalse(response.closes)
        self.assertEqual(conn.ask("GET", "/healthz").status, 200)

    def test_lengths_that_are_none(self):
        for value in (b"", b"+5", b"-5", b"-0", b"0x5", b"5 5", b"5;", b"5,",
                      b",5", b"five", b"5.0", b"5e0", b"\xd9\xa5", b"5\x0b",
                      b"'5'", b"1" * 400 + b"x"):
            self.refused(self.post(b"Content-Length: " + value,
                                   body=b"hello"), 400)
        for value in (b"18446744073709551615", b"18446744073709551616",
                      b"99999999999999999999", b"1" * 400):
            self.refused(self.post(b"Content-Length: " + value,
                                   body=b"hello"), 413)
        for value in (b"\t5", b"5 ", b"   5\t ", b"05"):
            self.served(self.post(b"Content-Length:" + value, body=b"hello"),
                        201)

    def test_codings_that_are_not_chunked(self):
        for value in (b"", b"identity", b"gzip", b"gzip, chunked",
                      b"chunked, gzip", b"chunked, chunked", b"xchunked",
                      b"chunkedx", b"chunked;q=1", b"\x0bchunked",
                      b"chunked\x0c", b"'chunked'", b"chunked,", b", chunked",
                      b"chunked \x01"):
            self.refused(self.post(b"Transfer-Encoding: " + value,
                                   body=b"0\r\n\r\n"), 400, 501)
        for value in (b"chunked", b"Chunked", b"CHUNKED", b"\tchunked \t"):
            self.served(self.post(b"Transfer-Encoding:" + value,
                                  body=b"0\r\n\r\n"), 201)

    def test_two_codings(self):
        self.refused(self.post(b"Transfer-Encoding: chunked",
                               b"Transfer-Encoding: chunked",
                               body=b"0\r\n\r\n"), 400)
        self.refused(self.post(b"Transfer-Encoding: chunked",
                               b"Transfer-Encoding: identity",
                               body=b"0\r\n\r\n"), 400)
        self.refused(self.post(b"Transfer-Encoding: identity",
                               b"Transfer-Encoding: chunked",
                               body=b"0\r\n\r\n"), 400, 501)

    def test_a_coding_in_http_1_0(self):
        self.refused(self.post(b"Transfer-Encoding: chunked",
                               body=b"0\r\n\r\n", version="1.0"), 400)

    def test_names_that_are_not_tokens(self):
        for field in (b"Content-Length : 5", b"Content-Length\t: 5",
                      b" Content-Length: 5", b"Content\x00Length: 5",
                      b"Content Length: 5", b"Content-Length\r: 5",
                      b": 5", b"Content-Length", b"Content\xadLength: 5",
                      b"Con(tent: 5", b"\"Content-Length\": 5",
                      b"Transfer-Encoding : chunked", b"X\x7f: y"):
            self.refused(self.post(field, body=b"hello"), 400)

    def test_folded_lines(self):
        self.refused(self.post(b"X: a\r\n b"), 400)
        self.refused(self.post(b"X: a\r\n\tb"), 400)
        self.refused(self.post(b"Transfer-Encoding:\r\n chunked",
                               body=b"0\r\n\r\n"), 400, 501)
        self.refused(b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400)

    def test_bare_cr_and_nul(self):
        for value in (b"a\rb", b"a\rTransfer-Encoding: chunked", b"a\x00b",
                      b"\x00", b"a\r\r", b"\r"):
            self.refused(self.post(b"X: " + value), 400)
        for line in (b"GET /\rx HTTP/1.1", b"GET / HTTP/1.1\r",
                     b"GET\r/ HTTP/1.1", b"GET /\x00 HTTP/1.1",
                     b"G\x00T / HTTP/1.1", b"GET / HTTP/1.1\x00",
                     b"\rGET / HTTP/1.1"):
            self.refused(line + b"\r\nHost: x\r\n\r\n", 400)

    def test_chunk_sizes_that_are_none(self):
        for size in (b"", b" 5", b"5 ", b"+5", b"-5", b"0x5", b"5\t", b"g",
                     b"5,", b"5 ;x", b"\x005", b"5\r", b";x"):
            self.refused(self.post(b"Transfer-Encoding: chunked",
                                   body=size + b"\r\nhello\r\n0\r\n\r\n"),
                         400)
        for size in (b"10000000000000000", b"F" * 16, b"f" * 17, b"1" * 100,
                     b"0" * 5000 + b"5"):
            self.refused(self.post(b"Transfer-Encoding: chunked",
                                   body=size + b"\r\nhello\r\n0\r\n\r\n"),
                         400, 413, 431)
        self.assertEqual(self.server.ask(
            "GET", path(self.key, "/info")).status, 404)

    def test_chunks_that_are_not_framed(self):
        for body in (b"5\nhello\n0\n\n", b"5\r\nhello0\r\n\r\n",
                     b"5\r\nhello\n0\r\n\r\n", b"5\r\nhelloworld\r\n0\r\n\r\n",
                     b"5\r\nhello\r0\r\n\r\n", b"5;a\nhello\r\n0\r\n\r\n",
                     b"5;a\rb\r\nhello\r\n0\r\n\r\n", b"0\r\nX: y\n\r\n",
                     b"0\r\nX: y\rz\r\n\r\n", b"0\r\n\n", b"0\n\n"):
            self.refused(self.post(b"Transfer-Encoding: chunked", body=body),
                         400)
        self.assertEqual(self.server.ask(
            "GET", path(self.key, "/info")).status, 404)

    def test_a_body_on_a_get_is_not_a_request(self):
        for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS"):
            conn = self.server.connect()
            conn.send(method + b" /healthz HTTP/1.1\r\nHost: x\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(self.smuggled) + self.smuggled
                      + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(conn.response(method.decode()).status,
                          (200, 204, 405))
        self.check_smuggled(b"")

    def test_a_refused_body_is_not_a_request(self):
        # The head is refused before the body comes; what then comes is not
        # looked at.
        for head in (b"POST /nothing", b"PATCH /streams/a",
                     b"PUT /streams/a/events", b"PUT /streams/%zz"):
            self.refused(head + b" HTTP/1.1\r\nHost: x\r\n"
                         b"Content-Length: %d\r\n\r\n" % len(self.smuggled)
                         + self.smuggled, 400, 404, 405, 501)


class RequestLine(HttpCase):
    def test_lines_that_are_none(self):
        for line in (b"GET", b"GET /", b"GET / ", b"GET  / HTTP/1.1",
                     b"GET / HTTP/1.1 ", b"GET / HTTP/1.1 x", b" GET / HTTP/1.1",
                     b"GET /  HTTP/1.1", b"GET\t/\tHTTP/1.1", b"/ HTTP/1.1",
                     b"GET / http/1.1", b"GET / HTTP/1", b"GET / HTTP/1.",
                     b"GET / HTTP/1.1.1", b"GET / HTTP/11", b"GET / HTTP 1.1",
                     b"GET / XTTP/1.1", b"GET healthz HTTP/1.1",
                     b"GET ?x HTTP/1.1", b"GET * HTTP/1.1",
                     b"GE(T / HTTP/1.1", b"GET /\x7f HTTP/1.1",
                     b"GET /\xc3\xa4 HTTP/1.1", b"GET /\x01 HTTP/1.1",
                     b"GET ftp://x/ HTTP/1.1", b"GET x:80 HTTP/1.1",
                     b"GET http:/x HTTP/1.1", b"GET // HTTP/1.1x"):
            self.refused(line + b"\r\nHost: x\r\n\r\n", 400)

    def test_other_versions(self):
        for version in (b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.0", b"HTTP/9.9"):
            self.refused(b"GET / " + version + b"\r\nHost: x\r\n\r\n", 400,
                         505)

    def test_a_later_minor_version_is_answered_as_1_1(self):
        for version in (b"HTTP/1.2", b"HTTP/1.9"):
            self.served(b"GET /healthz " + version
                        + b"\r\nHost: x\r\n\r\n", 200)

    def test_refusals_are_named_as_all_errors_are(self):
        for data, status, error, word in (
                (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request", "Host"),
                (b"GET /" + b"x" * 9000, 414, "uri_too_long", "Long"),
                (b"POST /streams/x/events HTTP/1.1\r\nHost: x\r\n"
                 b"Expect: more\r\n\r\n", 417, "expectation_failed",
                 "100-continue"),
                (b"POST /streams/x/events HTTP/1.1\r\nHost: x\r\n"
                 b"Transfer-Encoding: gzip\r\n\r\n", 501, "not_implemented",
                 "chunked")):
            said = self.refused(data, status).json()
            self.assertEqual(said["error"], error)
            self.assertIn(word, said["message"])

    def test_the_preface_of_http_2(self):
        conn = self.server.connect()
        conn.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0")
        response = conn.response()
        self.assertIn(response.status, (400, 505))
        self.assertTrue(conn.is_at_end())

    def test_a_tls_hello(self):
        conn = self.server.connect()
        conn.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        self.assertEqual(conn.response().status, 400)
        self.assertTrue(conn.is_at_end())

    def test_an_upgrade_is_not_taken_up(self):
        response, conn = self.served(
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n"
            b"Connection: Upgrade, HTTP2-Settings\r\n"
            b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", 200)
        self.assertEqual(conn.ask("GET", "/healthz").status, 200)

    def test_http_1_0(self):
        response, conn = self.served(b"GET /healthz HTTP/1.0\r\n\r\n", 200)
        self.assertTrue(response.closes)
        self.assertTrue(conn.is_at_end())
        response, conn = self.served(
            b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200)
        self.assertEqual(response.get("connection"), "keep-alive")
        conn.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        self.assertEqual(conn.response().status, 200)
        self.assertTrue(conn.is_at_end())

    def test_the_absolute_form(self):
        for target in (b"http://x/healthz", b"http://x:80/healthz?a=b",
                       b"HTTP://x/healthz", b"http://other/healthz"):
            self.served(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                        200)
        # A path may be left out; its query may have a slash.
        for target in (b"http://x", b"http://x?a=/healthz"):
            response, _ = self.served(
                b"OPTIONS " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n", 204)
            self.assertEqual(response.get("allow"), "GET, HEAD, OPTIONS")

    def test_an_asterisk_is_for_options(self):
        response, conn = self.served(
            b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 204)
        self.assertIn("OPTIONS", response.get("allow"))
        self.assertEqual(conn.ask("GET", "/healthz").status, 200)

    def test_hosts(self):
        self.refused(b"GET /healthz HTTP/1.1\r\n\r\n", 400)
        self.refused(b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
                     400)
        self.refused(b"GET /healthz HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n",
                     400)
        for value in (b"x", b"", b"x:1", b"[::1]:80"):
            self.served(b"GET /healthz HTTP/1.1\r\nHost: " + value
                        + b"\r\n\r\n", 200)

    def test_fields_that_can_stand_but_once(self):
        for name in (b"Last-Event-ID", b"Authorization", b"Origin"):
            self.refused(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + name
                         + b": http://x\r\n" + name + b": http://x\r\n\r\n",
                         400)

    def test_a_lone_lf_ends_a_line(self):
        self.served(b"GET /healthz HTTP/1.1\nHost: x\n\n", 200)
        self.served(b"GET /healthz HTTP/1.1\r\nHost: x\n\r\n", 200)

    def test_empty_lines_before_a_request(self):
        response, conn = self.served(
            b"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n\r\n", 200)
        self.assertEqual(conn.ask("GET", "/healthz").status, 200)

    def test_methods(self):
        for method in ("PATCH", "TRACE", "CONNECT", "BREW", "get", "X" * 2000):
            response = self.server.ask(method, "/healthz")
            self.status(response, 501)
        for method, target, allow in (
                ("POST", "/healthz", "GET, HEAD, OPTIONS"),
                ("PUT", "/stats", "GET, HEAD, OPTIONS"),
                ("DELETE", "/metrics", "GET, HEAD, OPTIONS"),
                ("POST", "/streams/a", "GET, HEAD, PUT, DELETE, OPTIONS"),
                ("GET", "/streams/a/events", "POST, OPTIONS"),
                ("PUT", "/streams/a/signals", "POST, OPTIONS"),
                ("GET", "/streams/a/end", "POST, OPTIONS"),
                ("DELETE", "/streams/a/fail", "POST, OPTIONS"),
                ("POST", "/streams/a/info", "GET, HEAD, OPTIONS")):
            response = self.server.ask(method, target)
            self.status(response, 405)
            self.assertEqual(response.get("allow"), allow)
        conn = self.server.connect()
        response = conn.ask("HEAD", "/streams/a/events")
        self.assertEqual(response.status, 405)
        self.assertEqual(conn.ask("GET", "/healthz").status, 200)

    def test_options(self):
        for target, allow in (("/streams/a", "GET, HEAD, PUT, DELETE, OPTIONS"),
                              ("/streams/a/events", "POST, OPTIONS"),
                              ("/healthz", "GET, HEAD, OPTIONS")):
            conn = self.server.connect()
            response = conn.ask("OPTIONS", target)
            self.assertEqual(response.status, 204)
            self.assertEqual(response.get("allow"), allow)
            self.assertIsNone(response.get("access-control-allow-methods"))
            self.assertEqual(conn.ask("GET", "/healthz").status, 200)


class Size(HttpCase):
    options = ("--max-body", "1000")

    def test_targets(self):
        def line(size):
            return b"GET /healthz?" + b"x" * (size - 9) + b" HTTP/1.1\r\n"
        self.served(line(8192) + b"Host: x\r\n\r\n", 200)
        self.refused(line(8193) + b"Host: x\r\n\r\n", 414)
        self.refused(line(16000) + b"Host: x\r\n\r\n", 414)
        self.refused(line(60000) + b"Host: x\r\n\r\n", 414)

    def test_the_refusal_of_a_head_request_has_no_body(self):
        for rest, status in ((b"/ HTTP/1.1\r\n\r\n", 400),
                             (b"/ HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
                              400),
                             (b"no/path HTTP/1.1\r\nHost: x\r\n\r\n", 400),
                             (b"/ HTTP/2.0\r\nHost: x\r\n\r\n", 505),
                             (b"/" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
                             (b"/" + b"x" * 9000, 414),
                             (b"/ HTTP/1.1\r\nX: " + b"x" * 20000, 431),
                             (b"/ HTTP/1.1\r\nHost: x\r\nContent-Length: "
                              b"1001\r\n\r\n", 413),
                             (b"/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                              b"chunked\r\n\r\nx", 400)):
            conn = self.server.connect()
            conn.send(b"HEAD " + rest)
            response = conn.response("HEAD")
            self.assertEqual(response.status, status, rest[:50])
            self.assertNotEqual(response.get("content-length"), "0")
            self.assertTrue(conn.is_at_end(), rest[:50])
        # What is refused after one has the body of its own method.
        conn = self.server.connect()
        self.assertEqual(conn.ask("HEAD", "/healthz").status, 200)
        conn.send(b"nonsense\r\n\r\n")
        self.status(conn.response(), 400)

    def test_no_limit_of_bodies(self):
        with kit.Server("--max-body", "0") as server:
            for size in (1, 1000000):
                self.status(server.publish(self.key, b"x" * size), 201)

    def test_a_request_line_without_an_end(self):
        conn = self.server.connect()
        conn.send(b"GET /" + b"x" * 20000)
        self.status(conn.response(), 414)
        self.assertTrue(conn.is_at_end())

    def test_heads(self):
        def head(size):
            text = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "
            return text + b"x" * (size - len(text) - 4) + b"\r\n\r\n"
        self.served(head(16384), 200)
        self.refused(head(16385), 431)
        self.refused(head(60000), 431)
        conn = self.server.connect()
        conn.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 3000)
        self.status(conn.response(), 431)
        self.assertTrue(conn.is_at_end())

    def test_empty_lines_without_an_end(self):
        conn = self.server.connect()
        conn.send(b"\r\n" * 10000)
        self.assertIn(conn.response().status, (400, 431))
        self.assertTrue(conn.is_at_end())

    def test_bodies(self):
        self.status(self.server.publish(self.key, b"x" * 1000), 201)
        # Refused by its length, before any of it is sent.
        by_length = self.refused(self.post(b"Content-Length: 1001"), 413)
        self.refused(self.post(b"Content-Length: 18446744073709551599"), 413)
        by_chunk = self.refused(self.post(b"Transfer-Encoding: chunked",
                                          body=b"3E9\r\n" + b"x" * 1001
                                          + b"\r\n0\r\n\r\n"), 413)
        self.assertEqual(by_length.body, by_chunk.body)
        self.refused(self.post(b"Transfer-Encoding: chunked",
                               body=b"1F4\r\n" + b"x" * 500 + b"\r\n1F5\r\n"
                               + b"x" * 501 + b"\r\n0\r\n\r\n"), 413)
        self.served(self.post(b"Transfer-Encoding: chunked",
                              body=b"1F4\r\n" + b"x" * 500 + b"\r\n1F4\r\n"
                              + b"x" * 500 + b"\r\n0\r\n\r\n"), 201)
        self.assertEqual(len(self.events()), 2)

    def test_bodies_that_are_too_many_together(self):
        # Four of the largest fit in at once.
        conns = [self.server.connect() for _ in range(4)]
        for conn in conns:
            conn.send(conn.request("POST", path(self.key, "/events"),
                                   b"x" * 1000)[:-10])
            # It is read when another is answered.
            self.server.stats()
        late = self.server.connect()
        late.send(late.request("POST", path(self.key, "/events"),
                               b"x" * 60)[:-1])
        self.status(late.response(), 503)
        self.assertTrue(late.is_at_end())
        for conn in conns:
            conn.send(b"x" * 10)
            self.assertEqual(conn.response().status, 201)
        # They are not counted for ever.
        for _ in range(10):
            self.status(self.server.publish(self.key, b"x" * 1000), 201)
        self.assertEqual(self.server.info(self.key)["last"], 14)

    def test_extensions_and_trailers(self):
        def body(extension, trailer):
            return (b"1;" + b"e" * extension + b"\r\nx\r\n0\r\n"
                    + b"T: " + b"t" * trailer + b"\r\n\r\n")
        chunked = b"Transfer-Encoding: chunked"
        self.served(self.post(chunked, body=body(2000, 2000)), 201)
        self.refused(self.post(chunked, body=body(5000, 0)), 431)
        self.refused(self.post(chunked, body=body(0, 5000)), 431)
        self.refused(self.post(chunked, body=body(3000, 3000)), 431)
        self.refused(self.post(chunked, body=b"0\r\n" + b"T: t\r\n" * 2000),
                     431)

    def test_an_event_that_is_too_big(self):
        with kit.Server("--max-event", "1K") as server:
            self.status(server.publish("k", b"x" * 1024), 201)
            response = server.publish("k", b"x" * 1025)
            self.status(response, 413)
            self.assertEqual(response.json()["error"], "event_too_big")
            # Its body was read: the connection is as good as ever.
            conn = server.connect()
            self.assertEqual(conn.ask("POST", path("k", "/events"),
                                      b"x" * 1025).status, 413)
            self.assertEqual(conn.ask("POST", path("k", "/events"),
                                      b"x").status, 201)
        with kit.Server("--max-event-lines", "3") as server:
            self.status(server.publish("k", b"1\n2\r3"), 201)
            self.status(server.publish("k", b"1\n2\r3\r\n"), 413)


class Pieces(HttpCase):
    """Every split of bytes means the same."""

    def test_a_head_one_byte_at_a_time(self):
        conn = self.server.connect()
        conn.send_pieces(b"\r\nGET /healthz?x=y HTTP/1.1\r\nHost: x\r\n"
                         b"Accept: */*\r\n\r\n")
        self.assertEqual(conn.response().status, 200)

    def test_chunks_in_one_byte_pieces(self):
        conn = self.server.connect()
        conn.send_pieces(self.post(
            b"Transfer-Encoding: chunked",
            body=b"5;name=value;other=\"quoted\"\r\nhello\r\n"
            b"1;x\r\n,\r\n0006\r\n world\r\n0;last\r\nTrailer: x\r\n"
            b"Content-Length: 5\r\n\r\n"))
        self.assertEqual(conn.response().status, 201)
        # A trailer is not a header, and the connection is where it should be.
        self.assertEqual(conn.ask("POST", path(self.key, "/events"),
                                  b"next").status, 201)
        self.assertEqual(self.events(), ["hello, world", "next"])

    def test_two_requests_cut_at_every_offset(self):
        data = (self.post(b"Content-Length: 5", body=b"first")
                + self.post(b"Transfer-Encoding: chunked",
                            body=b"3\r\nsec\r\n3;e\r\nond\r\n0\r\nT: t\r\n"
                            b"\r\n"))
        conn = self.server.connect()
        for at in range(1, len(data)):
            conn.send(data[:at])
            conn.send(data[at:])
            self.assertEqual(conn.response().status, 201)
            self.assertEqual(conn.response().status, 201)
        self.assertEqual(self.events(),
                         ["first", "second"] * (len(data) - 1))

    def test_a_thousand_requests_in_one_write(self):
        conn = self.server.connect()
        conn.send(b"".join(
            conn.request("POST", path(self.key, "/events"), b"%d" % i)
            for i in range(1000)))
        ids = []
        for _ in range(1000):
            response = conn.response()
            self.assertEqual(response.status, 201)
            ids.append(kit.seq_of(response.json()["id"]))
        self.assertEqual(ids, list(range(1, 1001)))
        self.assertEqual(self.events(), [str(i) for i in range(1000)])

    def test_answers_that_are_more_than_a_socket_takes(self):
        # More than the server is willing to keep: it waits with the requests.
        # The last of them may be followed by nothing, or by the half of one.
        for rest, half_close in ((b"", False), (b"GET", False), (b"", True),
                                 (b"GET", True)):
            for rcvbuf in (4096, None):
                conn = self.server.connect(rcvbuf)
                conn.send(conn.request("GET", "/metrics") * 800 + rest)
                if half_close:
                    conn.half_close()
                for _ in range(800):
                    self.assertEqual(conn.response().status, 200)
                if half_close:
                    self.assertTrue(conn.is_at_end())
                elif rest:
                    conn.send(b" /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                    self.assertEqual(conn.response().status, 200)
                conn.close()

    def test_mixed_requests_in_one_write(self):
        conn = self.server.connect()
        conn.send(conn.request("PUT", path(self.key), b"")
                  + conn.request("GET", "/healthz")
                  + conn.request("HEAD", "/healthz")
                  + conn.request("GET", "/nothing")
                  + conn.request("OPTIONS", "/healthz")
                  + conn.request("POST", path(self.key, "/events"), b"a")
                  + conn.request("POST", path(self.key, "/end"), b"")
                  + conn.request("GET", path(self.key, "/info"))
                  + conn.request("GET", path(self.key)))
        self.assertEqual(
            [conn.response(m).status for m in
             ("PUT", "GET", "HEAD", "GET", "OPTIONS", "POST", "POST")],
            [201, 200, 200, 404, 204, 201, 200])
        self.assertEqual(conn.response().json()["last"], 2)
        decoder = kit.Decoder()
        self.assertEqual(conn.head().status, 200)
        events = decoder.feed(conn.read_to_end())
        self.assertEqual([e.type for e in events],
                         ["weir.ready", "message", "weir.done"])

    def test_what_follows_a_stream_is_not_served(self):
        self.server.open(self.key)
        conn = self.server.connect()
        conn.send(conn.request("GET", path(self.key)) + self.smuggled)
        self.assertEqual(conn.head().status, 200)
        conn.send(self.smuggled)
        self.server.end(self.key)
        conn.read_to_end()
        self.check_smuggled(b"")

    def test_who_says_that_nothing_follows_gets_an_answer(self):
        conn = self.server.connect()
        conn.send(conn.request("GET", "/healthz") * 3)
        conn.half_close()
        for _ in range(3):
            self.assertEqual(conn.response().status, 200)
        self.assertTrue(conn.is_at_end())
        conn = self.server.connect()
        conn.send(b"".join(
            conn.request("POST", path(self.key, "/events"), b"%d" % i)
            for i in range(50)))
        conn.half_close()
        for _ in range(50):
            self.assertEqual(conn.response().status, 201)
        self.assertTrue(conn.is_at_end())

    def test_half_a_request_is_none(self):
        for data in (self.post(b"Content-Length: 5", body=b"hell"),
                     self.post(b"Transfer-Encoding: chunked",
                               body=b"5\r\nhello\r\n"),
                     self.post(b"Transfer-Encoding: chunked",
                               body=b"5\r\nhello\r\n0\r\n"),
                     self.post(b"Content-Length: 0")[:-1]):
            conn = self.server.connect()
            conn.send(data)
            conn.half_close()
            self.assertEqual(conn.read_to_end(), b"")
        self.assertEqual(self.server.ask(
            "GET", path(self.key, "/info")).status, 404)


class Flood(HttpCase):
    """Who asks and does not listen is not listened to."""

    options = ("--stall", "0", "--request-timeout", "0")

    def test_requests_wait_for_room(self):
        conn = self.server.connect(rcvbuf=4096)
        conn.sock.setblocking(False)
        data = conn.request("GET", "/healthz") * 100
        pause = threading.Event()
        quiet = 0
        for _ in range(200):
            try:
                while True:
                    sent = conn.sock.send(data)
                    data = data[sent:] + data[:sent]
                    quiet = 0
            except BlockingIOError:
                quiet += 1
            if quiet == 5:
                break
            pause.wait(0.05)
        # The sockets are full, and stay so: the server reads no more.
        self.assertEqual(quiet, 5)
        self.assertEqual(self.server.ask("GET", "/healthz").status, 200)


class Expect(HttpCase):
    options = ("--max-body", "1000")

    def expect(self, *fields, tail="/events", version="1.1"):
        conn = self.server.connect()
        conn.send(self.post(b"Expect: 100-continue", *fields, tail=tail,
                            version=version))
        return conn

    def test_with_a_body_that_waits(self):
        for field, body in ((b"Content-Length: 5", b"hello"),
                            (b"Transfer-Encoding: chunked",
                             b"5\r\nhello\r\n0\r\n\r\n")):
            conn = self.expect(field)
            self.assertEqual(conn.head().raw, b"HTTP/1.1 100 Continue")
            conn.send(body)
            self.assertEqual(conn.response().status, 201)
            self.assertEqual(conn.ask("GET", "/healthz").status, 200)

    def test_with_a_body_that_comes_at_once(self):
        conn = self.server.connect()
        conn.send(self.post(b"Expect: 100-continue", b"Content-Length: 5",
                            body=b"hello"))
        response = conn.response()
        if response.status == 100:
            response = conn.response()
        self.assertEqual(response.status, 201)

    def test_without_a_body(self):
        for fields in ((), (b"Content-Length: 0",)):
            conn = self.expect(*fields)
            self.assertEqual(conn.response().status, 201)

    def test_that_fails(self):
        # One answer, the final one, and none of the body is read.
        conn = self.expect(b"Content-Length: 1001")
        response = self.status(conn.response(), 413)
        self.assertTrue(response.closes)
        conn = self.expect(b"Content-Length: 5", tail="/nothing")
        self.status(conn.response(), 404)
        self.assertTrue(conn.is_at_end())
        conn = self.expect(b"Content-Length: 5", tail="/info")
        self.status(conn.response(), 405)
        self.assertTrue(conn.is_at_end())

    def test_of_something_else(self):
        for value in (b"100-continued", b"200-ok", b"", b"100-continue, x"):
            self.refused(self.post(b"Expect: " + value,
                                   b"Content-Length: 5"), 417)
        conn = self.server.connect()
        conn.send(self.post(b"expect: 100-CONTINUE", b"Content-Length: 1"))
        self.assertEqual(conn.head().status, 100)

    def test_in_http_1_0_is_nothing(self):
        # RFC 9110, section 10.1.1: such a client knows no 100.
        conn = self.expect(b"Content-Length: 5", version="1.0")
        conn.send(b"hello")
        self.assertEqual(conn.response().status, 201)


class Head(HttpCase):
    def test_has_the_head_of_a_get_and_no_body(self):
        self.server.open(self.key)
        for target in ("/healthz", "/stats", "/metrics", "/nothing",
                       path(self.key, "/info"), path(self.key, **{"from": 3}),
                       "/streams/nothing"):
            conn = self.server.connect()
            get = conn.ask("GET", target)
            head = conn.ask("HEAD", target)
            self.assertEqual(head.status, get.status)
            names = [name for name, _ in get.fields]
            self.assertEqual([name for name, _ in head.fields], names)
            self.assertIn("content-length", names)
            # If there were a body, this would not be a response.
            self.assertEqual(conn.ask("GET", "/healthz").status, 200)

    def test_of_what_has_ended(self):
        self.server.open(self.key)
        last = self.server.end(self.key).json()["id"]
        conn = self.server.connect()
        self.assertEqual(conn.ask("HEAD", path(self.key), headers=[
            ("Last-Event-ID", last)]).status, 204)
        self.assertEqual(conn.ask("HEAD", path(self.key)).status, 200)
        self.assertTrue(conn.is_at_end())


class KeepAlive(HttpCase):
    def test_goes_on_after_errors_that_concern_the_request_alone(self):
        self.server.open(self.key)
        self.server.end(self.key)
        conn = self.server.connect()
        for method, target, body, status in (
                ("GET", "/nothing", None, 404),
                ("GET", "/streams/nothing", None, 404),
                ("POST", "/healthz", None, 405),
                ("POST", path(self.key, "/events"), b"x", 409),
                ("POST", "/streams/a/events?type=error", b"x", 400),
                ("POST", "/streams/a/events", b"\xff", 400),
                ("PUT", path(self.key, on_duplicate="?"), b"", 400),
                ("POST", "/streams/nothing/end", b"", 404),
                ("BREW", "/", None, 501)):
            response = self.status(conn.ask(method, target, body), status)
            self.assertFalse(response.closes, target)
        self.assertEqual(conn.ask("GET", "/healthz").status, 200)

    def test_ends_where_a_body_was_not_read(self):
        for method, target in (("POST", "/nothing"), ("POST", "/healthz"),
                               ("BREW", "/healthz")):
            conn = self.server.connect()
            response = conn.ask(method, target, b"x" * 10)
            self.assertTrue(response.closes)
            self.assertTrue(conn.is_at_end())

    def test_ends_when_asked(self):
        for value in ("close", "Close", "x, close", "close, x",
                      "keep-alive, close"):
            conn = self.server.connect()
            response = conn.ask("GET", "/healthz",
                                headers=[("Connection", value)])
            self.assertTrue(response.closes, value)
            self.assertTrue(conn.is_at_end())
        # Who says both has said close, also in HTTP/1.0.
        response, conn = self.served(
            b"GET /healthz HTTP/1.0\r\nConnection: close\r\n"
            b"Connection: keep-alive\r\n\r\n", 200)
        self.assertTrue(response.closes)
        self.assertTrue(conn.is_at_end())

    def test_a_client_that_asks_again_and_again(self):
        conn = self.server.connect()
        for _ in range(1000):
            self.assertEqual(conn.ask("GET", "/healthz").status, 200)


class Slots(HttpCase):
    def r53_connections_that_never_began_leave_nothing(self):
        self.server.open(self.key)
        begun = (b"", b"G", b"GET " + path(self.key).encode(),
                 self.server.connect().request("GET", path(self.key)),
                 self.post(b"Content-Length: 5", body=b"he"),
                 self.post(b"Transfer-Encoding: chunked", body=b"5\r\nh"))
        for i in range(200):
            conn = self.server.connect()
            conn.send(begun[i % len(begun)])
            if i % 2:
                conn.reset()
            else:
                conn.close()
        self.server.let_go()
        self.server.wait_stats(connections=1, subscribers=0, pending=0)
        self.assertEqual(self.server.info(self.key)["last"], 0)

    def test_clients_keys_of_refused_readers_leave_nothing(self):
        conn = self.server.connect()
        for i in range(50):
            self.assertEqual(conn.ask(
                "GET", "/streams/nothing?client=%d" % i).status, 404)


if __name__ == "__main__":
    unittest.main()
