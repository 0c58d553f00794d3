# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""What the README says is so: its program, its commands, its options."""
import os
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

import kit

with open(os.path.join(kit.ROOT, "README.md"), encoding="utf-8") as file:
    README = file.read()

B = os.path.dirname(os.path.dirname(kit.SERVER))


def blocks(kind):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.M)
    return [text for name, text in found if name == kind]


class Program(unittest.TestCase):
    def test_does_what_is_shown(self):
        (program,) = blocks("c")
        (shown,) = [text for text in blocks("") if "weir.ready" in text]
        work = tempfile.mkdtemp(prefix="weir-")
        self.addCleanup(shutil.rmtree, work)
        with open(os.path.join(work, "hello.c"), "w") as file:
            file.write(program)
        for name, target in (("include", os.path.join(kit.ROOT, "include")),
                             ("build", B)):
            os.symlink(target, os.path.join(work, name))
        (command,) = [line for text in blocks("sh")
                      for line in text.splitlines() if "hello.c" in line]
        with open(kit.SERVER, "rb") as server:
            san = " -fsanitize=address,undefined" * (
                b"__asan_init" in server.read())
        # As it stands there, but that warnings are errors.
        command = command.replace(
            "cc ", os.environ.get("CC", "cc") + san
            + " -std=c11 -Wall -Wextra -Wpedantic -Werror ", 1)
        ran = subprocess.run(["sh", "-c", command], cwd=work,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual((ran.returncode, ran.stderr), (0, b""))
        said = ran.stdout.decode()
        first, second = said.split("HTTP/1.1 200 OK\r\n")[1:]
        self.assertIn("data: Hello\n", first)

        def still(text):
            text = re.sub(r"retry: \d+", "retry: N", text)
            epoch = re.search(r"id: ([a-z2-7]+)-", text).group(1)
            return text.replace(epoch, "E").strip()

        self.assertEqual(still(second.split("\r\n\r\n")[1]), still(shown))


class Clock(unittest.TestCase):
    def test_no_second_is_missing(self):
        def start():
            """Somebody else may take the port before the clock does."""
            for _ in range(10):
                with socket.create_server(("127.0.0.1", 0)) as free:
                    port = free.getsockname()[1]
                clock = subprocess.Popen([os.path.join(B, "examples", "clock"),
                                          str(port)])
                kit.wait_until(lambda: is_up(port) or clock.poll() is not None)
                if clock.poll() is None:
                    break
            return clock, port

        def ids(last):
            """Of the events of a connection, which is cut after two."""
            conn = kit.Connection(("127.0.0.1", port))
            conn.send(b"GET / HTTP/1.1\r\nHost: x\r\nLast-Event-ID: %s\r\n"
                      b"\r\n" % last)
            conn.read_until(b"\r\n\r\n")
            found = []
            while len(found) < 2:
                frame = conn.read_until(b"\n\n")
                if b"weir.ready" not in frame:
                    found.append(re.search(rb"id: (\S+)", frame).group(1))
            conn.reset()
            return found

        def is_up(port):
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        clock, port = start()
        try:
            found = []
            for _ in range(3):
                found += ids(found[-1] if found else b"")
            epoch = found[0].split(b"-")[0]
            first = int(found[0].split(b"-")[1])
            self.assertEqual(found, [b"%s-%d" % (epoch, first + i)
                                     for i in range(6)])
        finally:
            clock.kill()
            clock.wait()


class Commands(kit.Case):
    options = ("--cors", "*")

    @unittest.skipUnless(shutil.which("curl"), "curl is not there")
    def test_curl(self):
        commands = [line for text in blocks("sh") for line in
                    text.splitlines() if line.startswith("curl")]
        self.assertEqual(len(commands), 4)
        last = ""
        said = []
        for command in commands:
            command = command.split("  #")[0].replace(
                "localhost:8080", "127.0.0.1:%d" % self.server.address[1])
            command = command.replace("curl ", "curl -s -m 2 ", 1)
            output = subprocess.run(
                ["sh", "-c", command], env=dict(os.environ, ID=last),
                stdout=subprocess.PIPE).stdout.decode()
            said.append(output)
            ids = re.findall(r"^id: (\S+)$", output, re.MULTILINE)
            last = ids[-1] if ids else last
        self.assertIn("event: greeting\ndata: hello\n\n", said[1])
        self.assertNotIn("hello", said[3])
        self.assertIn('"resumed"', said[3])
        self.assertIn("data: you were away\n\n", said[3])

    def test_options_and_targets_are_there(self):
        help_text = subprocess.run([kit.SERVER, "--help"], check=True,
                                   stdout=subprocess.PIPE).stdout.decode()
        for option in re.findall(r'ARGS="(--[a-z-]+)', README):
            self.assertIn(option + " ", help_text)
        with open(os.path.join(kit.ROOT, "Makefile")) as file:
            makefile = file.read()
        commands = re.findall(r"^make (.*)", README, re.MULTILINE)
        commands += re.findall(r"`make ([^`]*)`", README)
        targets = {word for command in commands
                   for word in command.split("#")[0].split()
                   if re.fullmatch("[a-z-]+", word)}
        self.assertGreater(len(targets), 6)
        for target in targets:
            self.assertTrue(re.search(r"^%s:" % target, makefile, re.M),
                            "make " + target)

    def test_what_it_names_is_there(self):
        for name in re.findall(r"`((?:examples|tests|lib)/[\w./-]+)", README):
            self.assertTrue(os.path.exists(os.path.join(kit.ROOT, name)), name)
        for name in re.findall(r"\bweir\w*\([357]\)", README):
            page = name.replace("(", ".").replace(")", "")
            self.assertTrue(os.path.exists(os.path.join(
                kit.ROOT, "man", page)), name)
        headers = ""
        include = os.path.join(kit.ROOT, "include", "weir")
        for header in os.listdir(include):
            with open(os.path.join(include, header)) as file:
                headers += file.read()
        names = re.findall(r"\b(?:weir_[a-z_]*[a-z]\b(?!\()|WEIR_[A-Z_]+\b(?!=))",
                           README)
        self.assertGreater(len(names), 20)
        for name in names:
            self.assertTrue(name in headers, name)


if __name__ == "__main__":
    unittest.main()
