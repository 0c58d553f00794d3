# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Who may ask: origins, preflights, the token of publishers."""
import unittest

import kit
from kit import path

APP = "https://app.example"
EVIL = "https://evil.example"


def origin(value):
    return [("Origin", value)]


class AccessCase(kit.Case):
    def untouched(self):
        """Nobody has opened the stream of this test."""
        self.assertEqual(self.server.ask(
            "GET", path(self.key, "/info")).status, 404)


class NoCors(AccessCase):
    """Without --cors: pages of this server's own, and programs."""

    def test_other_origins_may_nothing(self):
        self.server.open(self.key)
        address = "%s:%d" % self.server.address
        for value in (EVIL, "null", "http://%s.evil.example" % address,
                      "http://evil.example/" + address, "http://" + address
                      + "/", "ftp://" + address, "http://", "", address,
                      "http://127.0.0.1", "http://user@" + address,
                      "HTTP://" + address, "http://localhost:%d"
                      % self.server.address[1]):
            for method, target, body in (
                    ("GET", path(self.key), None),
                    ("GET", "/stats", None),
                    ("POST", path(self.key, "/events"), b"x"),
                    ("PUT", path(self.key), b""),
                    ("DELETE", path(self.key), None),
                    ("OPTIONS", path(self.key), None)):
                response = self.server.ask(method, target, body,
                                           origin(value))
                self.status(response, 403)
                self.assertEqual(response.get("vary"), "Origin")
                self.assertIsNone(response.get("access-control-allow-origin"))
        self.assertEqual(self.server.info(self.key)["last"], 0)

    def r66_an_origin_is_refused_before_the_stream(self):
        self.server.publish(self.key, b"secret")
        response = self.server.ask("GET", path(self.key), None, origin(EVIL))
        self.status(response, 403)
        self.assertEqual(response.get("vary"), "Origin")
        self.assertNotIn(b"secret", response.body)
        self.assertEqual(self.server.info(self.key)["subscribers"], 0)

    def test_its_own_origin_may_all(self):
        for scheme in ("http", "https"):
            own = origin("%s://%s:%d" % ((scheme,) + self.server.address))
            self.assertIn(self.server.ask(
                "PUT", path(self.key), b"", own).status, (200, 201))
            reader = self.server.reader(self.key, headers=own)
            self.assertTrue(reader.ready)
            self.assertIsNone(
                reader.response.get("access-control-allow-origin"))

    def test_a_simple_request_needs_no_preflight_and_is_refused_itself(self):
        # As a form on another page would send it.
        response = self.server.ask(
            "POST", path(self.key, "/events"), b"data=evil",
            origin(EVIL) + [("Content-Type",
                             "application/x-www-form-urlencoded")])
        self.status(response, 403)
        self.assertEqual(self.server.ask(
            "GET", path(self.key, "/info")).status, 404)

    def test_who_is_no_page_has_no_origin(self):
        self.status(self.server.open(self.key), 201)


class OneOrigin(AccessCase):
    options = ("--cors", APP)

    def allowed(self, response):
        self.assertEqual(response.all("access-control-allow-origin"), [APP])
        self.assertIn("Origin", response.get("vary").split(", "))
        self.assertIn("X-Stream-Id", response.get(
            "access-control-expose-headers"))

    def test_every_response_says_so(self):
        self.allowed(self.server.ask("PUT", path(self.key), b"", origin(APP)))
        reader = self.server.reader(self.key, headers=origin(APP))
        self.assertTrue(reader.ready)
        self.allowed(reader.response)
        last = self.server.end(self.key).json()["id"]
        for method, target, headers in (
                ("GET", path(self.key), [("Last-Event-ID", last)]),
                ("HEAD", path(self.key), []),
                ("GET", path(self.key, "/info"), []),
                ("GET", "/stats", []), ("GET", "/metrics", []),
                ("GET", "/nothing", []), ("PATCH", "/stats", []),
                ("POST", "/stats", []), ("GET", "/streams/nothing", []),
                ("POST", path(self.key, "/events"), []),
                ("GET", path(self.key, **{"from": "x"}), [])):
            self.allowed(self.server.ask(method, target, None,
                                         origin(APP) + headers))

    def test_also_to_who_does_not_say_where_it_is_from(self):
        self.allowed(self.server.ask("GET", "/stats"))

    def test_other_origins_may_nothing(self):
        for value in (EVIL, "null", APP + ".evil.example", APP + ":8443",
                      "http://app.example", "https://APP.example"):
            for method in ("GET", "PUT", "OPTIONS"):
                response = self.server.ask(method, path(self.key), None,
                                           origin(value))
                self.status(response, 403)
                self.assertEqual(response.all("vary"), ["Origin"])
        self.untouched()

    def test_its_own_origin_may_too(self):
        own = origin("http://%s:%d" % self.server.address)
        self.assertEqual(self.server.ask("GET", "/stats", None,
                                         own).status, 200)

    def test_a_preflight_for_last_event_id(self):
        response = self.server.ask("OPTIONS", path(self.key), None,
                                   origin(APP) + [
            ("Access-Control-Request-Method", "GET"),
            ("Access-Control-Request-Headers", "last-event-id")])
        self.assertEqual(response.status, 204)
        self.allowed(response)
        self.assertIn("GET", response.get(
            "access-control-allow-methods").split(", "))
        allowed = response.get("access-control-allow-headers").lower()
        for name in ("last-event-id", "content-type", "authorization",
                     "cache-control"):
            self.assertIn(name, allowed.split(", "))
        self.assertRegex(response.get("access-control-max-age"), "^[0-9]+$")

    def test_a_preflight_for_publishing(self):
        response = self.server.ask("OPTIONS", path(self.key, "/events"), None,
                                   origin(APP) + [
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization,content-type")])
        self.assertEqual(response.status, 204)
        self.allowed(response)
        self.assertIn("POST", response.get("access-control-allow-methods"))

    def test_a_preflight_from_elsewhere(self):
        response = self.server.ask("OPTIONS", path(self.key), None,
                                   origin(EVIL) + [
            ("Access-Control-Request-Method", "GET")])
        self.status(response, 403)

    def test_a_refusal_that_passes_can_be_read(self):
        with kit.Server("--cors", APP, "--max-subscribers", "1") as server:
            server.open("k")
            server.reader("k").ready
            reader = server.reader("k", headers=origin(APP))
            self.allowed(reader.response)
            self.assertEqual(reader.rest()[0].type, "weir.closing")


class AnyOrigin(kit.Case):
    options = ("--cors", "*")

    def test_all_may_all(self):
        self.server.open(self.key)
        for value in (EVIL, "null", APP):
            reader = self.server.reader(self.key, headers=origin(value))
            self.assertTrue(reader.ready)
            self.assertEqual(reader.response.all(
                "access-control-allow-origin"), ["*"])
            self.assertIsNone(reader.response.get("vary"))
            self.assertEqual(self.server.ask(
                "POST", path(self.key, "/events"), b"x",
                origin(value)).status, 201)


class Token(AccessCase):
    options = ("--publish-token", "s3cret/+=")

    def publish(self, *headers):
        return self.server.ask("POST", path(self.key, "/events"), b"x",
                               list(headers))

    def test_publishing_needs_it(self):
        for method, target in (
                ("PUT", path(self.key)), ("DELETE", path(self.key)),
                ("POST", path(self.key, "/events")),
                ("POST", path(self.key, "/signals")),
                ("POST", path(self.key, "/end")),
                ("POST", path(self.key, "/fail")),
                ("POST", "/demo/" + self.key),
                ("POST", "/demo/%s/cut?client=x" % self.key)):
            response = self.server.ask(method, target, b"")
            self.status(response, 401)
            self.assertEqual(response.get("www-authenticate"), "Bearer")
        self.untouched()

    def test_the_right_one(self):
        for scheme in ("Bearer", "bearer", "BEARER"):
            self.status(self.publish(
                ("Authorization", scheme + " s3cret/+=")), 201)

    def test_wrong_ones(self):
        for value in ("Bearer", "Bearer ", "Bearer s3cret/+", "Bearer S3cret",
                      "Bearer s3cret/+=x", "Bearer  s3cret/+=",
                      "Basic s3cret/+=", "s3cret/+=", "Bearer=s3cret/+=",
                      "Bearer s3cret/+=, Bearer s3cret/+=", "",
                      "Bearer \xff3cret/+=", "x" * 5000):
            self.status(self.publish(("Authorization", value)), 401)
        self.status(self.server.ask(
            "POST", path(self.key, "/events", access_token="s3cret/+="),
            b"x"), 401)
        self.untouched()

    def test_reading_does_not(self):
        self.publish(("Authorization", "Bearer s3cret/+="))
        self.assertTrue(self.server.reader(self.key).ready)
        for target in (path(self.key, "/info"), "/stats", "/metrics",
                       "/healthz"):
            self.assertEqual(self.server.ask("GET", target).status, 200)
            self.assertEqual(self.server.ask("OPTIONS", target).status, 204)

    def test_is_asked_for_before_the_body(self):
        conn = self.server.connect()
        conn.send(("POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                   "Content-Length: 1000\r\n\r\n"
                   % path(self.key, "/events")).encode())
        response = self.status(conn.response(), 401)
        self.assertTrue(response.closes)
        self.assertTrue(conn.is_at_end())


if __name__ == "__main__":
    unittest.main()
