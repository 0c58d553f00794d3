# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""A real browser, by way of W3C WebDriver: chromedriver and http.client."""
import base64
import http.client
import json
import os
import re
import shutil
import subprocess
import time

PATIENCE = float(os.environ.get("WEIR_PATIENCE", "60"))

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

OPTIONS = [
    "--headless=new", "--disable-gpu", "--disable-dev-shm-usage",
    "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update",
    # Nothing but this machine: what is elsewhere must not be asked for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def missing():
    """What keeps these tests from being run; None if nothing does."""
    for names in (("chromedriver",), ("chromium", "chromium-browser",
                                      "google-chrome")):
        if not any(shutil.which(name) for name in names):
            return "%s is not there" % names[0]
    return None


class Browser:
    def __init__(self):
        self.process = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            found = re.search(r"successfully on port (\d+)", line)
            if found:
                break
        self.port = int(found.group(1))
        options = list(OPTIONS)
        if os.getuid() == 0:
            options.append("--no-sandbox")
        self.session = ""
        self.session = "/session/" + self.ask("POST", "/session", {
            "capabilities": {"alwaysMatch": {
                "browserName": "chrome",
                "goog:loggingPrefs": {"browser": "ALL"},
                "goog:chromeOptions": {"args": options}}}})["sessionId"]

    def ask(self, method, path, body=None):
        conn = http.client.HTTPConnection("127.0.0.1", self.port,
                                          timeout=2 * PATIENCE)
        conn.request(method, self.session + path,
                     None if body is None else json.dumps(body),
                     {"Content-Type": "application/json"})
        answer = json.loads(conn.getresponse().read())["value"]
        conn.close()
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError("%s %s: %s" % (method, path,
                                                answer["message"]))
        return answer

    def close(self):
        try:
            self.ask("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait()
            self.process.stdout.close()

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def run(self, script, *args):
        """What the body of a function returns."""
        return self.ask("POST", "/execute/sync",
                        {"script": script, "args": list(args)})

    def wait(self, script, *args):
        """Until it is true; returns what it was."""
        limit = time.monotonic() + PATIENCE
        while True:
            answer = self.run(script, *args)
            if answer:
                return answer
            if time.monotonic() > limit:
                raise AssertionError("waited in vain for: " + script)
            time.sleep(0.05)

    def find(self, selector):
        return self.ask("POST", "/element", {
            "using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.ask("POST", "/element/%s/click" % self.find(selector), {})

    def text(self, selector):
        return self.ask("GET", "/element/%s/text" % self.find(selector))

    def press(self, key):
        self.ask("POST", "/actions", {"actions": [{
            "type": "key", "id": "keys", "actions": [
                {"type": "keyDown", "value": key},
                {"type": "keyUp", "value": key}]}]})

    def command(self, name, **params):
        """One of the DevTools protocol."""
        return self.ask("POST", "/goog/cdp/execute",
                        {"cmd": name, "params": params})

    def window(self, width, height, scheme="light"):
        self.command("Emulation.setDeviceMetricsOverride", width=width,
                     height=height, deviceScaleFactor=1, mobile=width < 600)
        self.command("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        data = base64.b64decode(self.command(
            "Page.captureScreenshot", captureBeyondViewport=True)["data"])
        with open(path, "wb") as file:
            file.write(data)

    def complaints(self):
        """What the page has said on its console since the last time."""
        return [entry["message"] for entry in self.ask(
            "POST", "/se/log", {"type": "browser"})
            if entry["level"] in ("SEVERE", "WARNING")]

    def handles(self):
        return self.ask("GET", "/window/handles")

    def switch(self, handle):
        self.ask("POST", "/window", {"handle": handle})
