"""What requests keep to, against a server on 127.0.0.1."""

from __future__ import annotations

import email.utils
import threading
import time
import urllib.error
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from train.http_rules import RedirectError, retry_after_s, strict_opener


class Redirecting(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/there":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"here it is")
            return
        self.send_response(self.server.status)
        self.send_header("Location", self.server.leads_to)
        self.end_headers()


@pytest.fixture
def server():
    with HTTPServer(("127.0.0.1", 0), Redirecting) as running:
        running.asked, running.status = [], 302
        running.address = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirections_on_the_same_host_are_followed(server, status):
    server.status = status
    for leads_to in ("/there", f"{server.address}/there"):
        server.leads_to = leads_to
        with strict_opener().open(f"{server.address}/x") as answer:
            assert answer.read() == b"here it is"


@pytest.mark.parametrize("status", [301, 302, 307])
@pytest.mark.parametrize(
    ("leads_to", "host"),
    [
        ("http://localhost/there", "localhost"),
        ("//example.org/there", "example.org"),
        ("https://127.0.0.1.example.org/", "127.0.0.1.example.org"),
        ("ftp://127.0.0.1/there", ""),
        ("http://[", ""),
    ],
)
def test_redirections_elsewhere_are_not(server, status, leads_to, host):
    server.status, server.leads_to = status, leads_to
    with pytest.raises(RedirectError) as caught:
        strict_opener().open(f"{server.address}/x")
    assert caught.value.host == host
    assert server.asked == ["/x"]


def test_no_local_file_is_read(server, tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"secret")
    for address in (path.as_uri(), f"ftp://127.0.0.1{path}", "data:text/plain,secret"):
        with pytest.raises(urllib.error.URLError, match="unknown url type"):
            strict_opener().open(address)
    server.leads_to = path.as_uri()
    with pytest.raises(urllib.error.HTTPError, match="not allowed"):
        strict_opener().open(f"{server.address}/x")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *[("0", 0), ("120", 120), (" 7 ", 7), ("9" * 40, 1e6), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
        *[(junk, None) for junk in (None, "", "soon", "-1", "1.5", "٣")],
    ],
)
def test_retry_after(value, seconds):
    assert retry_after_s(value) == seconds


def test_retry_after_as_a_date():
    date = email.utils.formatdate(time.time() + 3000, usegmt=True)
    assert 2000 < retry_after_s(date) <= 3000
