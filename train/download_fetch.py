"""Fetching a photo: img2dataset's own request, with a limit on time and size, pauses, and a plain reason.

img2dataset fetches with `urllib.request.urlopen`, which uses the opener that is installed. `Fetcher.open`
does such an opener's work. It differs from urllib's own:

- A photo has a limited time in all, not only between two of its pieces; a server that sends a byte now and
  then holds nothing up.
- What ends before its `Content-Length` is no photo.
- `429` and `503` make all threads wait, as long as `Retry-After` says, and then the photo is asked for again.
- A redirection to another host is not followed, nor is any scheme but http and https.
"""

from __future__ import annotations

import io
import random
import socket
import threading
import time
import urllib.error
import urllib.request
import urllib.response
from email.message import Message
from http.client import HTTPResponse
from typing import NamedTuple
from urllib.parse import urlsplit

from geo_model.errors import GeoModelError
from geo_model.photo_files import Limits
from train.download_reasons import (
    CUT,
    ELSEWHERE,
    EMPTY,
    NO_ADDRESS,
    NO_ANSWER,
    TOO_LARGE,
    FetchError,
    asks_to_slow_down,
    is_passing,
    of_error,
)
from train.http_rules import RedirectError, retry_after_s, strict_opener

ASKS = 4
"""How often in a row a photo is asked for while its host asks to slow down."""

LONGEST_PAUSE_S = 120.0
"""A host that wants to be left alone for longer is asked again after this, seconds."""

_TIMES_IN_ALL = 6
"""A photo may take this many times as long as the wait for one piece of it."""

_PIECE_BYTES = 1 << 16


class Answer(NamedTuple):
    """What an address gave: the bytes, and the X-Robots-Tag headers that came with them."""

    content: bytes
    robots: tuple[str, ...] = ()

    def response(self, address: str) -> urllib.response.addinfourl:
        """As urllib gives it."""
        headers = Message()
        for value in self.robots:
            headers["X-Robots-Tag"] = value
        return urllib.response.addinfourl(io.BytesIO(self.content), headers, address, 200)


class Fetcher:
    """Fetches photos; its threads share the pauses that hosts ask for.

    Args:
        back_off_s: The first pause where a host does not say how long it wants, seconds. Doubles.
        failures_in_a_row: So many answers missing one after another count as a wish to slow down.
    """

    def __init__(self, back_off_s: float, failures_in_a_row: int) -> None:
        self._pauses = Pauses(back_off_s, failures_in_a_row)
        self._opener = strict_opener()

    def fetch(self, request: urllib.request.Request, timeout_s: float) -> Answer:
        """What the address of a request gives.

        Args:
            request: As img2dataset makes it.
            timeout_s: Longest wait for a connection or a piece of the photo, seconds.

        Raises:
            FetchError: Nothing that could be a photo came.
        """
        host = urlsplit(request.full_url).netloc
        for ask in range(ASKS):
            self._pauses.wait(host)
            try:
                answer = self._once(request, timeout_s)
            except FetchError as error:
                slow_down = asks_to_slow_down(error.reason)
                self._pauses.failed(host, slow_down, is_passing(error.reason), error.wait_s)
                if not slow_down or ask == ASKS - 1:
                    raise
            else:
                self._pauses.answered(host)
                return answer
        raise AssertionError("the last ask returns or raises")

    def _once(self, request: urllib.request.Request, timeout_s: float) -> Answer:
        until = time.monotonic() + _TIMES_IN_ALL * timeout_s
        try:
            with self._opener.open(request, timeout=timeout_s) as response:
                content = _read(response, until)
                return Answer(content, tuple(response.headers.get_all("X-Robots-Tag", ())))
        except FetchError:
            raise
        except RedirectError as error:
            raise FetchError(ELSEWHERE if error.host else NO_ADDRESS) from None
        except Exception as error:
            reason = of_error(error)
            if reason is None:
                raise
            wait_s = None
            if isinstance(error, urllib.error.HTTPError):
                wait_s = retry_after_s(error.headers.get("Retry-After"))
                error.close()
            raise FetchError(reason, wait_s) from None


class Pauses:
    """When each host may be asked again. Threads share one."""

    def __init__(self, back_off_s: float, failures_in_a_row: int) -> None:
        self._back_off_s = back_off_s
        self._failures_in_a_row = failures_in_a_row
        self._hosts: dict[str, _Pause] = {}
        self._lock = threading.Lock()

    def wait(self, host: str) -> None:
        """Wait until the host may be asked."""
        while (left_s := self.left_s(host)) > 0:
            time.sleep(left_s * random.uniform(1.0, 1.5))  # so that the threads do not come back as one

    def left_s(self, host: str) -> float:
        """For how long the host must not be asked, seconds."""
        with self._lock:
            pause = self._hosts.get(host)
            return pause.until - time.monotonic() if pause else 0.0

    def failed(self, host: str, slow_down: bool, passing: bool, wait_s: float | None = None) -> None:
        """The host gave no photo.

        Args:
            host: Which.
            slow_down: Whether it asked for fewer requests.
            passing: Whether it might have given one later.
            wait_s: For how long it wants to be left alone, if it says.
        """
        if not passing:
            self.answered(host)
            return
        with self._lock:
            pause = self._hosts.setdefault(host, _Pause())
            pause.failures += 1
            now = time.monotonic()
            if not slow_down and pause.failures < self._failures_in_a_row:
                return
            if not wait_s:
                if now < pause.until:  # a thread that had asked before the pause began
                    return
                wait_s = self._back_off_s * 2 ** min(pause.pauses, 16)
            pause.pauses += 1
            pause.until = max(pause.until, now + min(wait_s, LONGEST_PAUSE_S))

    def answered(self, host: str) -> None:
        """The host is well."""
        with self._lock:
            if pause := self._hosts.get(host):
                pause.failures = pause.pauses = 0


class _Pause:
    """Of one host."""

    def __init__(self) -> None:
        self.failures = 0
        self.pauses = 0
        self.until = 0.0


def check_reachable(host: str, timeout_s: float) -> None:
    """Find out before long work whether a host can be connected to; nothing is fetched.

    Args:
        host: Such as `https://example.org`.
        timeout_s: Longest wait, seconds.

    Raises:
        GeoModelError: It cannot.
    """
    if urllib.request.getproxies():  # it is the proxy's part to connect
        return
    parts = urlsplit(host)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((parts.hostname or "", port), timeout_s).close()
    except OSError as error:
        reason = (error.strerror or str(error) or type(error).__name__).lower()
        raise GeoModelError(
            f"{host} cannot be connected to ({reason}); check the address and the network"
        ) from None


def _read(response: HTTPResponse, until: float) -> bytes:
    """The whole body."""
    length = response.headers.get("Content-Length", "")
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    expected = int(length) if length.isascii() and length.isdigit() and not chunked else None
    most = Limits().max_bytes
    content = bytearray()
    while len(content) != expected:
        piece = response.read1(_PIECE_BYTES)
        if not piece:
            break
        content += piece
        if max(len(content), expected or 0) > most:
            raise FetchError(TOO_LARGE)
        if time.monotonic() > until:
            raise FetchError(NO_ANSWER)
    if expected is not None and len(content) != expected:
        raise FetchError(CUT)
    if not content:
        raise FetchError(EMPTY)
    return bytes(content)
