"""A web server on 127.0.0.1 that serves photos and misbehaves as it is told.

Each path has a list of moods, one for each time that it is asked for; the last one stays:

    ok              the photo, with its length
    ok-unmeasured   the photo; the end of the connection is its end
    404, 500, ...   that status; with :N, Retry-After: N
    cut             the connection ends in the middle of the photo
    cut-unmeasured  the same, and no length was given, so that only the photo itself shows it
    reset           the connection is reset before any answer
    truncated       half of a JPEG, with the length of the half
    stall           the headers and half of the photo, then nothing
    drip            the photo, a few bytes every now and then
    page            a web page, with status 200
    empty           nothing, with status 200
    elsewhere       a redirection to another host
    here            a redirection to the same photo on this host
    noai            the photo, not to be used by machines
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class PhotoServer(ThreadingHTTPServer):
    """Serves photos by path.

    Attributes:
        photos: JPEG bytes by path, such as `/data/abc/def/abcdef.jpg`.
        moods: What each path does; `ok` where nothing is said.
        requests: How often each path was asked for.
        served: How often each photo was sent whole.
        slots: How many photos may still be sent before all others are held back; None for all.
        refused: How many error codes were sent.
        times: When each request came, seconds of `time.monotonic`, by path.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, photos: Mapping[str, bytes], moods: Mapping[str, Sequence[str]] = {}) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.photos = dict(photos)
        self.moods = dict(moods)
        self.requests: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.refused = 0
        self.times: dict[str, list[float]] = {}
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.slots: int | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def answers(self) -> int:
        """Whole photos and error codes that were sent so far."""
        with self.lock:
            return self.served.total() + self.refused

    @property
    def total(self) -> int:
        """Requests so far."""
        with self.lock:
            return self.requests.total()

    def allow(self, photos: int | None) -> None:
        """Send so many photos more and hold all others back; None sends all."""
        with self.lock:
            self.slots = photos

    def take_slot(self, connection: socket.socket) -> bool:
        """Wait until a photo may be sent; false if whoever wants it has gone away."""
        while True:
            with self.lock:
                if self.slots is None:
                    return True
                if _is_gone(connection):
                    return False
                if self.slots:
                    self.slots -= 1
                    return True
            if self.ended.wait(0.02):
                return False

    def mood(self, path: str) -> str:
        """Counts a request, and says what it gets."""
        with self.lock:
            moods = self.moods.get(path, ("ok",))
            mood = moods[min(self.requests[path], len(moods) - 1)]
            self.requests[path] += 1
            self.times.setdefault(path, []).append(time.monotonic())
            return mood

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are no news."""


@contextlib.contextmanager
def serving(photos: Mapping[str, bytes], moods: Mapping[str, Sequence[str]] = {}) -> Iterator[PhotoServer]:
    """A server that runs while the block does."""
    server = PhotoServer(photos, moods)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _is_gone(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    return bool(readable) and not connection.recv(1, socket.MSG_PEEK)


class _Handler(BaseHTTPRequestHandler):
    server: PhotoServer

    def do_GET(self) -> None:
        path = self.path
        mood, _, argument = self.server.mood(path).partition(":")
        photo = self.server.photos.get(path)
        if photo is None:
            mood = "404"
        if mood.isdigit():
            self._head(int(mood), b"no", **({"Retry-After": argument} if argument else {}))
            self.wfile.write(b"no")
            with self.server.lock:
                self.server.refused += 1
            return
        assert photo is not None
        getattr(self, f"_{mood.replace('-', '_')}")(photo)

    def _head(self, status: int, content: bytes | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if content is not None:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()

    def _ok(self, photo: bytes, **headers: str) -> None:
        if not self.server.take_slot(self.connection):
            return
        self._head(200, photo, **headers)
        self.wfile.write(photo)
        with self.server.lock:
            self.server.served[self.path] += 1

    def _ok_unmeasured(self, photo: bytes) -> None:
        self._head(200)
        self.wfile.write(photo)

    def _cut(self, photo: bytes) -> None:
        self._head(200, photo)
        self.wfile.write(photo[: len(photo) // 2])

    def _cut_unmeasured(self, photo: bytes) -> None:
        self._head(200)
        self.wfile.write(photo[: len(photo) // 2])

    def _reset(self, photo: bytes) -> None:
        # With a linger time of 0 the system resets the connection instead of ending it.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _truncated(self, photo: bytes) -> None:
        self._ok(photo[: len(photo) // 2])

    def _stall(self, photo: bytes) -> None:
        self._cut(photo)
        self.wfile.flush()
        self.server.ended.wait()

    def _drip(self, photo: bytes) -> None:
        self._head(200, photo)
        for start in range(0, len(photo), 16):
            self.wfile.write(photo[start : start + 16])
            self.wfile.flush()
            if self.server.ended.wait(0.05):
                return

    def _page(self, photo: bytes) -> None:
        self._ok(b"<html><body>This photo is not available any more.</body></html>")

    def _empty(self, photo: bytes) -> None:
        self._ok(b"")

    def _elsewhere(self, photo: bytes) -> None:
        self._head(302, b"", Location=f"http://localhost:{self.server.server_port}{self.path}")

    def _here(self, photo: bytes) -> None:
        self._head(302, b"", Location=self.path)

    def _noai(self, photo: bytes) -> None:
        self._ok(photo, **{"X-Robots-Tag": "noai"})

    def log_message(self, *_: object) -> None:
        pass
