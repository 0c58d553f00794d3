# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
"""A line that breaks: between clients and the server, on a port of its own."""
import random
import socket
import struct
import threading


class Cutter:
    """Passes everything on. A connection that asks for a stream is cut after
    some hundred bytes of the answer, until `cuts` of them have been: after its
    first event, since clients give up where there never is one. Every other cut
    is a reset, which may take with it what the client has not read yet.

    A request whose first line has one of the words in `lost` is never answered,
    nor is what follows on its connection, which stays open: so does a line that
    is dead and does not know it. `most` of these have been open at a time."""

    def __init__(self, port, cuts=0, least=560, most=800, seed=1):
        self.server = ("127.0.0.1", port)
        self.random = random.Random(seed)
        self.cuts = cuts
        self.made = 0
        self.lost = ()
        self.dead = set()
        self.most = 0
        self.span = (least, most)
        self.lock = threading.Lock()
        self.live = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.url = "http://127.0.0.1:%d" % self.port
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()
        for sock in list(self.live):
            self.reset(sock)

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,),
                             daemon=True).start()

    def reset(self, sock):
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
            sock.shutdown(socket.SHUT_RD)
        except OSError:
            pass
        sock.close()
        self.live.discard(sock)

    def serve(self, client):
        try:
            server = socket.create_connection(self.server)
        except OSError:
            self.reset(client)
            return
        self.live |= {client, server}
        left = [None]  # bytes until the cut

        def up():
            try:
                while data := client.recv(65536):
                    if client in self.dead or self.lose(client, data):
                        continue
                    if data.startswith(b"GET /streams/") and \
                            b"/info" not in data.split(b"\r\n")[0]:
                        left[0] = self.random.randint(*self.span)
                    server.sendall(data)
            except OSError:
                pass
            self.dead.discard(client)
            self.reset(server)

        reader = threading.Thread(target=up, daemon=True)
        reader.start()
        try:
            while data := server.recv(65536):
                if left[0] is not None and len(data) >= left[0] and \
                        self.cut():
                    client.sendall(data[:left[0]])
                    if self.made % 2 == 0:
                        self.finish(client)
                    break
                if left[0] is not None:
                    left[0] = max(0, left[0] - len(data))
                client.sendall(data)
            else:
                # The server has closed: in good order, so that nothing of what
                # it said is lost. On a dead line nobody hears of it.
                if client in self.dead:
                    reader.join()
                else:
                    self.finish(client)
        except OSError:
            pass
        self.reset(client)
        self.reset(server)

    def finish(self, client):
        client.shutdown(socket.SHUT_WR)
        client.settimeout(5)
        while client.recv(65536):
            pass

    def lose(self, client, data):
        """Whether this request is lost, and its connection dead from now on."""
        line = data.split(b"\r\n")[0]
        if not any(word in line for word in self.lost):
            return False
        with self.lock:
            self.dead.add(client)
            self.most = max(self.most, len(self.dead))
        return True

    def cut(self):
        with self.lock:
            if self.made >= self.cuts:
                return False
            self.made += 1
            return True
