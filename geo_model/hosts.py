"""Hosts are named and agreed to before anything is fetched from them."""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from geo_model.errors import GeoModelError


def host_of(url: str) -> str:
    """The host that an http or https address leads to.

    Raises:
        GeoModelError: It is no such address.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # ValueError if it is no number
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise GeoModelError(f"{url!r} is not an address; it must begin with http:// or https:// and a host")
    return host


def confirm_host(url: str, what: str, *, agreed: bool, how: str = "say --yes if that is meant") -> None:
    """Name the host on standard error, and ask whether it may be fetched from.

    Args:
        url: An http or https address.
        what: What will be fetched, for the question.
        agreed: Whether the user has said yes beforehand, with --yes.
        how: What somebody can do where nobody is there to answer.

    Raises:
        GeoModelError: The answer is no, nobody is there to answer, or it is no address.
    """
    host = host_of(url)
    if agreed:
        print(f"Fetching {what} from {host}.", file=sys.stderr)
        return
    if not sys.stdin.isatty():
        raise GeoModelError(f"{what} would be fetched from {host}; {how}. Nothing was fetched")
    print(f"Fetch {what} from {host}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise GeoModelError(f"nothing was fetched from {host}")
