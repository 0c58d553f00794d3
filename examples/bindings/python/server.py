# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""Answers that type themselves out, and survive a reload of the page: a server
of weir.py, asyncio and nothing else.

    python3 server.py [PORT]

    POST   /answers/ID   start an answer; the body is the question
    GET    /answers/ID   follow it, from where Last-Event-ID says
    DELETE /answers/ID   stop it
    GET    /             a page that does all that

A client that comes back goes on with the next word, and never starts an answer;
one that leaves never stops it.
"""
import asyncio
import sys
import urllib.parse

import weir

PAGE = b"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Answers</title>
<form>
<input name="question" aria-label="Question" required> <button>Ask</button>
</form>
<p id="answer" aria-live="off"></p>
<p id="state" role="status"></p>
<script>
const answer = document.getElementById('answer');
const state = document.getElementById('state');
function follow(id) {
  const source = new EventSource('/answers/' + id);
  answer.textContent = '';
  source.onopen = () => state.textContent = 'connected';
  source.onerror = () => state.textContent = 'reconnecting';
  source.addEventListener('token', (e) => answer.textContent += e.data);
  // What is shown is not what came before the next word: begin anew.
  source.addEventListener('weir.gap', () => answer.textContent = '');
  for (const end of ['weir.done', 'weir.failed']) {
    source.addEventListener(end, (e) => {
      source.close();
      state.textContent = JSON.parse(e.data).reason || 'failed';
    });
  }
}
document.querySelector('form').onsubmit = async (e) => {
  e.preventDefault();
  location.hash = crypto.randomUUID();
  const id = location.hash.slice(1);
  await fetch('/answers/' + id, {method: 'POST',
                                 body: e.target.question.value});
  follow(id);
};
if (location.hash) {
  follow(location.hash.slice(1));
}
</script>
"""


QUESTION_MAX = 10000  # bytes


class Server:
    """Call begin(), and close() in the end. The options are what every client
    is attached with."""

    def __init__(self, hub, *, pause=0.2, patience=10, **options):
        self.hub = hub
        self.pause = pause  # seconds from a word to the next
        self.patience = patience  # seconds for a request, and for the end
        self.options = options
        self.called = asyncio.Event()
        self.answers = {}  # a Stream -> the task that writes it
        self.readers = {}  # a Subscriber -> its connection and its Event
        self.tasks = set()

    async def begin(self, host="127.0.0.1", port=0):
        """Listen; the port."""
        self.pulling = asyncio.ensure_future(self.pull())
        self.listening = await asyncio.start_server(self.connected, host, port)
        return self.listening.sockets[0].getsockname()[1]

    async def close(self):
        """Ask all clients to come back later, and wait until they have gone,
        but not for ever."""
        self.listening.close()
        for task in self.answers.values():
            task.cancel()
        self.hub.drain(0)
        self.called.set()
        giving_up = asyncio.get_running_loop().call_later(
            self.patience, self.disconnect)
        while self.tasks:
            await asyncio.wait(self.tasks)
        giving_up.cancel()
        self.pulling.cancel()
        await asyncio.wait({self.pulling})
        self.hub.close()

    def disconnect(self):
        for task in self.tasks:
            task.cancel()

    # --- The hub --------------------------------------------------------------

    async def pull(self):
        """Do what the notices say, when time has come or the hub was called:
        whoever calls it sets the event."""
        while True:
            self.called.clear()
            for notice in self.hub.notices():
                if notice.source in self.readers:
                    writer, ready = self.readers[notice.source]
                    if notice.kind == weir.NOTICE_ABORT:
                        writer.transport.abort()
                    ready.set()
                elif (notice.kind == weir.NOTICE_CANCELLED and
                      notice.source in self.answers):
                    self.answers[notice.source].cancel()
            wait = self.hub.timeout()
            if wait is None:
                await self.called.wait()
            else:
                timer = asyncio.get_running_loop().call_later(
                    wait, self.called.set)
                await self.called.wait()
                timer.cancel()

    async def write(self, stream, question):
        """Write an answer. If this fails, so does the stream."""
        try:
            for word in ("You asked: " + question).split():
                stream.publish(word + " ", type="token")
                self.called.set()
                await asyncio.sleep(self.pause)
            stream.end()
        except weir.Error as error:
            if error.code != weir.EENDED:
                stream.fail("write", "The answer could not be written.")
        finally:
            del self.answers[stream]
            stream.close()
            self.called.set()

    async def follow(self, subscriber, reader, writer):
        """Send a client what there is until that ends, or it has left: an idle
        client that leaves shows in its connection only, so that is read."""
        ready = asyncio.Event()
        self.readers[subscriber] = writer, ready
        leaving = asyncio.ensure_future(read_to_end(reader))
        leaving.add_done_callback(lambda _: ready.set())
        try:
            while not (leaving.done() or writer.is_closing()):
                ready.clear()
                data = subscriber.read()
                if data:
                    # This waits for a slow client. Meanwhile nothing is read,
                    # and the hub sees to it that this does not last.
                    writer.write(data)
                    await writer.drain()
                elif data is None:
                    await ready.wait()
                else:
                    break
        finally:
            leaving.cancel()
            del self.readers[subscriber]
            subscriber.close()
            self.called.set()

    # --- HTTP -----------------------------------------------------------------

    async def connected(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            await self.serve(reader, writer)
            await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError,
                asyncio.LimitOverrunError, asyncio.TimeoutError):
            pass  # the client has left, says nothing, or speaks no HTTP
        finally:
            self.tasks.discard(task)
            writer.close()

    async def serve(self, reader, writer):
        """One request: every response ends with its connection."""
        method, target, fields, body = await asyncio.wait_for(
            read_request(reader), self.patience)
        path, _, query = target.partition("?")
        key = urllib.parse.unquote(path[1:])
        if len(body) > QUESTION_MAX:
            answer(writer, "413 Content Too Large")
        elif (method, path) == ("GET", "/"):
            answer(writer, "200 OK", PAGE, "text/html; charset=utf-8")
        elif not key.startswith("answers/"):
            answer(writer, "404 Not Found")
        elif method == "GET":
            try:
                response = self.hub.attach(
                    key, last_event_id=fields.get("last-event-id", ""),
                    query=query, **self.options)
            except weir.Error:
                answer(writer, "400 Bad Request")
                return
            writer.write(response.head + response.body)
            if response.subscriber is not None:
                await self.follow(response.subscriber, reader, writer)
        elif method == "POST":
            answer(writer, self.start(key, body.decode(errors="replace")))
        elif method == "DELETE":
            answer(writer, self.stop(key))
        else:
            answer(writer, "405 Method Not Allowed")

    def start(self, key, question):
        try:
            stream = self.hub.open(key, on_duplicate=weir.DUPLICATE_REJECT)
        except weir.Error as error:
            return {weir.EEXISTS: "409 Conflict",
                    weir.EINVAL: "400 Bad Request"}.get(
                        error.code, "503 Service Unavailable")
        self.answers[stream] = asyncio.ensure_future(
            self.write(stream, question))
        return "201 Created"

    def stop(self, key):
        try:
            self.hub.open(key, flags=weir.OPEN_EXISTING).cancel()
        except weir.Error:
            return "404 Not Found"
        self.called.set()
        return "204 No Content"


async def read_request(reader):
    """Method, target, fields and body. Of a body that is too long the rest is
    read too, since a client may read no answer before, but not kept."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *lines = head.split("\r\n")
    method, target = (line.split(" ") + ["", ""])[:2]
    fields = {name.lower(): value.strip() for name, _, value in
              (each.partition(":") for each in lines)}
    length = int(fields.get("content-length", 0))
    body = await reader.readexactly(min(length, QUESTION_MAX + 1))
    rest = length - len(body)
    while rest > 0:
        rest -= len(await reader.readexactly(min(rest, 4096)))
    return method, target, fields, body


async def read_to_end(reader):
    try:
        while await reader.read(4096):
            pass
    except OSError:
        pass


def answer(writer, status, body=b"", type="text/plain"):
    writer.write(("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n"
                  "Connection: close\r\n\r\n" % (status, type, len(body))
                  ).encode() + body)


async def main(port):
    server = Server(weir.Hub())
    print("http://127.0.0.1:%d/" % await server.begin(port=port), flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await server.close()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8080))
    except KeyboardInterrupt:
        pass
