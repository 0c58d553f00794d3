# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Clients that nobody here has written: the EventSource of npm packages, over a
line that is cut again and again."""
import json
import os
import subprocess
import threading
import time
import unittest

import kit
from cutter import Cutter

MODULES = os.environ.get("WEIR_NODE_MODULES", os.path.join(
    kit.ROOT, "build", "node_modules"))
CLIENT = os.path.join(kit.HERE, "eventsource.mjs")


def missing(module):
    """What keeps a package from being used; None if nothing does."""
    try:
        said = subprocess.run(
            ["node", "-p", "typeof require(process.argv[1]).EventSource",
             module], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return "node is not there"
    if said.stdout != b"function\n":
        return "%s is not there, or wants another node" % module
    return None


class Client:
    """The tests of one package; `package` is set below."""

    options = ("--retry", "500ms", "--retry-jitter", "0", "--heartbeat",
               "300ms")
    cuts = 20 if kit.LONG else 6

    def setUp(self):
        if kit.SYNC and not kit.LONG:
            self.skipTest("once, without a log, is enough")
        self.module = os.path.join(MODULES, self.package)
        why = missing(self.module)
        if why:
            print("LEFT OUT: %s; see tests/setup.sh" % why)
            self.skipTest(why)
        super().setUp()
        self.cutter = Cutter(self.server.address[1], cuts=self.cuts)
        self.addCleanup(self.cutter.close)

    def test_every_event_comes_once(self):
        types = ["message", "token", "weir.gap", "weir.done"]
        self.server.open(self.key)
        client = subprocess.Popen(
            ["node", CLIENT, self.module,
             self.cutter.url + kit.path(self.key)] + types,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        hurry = threading.Timer(10 * kit.PATIENCE, client.kill)
        hurry.start()
        self.addCleanup(hurry.cancel)
        want = []
        for i in range(3000):
            data = "%d: w\u00f6rd\nline two, %s" % (i, "x" * (i % 97))
            kind = types[i % 2]
            want.append([self.server.publish_id(self.key, data.encode(),
                                                type=kind), kind, data])
            self.server.signal_to(self.key, b"a signal", type="status")
            if self.cutter.made >= self.cuts:
                break
            time.sleep(0.02)
        want.append([self.server.end(self.key).json()["id"], "weir.done",
                     None])
        heard = json.loads(client.communicate()[0])
        heard[-1][2] = None
        self.assertEqual(heard, want)
        self.assertEqual(self.cutter.made, self.cuts)


class Eventsource(Client, kit.Case):
    package = "eventsource"


class Undici(Client, kit.Case):
    package = "undici"


if __name__ == "__main__":
    unittest.main()
