"""Fetching one photo from a server on 127.0.0.1 that misbehaves."""

from __future__ import annotations

import io
import socket
import urllib.request

import pytest

from tests.train.photo_server import serving
from train import download_fetch
from train.download_fetch import ASKS, Fetcher, Pauses
from train.download_reasons import (
    CUT,
    ELSEWHERE,
    EMPTY,
    FORBIDDEN,
    NO_ADDRESS,
    NO_ANSWER,
    NO_CONNECTION,
    NOT_A_PHOTO,
    TOO_LARGE,
    UNTRUSTED,
    FetchError,
    is_passing,
)

MOODS = {
    "/ok.jpg": ["ok"],
    "/ok-unmeasured.jpg": ["ok-unmeasured"],
    "/here.jpg": ["here", "ok"],
    "/noai.jpg": ["noai"],
    "/404.jpg": ["404"],
    "/410.jpg": ["410"],
    "/403.jpg": ["403"],
    "/500.jpg": ["500"],
    "/cut.jpg": ["cut"],
    "/reset.jpg": ["reset"],
    "/stall.jpg": ["stall"],
    "/drip.jpg": ["drip"],
    "/empty.jpg": ["empty"],
    "/elsewhere.jpg": ["elsewhere", "ok"],
    "/busy.jpg": ["429", "503:0", "ok"],
    "/always-busy.jpg": ["503"],
}


@pytest.fixture(scope="module")
def photo(sample_photos):
    return sample_photos[0].read_bytes()


@pytest.fixture(scope="module")
def server(photo):
    with serving(dict.fromkeys(MOODS, photo), MOODS) as running:
        yield running


def fetch(address, timeout_s=0.3, back_off_s=0.01):
    fetcher = Fetcher(back_off_s, failures_in_a_row=100)
    return fetcher.fetch(urllib.request.Request(address), timeout_s)


def reason(address, **options):
    with pytest.raises(FetchError) as caught:
        fetch(address, **options)
    return caught.value.reason


@pytest.mark.parametrize("name", ["ok", "ok-unmeasured", "here"])
def test_a_photo_comes_as_it_is(server, photo, name):
    answer = fetch(f"{server.address}/{name}.jpg", timeout_s=20)
    assert answer == (photo, ())
    assert answer.response("x").read() == photo


def test_what_a_photo_must_not_be_used_for_travels_with_it(server):
    answer = fetch(f"{server.address}/noai.jpg", timeout_s=20)
    assert answer.robots == ("noai",)
    assert answer.response("x").headers.get_all("X-Robots-Tag") == ["noai"]


@pytest.mark.parametrize(
    ("name", "expected", "passing"),
    [
        ("404", "HTTP 404 Not Found", False),
        ("410", "HTTP 410 Gone", False),
        ("403", "HTTP 403 Forbidden", False),
        ("500", "HTTP 500 Internal Server Error", True),
        ("cut", CUT, True),
        ("reset", CUT, True),
        ("stall", NO_ANSWER, True),
        ("drip", NO_ANSWER, True),
        ("empty", EMPTY, True),
        ("elsewhere", ELSEWHERE, False),
    ],
)
def test_why_a_photo_does_not_come(server, name, expected, passing):
    assert reason(f"{server.address}/{name}.jpg") == expected
    assert is_passing(expected) == passing
    assert server.requests[f"/{name}.jpg"] == 1, "asked for once only"


def test_a_host_that_is_busy_is_asked_again(server, photo):
    assert fetch(f"{server.address}/busy.jpg", timeout_s=20).content == photo
    assert server.requests["/busy.jpg"] == 3
    assert reason(f"{server.address}/always-busy.jpg", timeout_s=20) == "HTTP 503 Service Unavailable"
    assert server.requests["/always-busy.jpg"] == ASKS


def test_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert reason(f"http://127.0.0.1:{port}/x.jpg") == NO_CONNECTION
    assert is_passing(NO_CONNECTION)


def test_no_local_file_is_read(tmp_path):
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"secret")
    for address in (path.as_uri(), f"ftp://127.0.0.1{path}", "data:image/jpeg;base64,AAAA"):
        assert reason(address) == NO_ADDRESS


def test_a_photo_beyond_the_limit_is_not_read_to_its_end(server, monkeypatch):
    monkeypatch.setattr(
        download_fetch.Limits, "__init__", lambda self: object.__setattr__(self, "max_bytes", 99)
    )
    assert reason(f"{server.address}/ok.jpg", timeout_s=20) == TOO_LARGE
    assert reason(f"{server.address}/ok-unmeasured.jpg", timeout_s=20) == TOO_LARGE


def test_reasons_that_pass():
    for code in (408, 425, 429, 500, 502, 503, 504):
        assert is_passing(f"HTTP {code} whatever it is called")
    for code in (400, 401, 403, 404, 410, 451, 501, 505):
        assert not is_passing(f"HTTP {code}")
    for text in (NOT_A_PHOTO, TOO_LARGE, UNTRUSTED, FORBIDDEN, NO_ADDRESS, "", "anything else"):
        assert not is_passing(text)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(download_fetch, "time", clock)
    return clock


def waited(clock, pauses, host="a"):
    before = clock.now
    pauses.wait(host)
    return clock.now - before


def test_all_threads_wait_as_long_as_the_host_says(clock):
    pauses = Pauses(1.0, failures_in_a_row=5)
    pauses.failed("a", slow_down=True, passing=True, wait_s=30.0)
    assert pauses.left_s("a") == 30
    pauses.failed("a", slow_down=True, passing=True, wait_s=20.0)
    assert pauses.left_s("a") == 30, "a shorter wish does not end a longer pause"
    assert waited(clock, pauses, "b") == 0, "another host is asked meanwhile"
    assert 30 <= waited(clock, pauses) <= 45
    pauses.failed("a", slow_down=True, passing=True, wait_s=1e6)
    assert pauses.left_s("a") == download_fetch.LONGEST_PAUSE_S


def test_pauses_double_until_the_host_is_well(clock):
    pauses = Pauses(1.0, failures_in_a_row=5)
    lengths = []
    for _ in range(9):
        pauses.failed("a", slow_down=True, passing=True)
        pauses.failed("a", slow_down=True, passing=True)  # another thread, which had asked before
        lengths.append(pauses.left_s("a"))
        pauses.wait("a")
    assert lengths == pytest.approx([1, 2, 4, 8, 16, 32, 64, 120, 120])
    pauses.answered("a")
    pauses.failed("a", slow_down=True, passing=True)
    assert pauses.left_s("a") == 1


def test_a_few_failures_are_no_reason_to_pause_but_a_row_of_them_is(clock):
    pauses = Pauses(1.0, failures_in_a_row=3)
    for _ in range(2):
        pauses.failed("a", slow_down=False, passing=True)
    pauses.failed("a", slow_down=False, passing=False)  # a 404 is an answer
    for _ in range(2):
        pauses.failed("a", slow_down=False, passing=True)
    assert pauses.left_s("a") <= 0
    pauses.failed("a", slow_down=False, passing=True)
    assert pauses.left_s("a") == 1


def test_an_answer_reads_like_urllibs(photo):
    response = download_fetch.Answer(photo, ("noai", "bot: noindex")).response("http://x/y.jpg")
    with response as opened:
        assert io.BytesIO(opened.read()).getvalue() == photo
    assert response.headers.get_all("X-Robots-Tag") == ["noai", "bot: noindex"]
