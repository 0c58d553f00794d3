# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""The server that waits with poll(2) works the same."""
import os
import unittest

import kit
import test_api
import test_clients
import test_http
import test_process
import test_resume
import test_timers


class Poll:
    program = kit.SERVER_POLL

    @classmethod
    def setUpClass(cls):
        if not os.path.exists(cls.program):
            raise unittest.SkipTest("%s is not there" % cls.program)
        super().setUpClass()


class Read(Poll, test_api.Read):
    pass


class Demo(Poll, test_api.Demo):
    pass


class Pieces(Poll, test_http.Pieces):
    pass


class Slots(Poll, test_http.Slots):
    pass


class Cuts(Poll, test_resume.Cuts):
    pass


class Replacement(Poll, test_clients.Replacement):
    pass


class Heartbeat(Poll, test_clients.Heartbeat):
    pass


class Stall(Poll, test_clients.Stall):
    pass


class SlowSenders(Poll, test_timers.SlowSenders):
    pass


class Quiet(Poll, test_process.Quiet):
    pass


class Descriptors(Poll, kit.Case):
    options = ("--keep-alive", "0")

    def test_drains(self):
        with kit.Server("--drain", "500ms", program=self.program) as server:
            server.open("k")
            readers = [server.reader("k") for _ in range(20)]
            for reader in readers:
                reader.ready
            server.signal()
            for reader in readers:
                self.assertEqual(reader.rest()[-1].type, "weir.closing")

    def test_survives_without_descriptors(self):
        with kit.Server("--keep-alive", "0", limit=64,
                        program=self.program) as server:
            conns = [server.connect() for _ in range(100)]
            self.assertEqual(conns[0].ask("GET", "/healthz").status, 200)
            for conn in conns[1:60]:
                conn.reset()
            for conn in conns[60:]:
                self.assertEqual(conn.ask("GET", "/healthz").status, 200)
                conn.close()


if __name__ == "__main__":
    unittest.main()
