"""What every request of this folder keeps to: http and https only, and only the host that was agreed to."""

from __future__ import annotations

import email.utils
import time
import urllib.request
from http.client import HTTPMessage, HTTPResponse
from typing import IO
from urllib.parse import urlsplit


class RedirectError(Exception):
    """A server sends a request on to where it may not go.

    Attributes:
        host: The other host; empty if the address there is none of http or https.
    """

    def __init__(self, host: str) -> None:
        super().__init__(f"sent on to {host or 'no usable address'}")
        self.host = host


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a redirection only on the host that was asked."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> HTTPResponse | None:
        """As in urllib, which raises ValueError where it is sent on to what cannot be an address."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:
            raise RedirectError("") from None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        target = urlsplit(newurl)
        host = target.hostname if target.scheme in ("http", "https") else None
        if not host or host != urlsplit(req.full_url).hostname:
            raise RedirectError(host or "")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def strict_opener() -> urllib.request.OpenerDirector:
    """Opens http and https only, where urllib's default one reads local files and FTP as well.

    Its `open` raises `RedirectError` where a redirection leads to another host.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _SameHost(),
    ):
        opener.add_handler(handler)
    return opener


def retry_after_s(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, given as a number or a date (RFC 9110, 10.2.3), if any."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), 10**6))
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return max(0.0, date.timestamp() - time.time())
