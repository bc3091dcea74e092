"""What a shard's addresses have answered must outlive any end of the process."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from train.download_fetch import Answer
from train.download_reasons import FetchError
from train.download_spool import ANSWERS, Spool

PHOTOS = {f"http://a/{n}.jpg": Answer(os.urandom(1 + 100 * n), ("noai",) * (n % 2)) for n in range(40)}


@pytest.fixture
def folder(tmp_path):
    with Spool(tmp_path) as spool:
        for address, answer in PHOTOS.items():
            spool.keep(address, answer)
        spool.keep_failure("http://a/gone.jpg", "HTTP 404 Not Found")
    return tmp_path


def known(folder):
    with Spool(folder) as spool:
        return {address: spool.get(address) for address in PHOTOS}


def test_answers_are_there_again(folder):
    assert known(folder) == PHOTOS
    with Spool(folder) as spool:
        assert spool.get("http://a/never-asked.jpg") is None
        with pytest.raises(FetchError, match="HTTP 404 Not Found"):
            spool.get("http://a/gone.jpg")


def test_threads_share_one(tmp_path):
    with Spool(tmp_path) as spool, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: spool.keep(*item), PHOTOS.items()))
        assert list(pool.map(spool.get, PHOTOS)) == list(PHOTOS.values())
    assert known(tmp_path) == PHOTOS


def test_whatever_of_the_last_line_is_missing_only_that_photo_is_unknown(folder):
    path = folder / ANSWERS
    lines = path.read_bytes().splitlines(keepends=True)[:5]
    whole = b"".join(lines)
    for end in range(len(whole) - len(lines[-1]), len(whole)):
        path.write_bytes(whole[:end])
        found = known(folder)
        assert [address for address, answer in found.items() if answer] == list(PHOTOS)[:4]
        with Spool(folder) as spool:  # it goes on behind the last whole line
            spool.keep("http://a/new.jpg", Answer(b"new"))
        with Spool(folder) as spool:
            assert spool.get("http://a/new.jpg") == Answer(b"new")
            assert spool.get("http://a/3.jpg") == PHOTOS["http://a/3.jpg"]


@pytest.mark.parametrize(
    "line", [b"\0" * 100 + b"\n", b"[]\n", b"{}\n", b'{"address": "x", "at": "0", "size": 1}\n', b"\xff\n"]
)
def test_what_a_power_cut_may_leave_ends_the_list(folder, line):
    path = folder / ANSWERS
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], line, *lines[3:]]))
    assert [address for address, answer in known(folder).items() if answer] == list(PHOTOS)[:3]
    assert path.read_bytes() == b"".join(lines[:3])


def test_a_photo_that_is_not_what_was_written_was_never_kept(folder):
    photos = folder / "photos.bin"
    content = bytearray(photos.read_bytes())
    at = json.loads((folder / ANSWERS).read_bytes().splitlines()[7])["at"]
    content[at + 5] ^= 1
    photos.write_bytes(content[:-1])  # and the last one is short
    unknown = [address for address, answer in known(folder).items() if answer is None]
    assert unknown == ["http://a/7.jpg", "http://a/39.jpg"]


def test_a_full_disk_ends_it(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full, a file that is always full, which this system does not have")
    (tmp_path / "photos.bin").symlink_to("/dev/full")
    with Spool(tmp_path) as spool:
        with pytest.raises(OSError, match="No space left"):
            spool.keep("http://a/1.jpg", Answer(b"photo"))
        assert isinstance(spool.error, OSError)
        assert spool.get("http://a/1.jpg") is None
        with pytest.raises(OSError, match="No space left"):
            spool.keep_failure("http://a/2.jpg", "HTTP 404")
