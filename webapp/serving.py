"""Whom the app serves."""

from __future__ import annotations

from urllib.parse import urlsplit

import streamlit as st

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")


def serves_this_machine_only() -> bool:
    """Whether only this machine can reach the app, so that a visitor may name paths on it.

    The server must listen on this machine alone, and the request must not have come by way of a proxy, which
    may serve the world.
    """
    if st.get_option("server.address") not in _THIS_MACHINE:
        return False
    headers = st.context.headers
    if any(headers.get(name) for name in _PROXY_HEADERS):
        return False
    host = headers.get("Host")
    return host is None or urlsplit(f"//{host}").hostname in _THIS_MACHINE
