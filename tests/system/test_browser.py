# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""The reference server and its page in a real browser.

    make check-system ARGS=test_browser
    cd tests/system; python3 -m unittest -v test_browser.Access.test_looks

The lines that break are cutter.py's, the browser is browser.py's. Screenshots
are left in build/screenshots, or where WEIR_SCREENSHOTS says. Where there is no
browser the tests say so and are left out.
"""
import os
import shutil
import tempfile
import threading
import time
import unittest

import kit
from browser import Browser, missing
from cutter import Cutter

PICTURES = os.environ.get("WEIR_SCREENSHOTS", os.path.join(
    kit.ROOT, "build", "screenshots"))
AXE = os.environ.get("WEIR_AXE", os.path.join(
    kit.ROOT, "build", "node_modules", "axe-core", "axe.min.js"))

TAB, ENTER = "\ue004", "\ue007"

# An EventSource of the browser's own, and nothing else.
SOURCE = """
  const [key, types] = arguments;
  window.heard = [];
  window.source = new EventSource('/streams/' + key);
  for (const type of types) {
    source.addEventListener(type, (event) => {
      heard.push([event.lastEventId, event.type, event.data]);
      if (event.type === 'weir.done') { source.close(); }
    });
  }
"""

# The least room between a name and its number, where they share a line.
BETWEEN = """
  const edges = (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return range.getBoundingClientRect();
  };
  const rows = [...document.querySelectorAll('.numbers dl div')];
  return Math.min(...rows.map((row) =>
    edges(row.querySelector('dd')).left - edges(row.querySelector('dt')).right));
"""


browser = None


def setUpModule():
    global browser
    why = missing()
    if why:
        print("LEFT OUT: NO BROWSER: %s; see tests/setup.sh" % why)
        raise unittest.SkipTest(why)
    if kit.SYNC and not kit.LONG:
        raise unittest.SkipTest("once, without a log, is enough")
    os.makedirs(PICTURES, exist_ok=True)
    browser = Browser()


def tearDownModule():
    browser.close()


class Case(unittest.TestCase):
    weight = 9
    options = ()
    cuts = 0

    def setUp(self):
        self.key = self.id().rsplit(".", 1)[1]
        self.server = kit.Server("--linger", "1h", *self.options)
        self.cutter = Cutter(self.server.address[1], self.cuts)
        browser.window(1280, 900)
        browser.complaints()

    def tearDown(self):
        browser.open("about:blank")
        self.cutter.close()
        if self.server is not None:
            self.server.stop()

    def visit(self, **query):
        browser.open(self.cutter.url + "/?" + kit.urlencode(
            dict(stream=self.key, **query)))

    def until(self, **attributes):
        """The page's own word for where it stands: status, end."""
        for name, value in attributes.items():
            try:
                browser.wait("return document.documentElement.dataset["
                             "arguments[0]] === arguments[1]", name, value)
            except AssertionError:
                raise AssertionError("not %s: %s" % (
                    value, browser.text('[data-test="sentence"]')))

    def act(self, name):
        browser.run("document.querySelector('[data-act=\"' + arguments[0] + "
                    "'\"]').scrollIntoView({block: 'center'})", name)
        browser.click('[data-act="%s"]' % name)

    def transcript(self):
        return browser.run("return weirPage.transcript()")

    def heard(self, count):
        browser.wait("return weirPage.transcript().events >= arguments[0]",
                     count)

    def stored(self, key=None):
        """The text of a stream that has ended, and how many events it took."""
        events = self.server.reader(key or self.key).rest()
        tokens = [e for e in events if e.type == "token"]
        return "".join(e.data for e in tokens), len(tokens)

    def assertWhole(self, said, key=None):
        text, count = self.stored(key)
        self.assertEqual(said["text"], text)
        self.assertEqual(said["numbers"], list(range(1, count + 1)))
        self.assertEqual(said["gaps"], 0)
        self.assertEqual(said["duplicates"], 0)


class Cuts(Case):
    """The line is cut twenty times in the middle: nothing is missing, nothing
    comes twice."""

    cuts = 20
    options = ("--retry", "500ms", "--retry-jitter", "0")

    def test_the_browser_s_own_client(self):
        self.server.open(self.key)
        browser.open(self.cutter.url + "/icon.svg")
        browser.run(SOURCE, self.key, ["message", "token", "weir.done"])
        want = []

        def publish():
            for i in range(2000):
                data = "%d: wörd\nline two, %s" % (i, "x" * (i % 97))
                kind = "token" if i % 3 else "message"
                want.append([self.server.publish_id(
                    self.key, data.encode(), type=kind), kind, data])
                if self.cutter.made >= self.cuts:
                    break
                time.sleep(0.02)
            self.server.signal_to(self.key, b"a signal", type="token")
            want.append([self.server.end(self.key).json()["id"], "weir.done",
                         None])

        writer = threading.Thread(target=publish)
        writer.start()
        writer.join()
        browser.wait("return source.readyState === EventSource.CLOSED")
        heard = browser.run("return heard")
        self.assertEqual(self.cutter.made, self.cuts)
        heard[-1][2] = None
        ids = [entry[0] for entry in heard]
        events = [entry for entry in heard if entry[2] != "a signal"]
        self.assertEqual(events, want)
        self.assertEqual(sorted(set(ids), key=ids.index),
                         [entry[0] for entry in want])


class CutPage(Case):
    """The same for the page and its client."""

    cuts = 20
    options = Cuts.options
    transport = "fetch"

    def test_text_and_numbers(self):
        self.visit(autostart=1, interval=200, transport=self.transport)
        self.until(end="done")
        said = self.transcript()
        self.assertWhole(said)
        self.assertEqual(self.cutter.made, self.cuts)
        self.assertGreater(len(said["connections"]), self.cuts)
        self.assertEqual({c["verdict"] for c in said["connections"][1:] if
                          c["verdict"]}, {"resumed"})


class CutPageWithEventSource(CutPage):
    transport = "eventsource"


class OnThePage(Case):
    def start(self, **query):
        self.visit(autostart=1, **dict({"interval": 40}, **query))
        self.heard(5)

    def tearDown(self):
        try:
            complaints = [said for said in browser.complaints()
                          if "ERR_" not in said and "status of 4" not in said]
            self.assertEqual(complaints, [])
        finally:
            super().tearDown()


class Middle(OnThePage):
    """Of an answer: what happens there."""

    def test_cut_and_offline(self):
        self.start(interval=150)
        for _ in range(3):
            before = self.transcript()["events"]
            self.act("cut")
            self.heard(before + 5)
        self.act("offline")
        self.until(status="paused")
        seen = self.transcript()["events"]
        kit.wait_until(lambda: self.server.info(self.key)["last"] > seen + 10)
        self.assertEqual(self.transcript()["events"], seen)
        self.act("offline")
        self.until(end="done")
        said = self.transcript()
        self.assertWhole(said)
        self.assertGreater(said["replayed"], 10)

    def test_a_tab_of_the_same_name_takes_over(self):
        self.start(interval=100)
        first = browser.handles()[0]
        self.act("twin")
        other = [h for h in browser.handles() if h != first][0]
        browser.switch(other)
        self.heard(5)
        browser.switch(first)
        self.until(status="waiting")
        browser.wait("return document.querySelector('[data-test=sentence]')"
                     ".textContent.includes('taken over')")
        browser.switch(other)
        self.until(end="done")
        self.assertWhole(self.transcript())
        browser.ask("DELETE", "/window")
        browser.switch(first)

    def test_reload_in_the_middle(self):
        self.start(interval=100)
        for _ in range(3):
            seen = self.transcript()["events"]
            self.act("reload")
            browser.wait("return window.weirPage && weirPage.client && "
                         "['live', 'ended'].includes(weirPage.client.status)")
            self.assertLess(self.transcript()["replayed"], seen + 1000)
        self.until(end="done")
        text, count = self.stored()
        said = self.transcript()
        self.assertEqual(said["text"], text)
        self.assertEqual(said["numbers"], list(range(1, count + 1)))


class Buttons(OnThePage):
    """What they do."""

    def test_a_second_tab_reads_the_same(self):
        self.start()
        first = browser.handles()[0]
        self.act("tab")
        browser.switch([h for h in browser.handles() if h != first][0])
        self.until(end="done")
        second = self.transcript()
        browser.ask("DELETE", "/window")
        browser.switch(first)
        self.until(end="done")
        self.assertWhole(self.transcript())
        self.assertWhole(second)
        self.assertNotEqual(second["client"], self.transcript()["client"])

    def test_replace(self):
        self.start()
        before = self.transcript()["cursor"].split("-")[0]
        self.act("replace")
        browser.wait("const now = weirPage.transcript(); return now.events > 3 "
                     "&& !now.cursor.startsWith(arguments[0])", before + "-")
        self.until(end="done")
        self.assertWhole(self.transcript())

    def test_fail_keeps_the_text_and_starts_nothing(self):
        self.visit()
        browser.run("document.querySelector('[data-test=speed]').value = '25'")
        self.act("fail")
        self.until(end="failed")
        said = self.transcript()
        self.assertWhole(said)
        self.assertGreater(len(said["text"]), 100)
        info = self.server.info(self.key)
        browser.run("location.reload()")
        self.until(end="failed")
        self.assertEqual(self.transcript()["text"], said["text"])
        self.assertEqual(self.server.info(self.key), info)

    def test_come_back_after_the_end(self):
        self.start(interval=1)
        self.until(end="done")
        self.act("return")
        self.until(end="finished")
        self.assertIn("204", browser.text('[data-test="sentence"]'))
        self.assertWhole(self.transcript())


class DeadLines(OnThePage):
    """Lines that are dead, and open: what is asked there is never answered."""

    def sentence(self, words):
        browser.wait("return document.querySelector('[data-test=sentence]')"
                     ".textContent.includes(arguments[0])", words)

    def test_the_page_says_so_and_goes_on(self):
        self.server.open(self.key)
        for _ in range(20):
            self.server.publish_id(self.key, b"word ", type="token")
        self.cutter.lost = (b"/info", b"/cut")
        self.visit()
        self.heard(20)
        self.sentence("Connected")
        browser.run("for (let i = 0; i < 9; ++i) { weirPage.count(); }")
        self.act("cut")
        self.sentence("does not answer")
        # What asks how far the server was, what counts readers, the button.
        self.assertLessEqual(self.cutter.most, 3)
        self.cutter.lost = ()
        self.act("cut")
        self.sentence("Nothing had been missed")
        self.act("start")
        self.until(end="done")
        self.assertWhole(self.transcript())

    def test_what_was_replayed_is_known_all_the_same(self):
        self.server.open(self.key)
        for _ in range(20):
            self.server.publish_id(self.key, b"word ", type="token")
        self.cutter.lost = (b"/info",)
        self.visit()
        # However long it takes, all of it comes at once, and long ago.
        browser.run("performance.now = () => -1e6; weirPage.fresh()")
        self.heard(20)
        browser.run("delete performance.now")
        self.server.publish_id(self.key, b"and more", type="token")
        self.heard(21)
        said = self.transcript()
        self.assertEqual(said["replayed"], 20)
        self.assertEqual(said["live"], 1)


class Access(OnThePage):
    """With a keyboard, with a screen reader, on a phone."""

    options = ("--retry", "60s")

    def test_with_the_keyboard_alone(self):
        self.visit()
        browser.run("document.activeElement.blur()")
        want = set(browser.run("""
          const all = document.querySelectorAll(
            'a[href], button, select, input, summary, [tabindex="0"]');
          return [...all].filter((e) => e.checkVisibility() &&
            !(e.type === 'radio' && !e.checked)).map((e, i) => {
              e.dataset.stop = 'stop' + i;
              return e.dataset.stop;
            });
        """))
        seen = set()
        for _ in range(2 * len(want)):
            browser.press(TAB)
            stop, shown = browser.run("""
              const e = document.activeElement;
              const style = getComputedStyle(e);
              return [e.dataset.stop || '', style.outlineStyle !== 'none' ||
                style.boxShadow !== 'none' || e.matches('.skip')];
            """)
            if stop:
                self.assertTrue(shown, "%s does not show that it has the focus"
                                % stop)
                seen.add(stop)
        self.assertEqual(seen, want)
        browser.run("document.querySelector('[data-act=start]').focus()")
        browser.press(ENTER)
        self.heard(3)

    def test_the_focus_stays_close_when_its_button_goes(self):
        self.server.open(self.key)
        self.visit()
        self.until(status="live")
        self.act("cut")
        self.until(status="waiting")
        browser.run("document.querySelector('[data-act=next]').focus()")
        browser.press(ENTER)
        self.until(status="live")
        self.assertEqual(browser.run("return document.activeElement.id"),
                         "answer")

    def test_a_screen_reader_is_not_told_every_word(self):
        self.visit()
        browser.run("""
          window.said = 0;
          const live = document.querySelectorAll(
            '[role=status], [role=alert], [aria-live=polite], ' +
            '[aria-live=assertive]');
          for (const region of live) {
            new MutationObserver((list) => { said += list.length; }).observe(
              region, {childList: true, characterData: true, subtree: true});
          }
          window.regions = live.length;
        """)
        self.act("start")
        self.heard(60)
        self.assertEqual(browser.run("return regions"), 1)
        self.assertLessEqual(browser.run("return said"), 6)
        self.assertNotIn(browser.run(
            "return document.querySelector('[data-test=text]').ariaLive || "
            "'off'"), ("polite", "assertive"))
        nodes = browser.command("Accessibility.getFullAXTree")["nodes"]
        nameless = [n["role"]["value"] for n in nodes if not n["ignored"]
                    and n["role"]["value"] in (
                        "button", "link", "textbox", "combobox", "radio",
                        "article", "region", "log", "table")
                    and not n.get("name", {}).get("value")]
        self.assertEqual(nameless, ["table"] * nameless.count("table"))

    def test_looks(self):
        self.start(interval=5)
        self.until(end="done")
        for name, width, height in (("desktop", 1280, 900), ("phone", 390, 844),
                                    ("small", 320, 640)):
            for scheme in ("light", "dark"):
                browser.window(width, height, scheme)
                path = os.path.join(PICTURES, "%s-%s.png" % (name, scheme))
                browser.screenshot(path)
                with self.subTest(name=name, scheme=scheme):
                    self.assertGreater(os.path.getsize(path), 10000)
                    self.assertLessEqual(browser.run(
                        "return document.documentElement.scrollWidth"), width)
                    self.assertGreater(browser.run(BETWEEN), 4)
                    self.check_accessible()

    def check_accessible(self):
        """What axe-core says of it, contrast included."""
        if not os.path.exists(AXE):
            print("LEFT OUT: axe-core is not there; see tests/setup.sh")
            return
        with open(AXE, encoding="utf-8") as file:
            browser.run(file.read())
        found = browser.ask("POST", "/execute/async", {"args": [], "script": """
            const done = arguments[0];
            axe.run().then((result) => done(result.violations.map((v) =>
              v.id + ': ' + v.nodes.map((n) => n.html).join(' | '))));
        """})
        self.assertEqual(found, [])


class Restart(Case):
    """The server is killed and comes back: the page goes on where it was."""

    def setUp(self):
        self.log = tempfile.mkdtemp(prefix="weir-")
        self.options = ("--log", self.log)
        super().setUp()

    def tearDown(self):
        super().tearDown()
        shutil.rmtree(self.log)

    def again(self, forget=False):
        self.server.kill()
        if forget:
            shutil.rmtree(self.log)
            os.mkdir(self.log)
        self.server = kit.Server("--linger", "1h", *self.options)
        self.cutter.server = self.server.address

    def test_to_the_byte(self):
        want = ""
        self.server.open(self.key)
        self.visit()
        for life in range(4):
            for i in range(20):
                data = "%d.%d ünd\n" % (life, i)
                self.server.publish_id(self.key, data.encode(), type="token")
                want += data
            self.heard(20 * life + 20)
            if life != 3:
                self.again()
        self.server.end(self.key)
        self.until(end="done")
        said = self.transcript()
        self.assertEqual(said["text"], want)
        self.assertWhole(said)
        self.assertEqual(len({c["verdict"] for c in said["connections"]
                              if c["verdict"]}), 2)
        self.assertGreaterEqual(len(said["connections"]), 4)

    def test_who_types_is_gone(self):
        self.visit(autostart=1, interval=50)
        self.heard(5)
        self.again()
        self.until(end="failed")
        self.assertEqual(self.transcript()["end"]["code"], "interrupted")
        self.assertWhole(self.transcript())

    def test_what_was_not_there_is_asked_for_again(self):
        """A refusal is no end of the answer: a reload asks once more."""
        self.server.open(self.key)
        self.visit()
        self.server.publish_id(self.key, b"old", type="token")
        self.heard(1)
        self.again(forget=True)
        self.until(end="refused")
        self.assertEqual(self.transcript()["text"], "old")
        self.server.open(self.key)
        self.server.publish_id(self.key, b"new", type="token")
        browser.run("location.reload()")
        browser.wait("return window.weirPage && "
                     "weirPage.transcript().text === 'new'")
        self.server.end(self.key)
        self.until(end="done")


if __name__ == "__main__":
    unittest.main()
