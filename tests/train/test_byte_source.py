"""Bytes behind an address, from a server on 127.0.0.1 that misbehaves."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from geo_model.errors import GeoModelError
from train.byte_source import FileSource, UrlSource

CONTENT = os.urandom(300_000)


class Handler(BaseHTTPRequestHandler):
    """Answers each request as the next entry of `server.plan` says, and well once there is none."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        step = server.plan.pop(0) if server.plan else {}
        if "status" in step:
            self.send_response(step["status"])
            for name, value in step.get("headers", {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = step.get("content", server.content)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        tag = step.get("tag", '"one"')
        current = self.headers.get("If-Range") in (None, tag)
        if wanted and current and not step.get("no_ranges"):
            start = int(wanted[1])
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            shown = start + step.get("shift", 0)
            self.send_header("Content-Range", f"bytes {shown}-{len(content) - 1}/{len(content)}")
        else:
            start = 0
            self.send_response(200)
        body = content[start:]
        if tag:
            self.send_header("ETag", tag)
        if step.get("chunked"):
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: step.get("cut", len(body))])
        self.wfile.flush()
        if "stall" in step:
            time.sleep(step["stall"])
        if "cut" in step:
            self.close_connection = True


@contextmanager
def serving(content, plan):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.content, server.plan, server.asked = content, list(plan), []
    server.url = f"http://127.0.0.1:{server.server_address[1]}/file.bz2"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fetched(server, start=0, **options):
    waits = []
    options = {"first_wait_seconds": 0.001, **options}
    source = UrlSource(server.url, waits.append, **options)
    return b"".join(source.chunks(start)), source, waits


@pytest.mark.parametrize("start", [0, 1, 123_456, 299_999, 300_000])
def test_from_any_byte_on(start, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    assert b"".join(FileSource(path).chunks(start)) == CONTENT[start:]
    assert FileSource(path).size == 300_000
    with serving(CONTENT, []) as server:
        if start == 300_000:
            with pytest.raises(GeoModelError, match="416"):  # a server that nobody has asked before
                fetched(server, start)
            return
        content, source, waits = fetched(server, start)
    assert content == CONTENT[start:]
    assert source.size == 300_000
    assert waits == []


def test_what_breaks_is_taken_up_where_it_broke():
    plan = [
        {"cut": 70_000},
        {"status": 503},
        {"cut": 0},
        {"status": 429, "headers": {"Retry-After": "0"}},
        {"cut": 100_001},
        {"no_ranges": True, "cut": 200_000},
    ]
    with serving(CONTENT, plan) as server:
        content, _, waits = fetched(server)
    assert content == CONTENT
    assert [asked[1] for asked in server.asked] == [
        None,
        *["bytes=70000-"] * 4,
        "bytes=170001-",
        "bytes=200000-",
    ]
    assert {asked[2] for asked in server.asked[1:]} == {'"one"'}
    assert len(waits) == 6
    assert "the connection broke off; going on at byte 70,000 in 0.001 s" in waits[0]
    assert "the server answers 503 Service Unavailable" in waits[1]


def test_a_cut_answer_of_unknown_length():
    with serving(CONTENT, [{"chunked": True, "cut": 70_000}]) as server:
        content, *_ = fetched(server)
    assert content == CONTENT


def test_a_server_that_stalls():
    with serving(CONTENT, [{"cut": 50_000, "stall": 5}]) as server:
        content, _, waits = fetched(server, timeout_seconds=0.2)
    assert content == CONTENT
    assert "timed out" in waits[0]


def test_pauses_grow_and_end():
    with serving(CONTENT, [{"status": 500}] * 20) as server, pytest.raises(GeoModelError) as caught:
        fetched(server)
    assert "given up after 8 failures in a row (the server answers 500" in str(caught.value)
    assert len(server.asked) == 8
    with serving(CONTENT, [{"status": 500}] * 4) as server:
        waits = fetched(server)[2]
    assert [wait.rsplit(" in ", 1)[1] for wait in waits] == ["0.001 s", "0.002 s", "0.004 s", "0.008 s"]


def test_nobody_listens():
    with serving(CONTENT, []) as server:
        pass
    with pytest.raises(GeoModelError, match="given up after 8 failures in a row \\(Connection refused"):
        fetched(server)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ([{"status": 404}], "the server answers 404 Not Found; check the address"),
        ([{"status": 403}], "the server answers 403 Forbidden"),
        ([{"cut": 9}, {"tag": '"two"'}], "the file has changed while it was fetched"),
        ([{"cut": 9, "tag": None}, {"content": CONTENT[1:], "tag": None}], "the file has changed"),
        ([{"cut": 9}, {"shift": 1}], "sends another part of the file than it was asked for"),
    ],
)
def test_what_cannot_be_gone_on_with(plan, words):
    with serving(CONTENT, plan) as server, pytest.raises(GeoModelError, match=words) as caught:
        fetched(server)
    assert str(caught.value).startswith(server.url)


def test_redirects_stay_on_the_host():
    with serving(CONTENT, []) as server:
        here = server.url
        elsewhere = here.replace("127.0.0.1", "localhost")
        server.plan = [{"status": 302, "headers": {"Location": here + "?again"}}]
        assert fetched(server)[0] == CONTENT
        server.plan = [{"status": 302, "headers": {"Location": elsewhere}}]
        server.asked.clear()
        with pytest.raises(GeoModelError, match="leads to another host, localhost"):
            fetched(server)
        assert len(server.asked) == 1


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc/passwd", "http://", "http://[", "http://a:b/c"])
def test_what_is_no_address(url):
    with pytest.raises(GeoModelError, match="is not an address"):
        UrlSource(url)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(GeoModelError, match="none cannot be read: no such file"):
        FileSource(tmp_path / "none")
    with pytest.raises(GeoModelError, match="cannot be read: is a directory"):
        FileSource(tmp_path)
