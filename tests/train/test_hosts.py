"""Nothing is fetched from a host that was not agreed to."""

from __future__ import annotations

import io

import pytest

from geo_model.errors import GeoModelError
from train.hosts import confirm_host, host_of

URL = "https://example.org:8443/a/b.bz2?x=1"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_host_of_an_address():
    assert host_of(URL) == "example.org"
    assert host_of("http://user:secret@127.0.0.1/") == "127.0.0.1"
    for text in ("example.org/a", "ftp://example.org/a", "https:///a", "http://a:port/", ""):
        with pytest.raises(GeoModelError, match="is not an address"):
            host_of(text)


def test_agreed_beforehand(capsys):
    confirm_host(URL, "the hash file", agreed=True)
    assert capsys.readouterr().err == "Fetching the hash file from example.org.\n"


@pytest.mark.parametrize("answer", ["y\n", "Yes\n"])
def test_agreed_when_asked(monkeypatch, capsys, answer):
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    confirm_host(URL, "the hash file", agreed=False)
    assert capsys.readouterr().err == "Fetch the hash file from example.org? [y/N] "


@pytest.mark.parametrize("answer", ["\n", "n\n", "", "yesterday\n"])
def test_not_agreed(monkeypatch, answer):
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    with pytest.raises(GeoModelError, match=r"nothing was fetched from example\.org"):
        confirm_host(URL, "the hash file", agreed=False)


def test_nobody_to_ask(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(GeoModelError, match=r"the hash file would be fetched from example\.org; say --yes"):
        confirm_host(URL, "the hash file", agreed=False)
