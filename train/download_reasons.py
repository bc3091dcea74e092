"""Why a photo could not be had, in the same few words everywhere, and whether to ask for it again.

A reason is a text, so that it passes through img2dataset's `error_message` unharmed.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.error

NO_ANSWER = "no answer in time"
NO_CONNECTION = "no connection"
CUT = "connection cut"
EMPTY = "empty answer"
DAMAGED = "damaged or cut off photo"
LOST = "lost while it was being written"

NOT_A_PHOTO = "not a photo"
TOO_LARGE = "photo too large"
ELSEWHERE = "sent on to another host"
UNTRUSTED = "certificate not trusted"
FORBIDDEN = "forbidden by X-Robots-Tag"
NO_ADDRESS = "no usable address"

REPEATED = "same address as an earlier row"
"""Not a failure: the photo is fetched once, for the earlier row."""

_PASSING = frozenset({NO_ANSWER, NO_CONNECTION, CUT, EMPTY, DAMAGED, LOST})
_PASSING_CODES = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, *range(520, 528), 529})
_SLOW_DOWN_CODES = frozenset({429, 503})
_CODE = re.compile(r"HTTP (\d{3})\b.*")


class FetchError(Exception):
    """A photo that did not come.

    Args:
        reason: One of the texts above, or `HTTP` with a status.
        wait_s: How long its host asks to be left alone, seconds; None if it does not say.
    """

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s


def of_status(code: int) -> str:
    """Of an HTTP status, such as `HTTP 404 Not Found`."""
    return f"HTTP {code} {http.client.responses.get(code, '')}".strip()


def is_passing(reason: str) -> bool:
    """Whether the same request may well succeed later."""
    code = _CODE.fullmatch(reason)
    return int(code[1]) in _PASSING_CODES if code else reason in _PASSING


def asks_to_slow_down(reason: str) -> bool:
    """Whether the host answers, but wants fewer requests for a while."""
    code = _CODE.fullmatch(reason)
    return code is not None and int(code[1]) in _SLOW_DOWN_CODES


def of_error(error: BaseException) -> str | None:
    """Of what the standard library raised while it fetched; None for an error of another kind."""
    if isinstance(error, FetchError):
        return error.reason
    if isinstance(error, urllib.error.HTTPError):
        return of_status(error.code)
    if isinstance(error, urllib.error.URLError):
        inner = error.reason
        return of_error(inner) if isinstance(inner, BaseException) else NO_ADDRESS
    if isinstance(error, ssl.SSLCertVerificationError):
        return UNTRUSTED
    if isinstance(error, TimeoutError):  # also what a socket raises when its own time is over
        return NO_ANSWER
    if isinstance(error, http.client.InvalidURL | UnicodeError):
        return NO_ADDRESS
    if isinstance(error, ConnectionRefusedError | socket.gaierror):
        return NO_CONNECTION
    if isinstance(error, ConnectionError | http.client.HTTPException | ssl.SSLError):
        return CUT
    return NO_CONNECTION if isinstance(error, OSError) else None
