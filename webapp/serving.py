"""Whom the app serves."""

from __future__ import annotations

from urllib.parse import urlsplit

import streamlit as st

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")


def serves_this_machine_only() -> bool:
    """Whether only this machine can reach the app, so that a visitor may name paths on it.

    The server must listen on this machine alone, and the request must not have come by way of a proxy, which
    may serve the world. A proxy that hides itself still hands on the page's origin, which browsers send with
    every websocket (RFC 6455, section 4.1).
    """
    if st.get_option("server.address") not in _THIS_MACHINE:
        return False
    headers = st.context.headers
    if any(headers.get(name) for name in _PROXY_HEADERS):
        return False
    host, origin = headers.get("Host"), headers.get("Origin")
    asked_for = [None if host is None else f"//{host}", origin]
    return all(address is None or _names_this_machine(address) for address in asked_for)


def _names_this_machine(address: str) -> bool:
    try:
        return urlsplit(address).hostname in _THIS_MACHINE
    except ValueError:  # "[" without "]": nothing that a browser writes
        return False
