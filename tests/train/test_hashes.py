"""From photo ids to hashes, with kills in between."""

from __future__ import annotations

import bz2
import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from geo_model.errors import GeoModelError
from train.byte_source import FileSource
from train.hashes import NO_NUMBER, NOT_FOUND, find_hashes, photo_numbers, write_hashes
from train.photo_ids import PhotoIds
from train.tables import CoordinateTable

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = random.Random(11)
LINES = [
    (SOURCE.randrange(10**10), "".join(f"{byte:x}" for byte in SOURCE.randbytes(16))) for _ in range(12_000)
]
TEXT = "".join(f"{number}\t{code}\n" for number, code in LINES).encode()
DATA = bz2.compress(TEXT, 1)  # six blocks
ABSENT = [number for number in range(1, 200) if number not in dict(LINES)]
WANTED = np.unique([*(number for number, _ in LINES[::20]), *ABSENT]).astype(np.int64)
EXPECTED = {number: code for number, code in LINES if number in set(WANTED.tolist())}


@pytest.fixture
def write(tmp_path):
    def write_file(data, name="hash.bz2"):
        (tmp_path / name).write_bytes(data)
        return FileSource(tmp_path / name)

    return write_file


def hashes_of(found):
    held = np.flatnonzero(found.lengths)
    return dict(zip(found.wanted[held].tolist(), found.texts(held), strict=True))


class Stopping:
    """A file whose reading ends with Ctrl-C at some byte."""

    def __init__(self, source, stop_at):
        self.name, self.size = source.name, source.size
        self._source, self._stop_at = source, stop_at

    def chunks(self, start=0):
        data = b"".join(self._source.chunks(start))
        for at in range(0, len(data), 8192):
            if start + at > self._stop_at:
                raise KeyboardInterrupt
            yield data[at : at + 8192]


def test_photo_numbers():
    ids = [
        "45/77/3228511372.jpg",
        "3228511372",
        "12.tar.gz",
        "a/007.jpg",
        "a/b.jpg",
        "1a.jpg",
        "",
        "9" * 19,
        "²",
    ]
    assert photo_numbers(ids, len(ids)).tolist() == [3228511372, 3228511372, 12, 7, -1, -1, -1, -1, -1]


@pytest.mark.parametrize("workers", [1, 3])
def test_every_photo_that_is_there_is_found(write, tmp_path, workers):
    seen = []
    found = find_hashes(
        WANTED,
        write(DATA),
        tmp_path / "journal",
        workers=workers,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert hashes_of(found) == EXPECTED
    assert len(EXPECTED) == found.found_count == 600
    assert (found.lines, found.malformed, found.is_complete) == (12_000, 0, False)
    assert len(seen) == 6
    assert seen == sorted(seen)
    assert seen[-1][0] < seen[-1][1] == len(DATA)


def test_25_bytes_a_photo(write, tmp_path):
    assert find_hashes(WANTED, write(DATA), tmp_path / "journal").nbytes / len(WANTED) == 25


def test_reading_ends_at_the_last_photo(write, tmp_path):
    early = np.sort(np.array([number for number, _ in LINES[:3000:100]], np.int64))
    found = find_hashes(early, write(DATA + b"never read"), tmp_path / "journal")
    assert found.is_complete
    assert 3000 <= found.lines < 6000
    again = find_hashes(early, write(DATA), tmp_path / "journal")
    assert hashes_of(again) == hashes_of(found)


def test_the_first_of_several_lines_counts(write, tmp_path):
    lines = [f"{number}\t{number % 10:032x}\n" for number in range(3000)]
    lines.insert(50, f"7\t{'a' * 32}\n")
    lines.append(f"9\t{'b' * 32}\n")
    source = write(bz2.compress("".join(lines).encode(), 1))
    found = find_hashes(np.array([7, 9, 5000], np.int64), source, tmp_path / "journal")
    assert hashes_of(found) == {7: f"{7:032x}", 9: f"{9:032x}"}


def test_malformed_lines_are_counted(write, tmp_path):
    lines = TEXT.splitlines(keepends=True)
    lines[7000] = b"nothing\n"
    lines[9000] = b"\xff\t\n"
    found = find_hashes(WANTED, write(bz2.compress(b"".join(lines), 1)), tmp_path / "journal")
    assert (found.malformed, found.first_malformed, found.lines) == (2, 7001, 12_000)


def test_no_end_of_line_at_the_end(write, tmp_path):
    last = np.array([LINES[-1][0]], np.int64)
    found = find_hashes(last, write(bz2.compress(TEXT[:-1], 1)), tmp_path / "journal")
    assert hashes_of(found) == dict(LINES[-1:])


@pytest.mark.parametrize("stop_at", range(30_000, len(DATA), 41_000))
def test_stopped_anywhere_it_goes_on(write, tmp_path, stop_at):
    source, notes = write(DATA), []
    with pytest.raises(KeyboardInterrupt):
        find_hashes(
            WANTED, Stopping(source, stop_at), tmp_path / "journal", workers=1, seconds_between_entries=0
        )
    found = find_hashes(WANTED, source, tmp_path / "journal", note=notes.append)
    assert hashes_of(found) == EXPECTED
    assert found.lines == 12_000
    if stop_at > 200_000:
        assert notes[0].startswith("Going on after line ")


def test_an_error_at_any_write_to_the_journal_loses_nothing(write, tmp_path, monkeypatch):
    """As a full disk or a crash between any two of its steps would do."""
    source = write(DATA)
    real = os.fsync
    for failing in range(1, 9):
        journal = tmp_path / f"journal-{failing}"
        calls = []

        def fsync(handle, calls=calls, failing=failing):
            calls.append(handle)
            if len(calls) == failing:
                raise OSError(28, "No space left on device")
            real(handle)

        monkeypatch.setattr("train.journal.os.fsync", fsync)
        with pytest.raises(GeoModelError, match="cannot be written: no space left on device"):
            find_hashes(WANTED, source, journal, workers=1, seconds_between_entries=0)
        found = find_hashes(WANTED, source, journal)
        assert hashes_of(found) == EXPECTED
        assert found.lines == 12_000
    calls = []
    monkeypatch.setattr("train.journal.os.fsync", calls.append)
    find_hashes(WANTED, source, tmp_path / "journal", workers=1, seconds_between_entries=0)
    assert len(calls) == 8, "the journal is written once at the start, at each of six blocks, and at the end"


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from train.byte_source import FileSource
from train.hashes import find_hashes

class Slow(FileSource):
    def chunks(self, start=0):
        for chunk in super().chunks(start):
            for at in range(0, len(chunk), 4096):
                time.sleep(0.01)
                yield chunk[at : at + 4096]

folder = Path(sys.argv[1])
find_hashes(
    np.load(folder / "wanted.npy"), Slow(folder / "hash.bz2"), folder / "journal",
    note=lambda note: print(note, flush=True), seconds_between_entries=0,
)
print("done")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 on Windows")
def test_killed_again_and_again_it_ends_with_the_same_hashes(write, tmp_path):
    more = [(number, f"{number:032x}") for number in range(10**10, 10**10 + 36_000)]
    text = "".join(f"{number}\t{code}\n" for number, code in more).encode()
    source = write(bz2.compress(text + TEXT, 1))  # 24 blocks
    wanted = np.concatenate([WANTED, np.arange(10**10, 10**10 + 36_000, 30)])
    np.save(tmp_path / "wanted.npy", wanted)
    journal, chance, notes = tmp_path / "journal", random.Random(5), []
    for _ in range(3):
        before = journal.stat().st_size if journal.exists() else 0
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        until = time.monotonic() + 60
        while not journal.exists() or journal.stat().st_size <= before + 300:
            assert time.monotonic() < until, "it should have come further by now"
            assert process.poll() is None, "it should have been killed before its end"
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        notes.append(process.communicate()[0])
        assert process.returncode == -signal.SIGKILL
    assert "Going on after line" in notes[1]
    assert "Going on after line" in notes[2]
    went_on = []
    found = find_hashes(wanted, source, journal, note=went_on.append)
    assert hashes_of(found) == {**EXPECTED, **dict(more[::30])}
    assert found.lines == 48_000
    assert int(went_on[0].split("line ")[1].split(";")[0].replace(",", "")) > 0


def test_a_cut_file_is_gone_on_with_once_it_is_whole(write, tmp_path):
    notes = []
    with pytest.raises(GeoModelError, match=r"after line [5-9],[0-9]{3}: it ends in the middle") as caught:
        find_hashes(WANTED, write(DATA[: len(DATA) * 3 // 4]), tmp_path / "journal")
    assert "the same command goes on from there" in str(caught.value)
    found = find_hashes(WANTED, write(DATA, "whole.bz2"), tmp_path / "journal", note=notes.append)
    assert hashes_of(found) == EXPECTED
    assert notes[0].startswith("Going on after line ")


def test_a_damaged_file_is_gone_on_with_once_it_is_sound(write, tmp_path):
    broken = bytearray(DATA)
    broken[len(DATA) // 2] ^= 4
    for _ in range(2):  # and it fails at the same place again
        with pytest.raises(
            GeoModelError, match=r"after line [4-7],[0-9]{3}: the block at byte .* is damaged"
        ):
            find_hashes(WANTED, write(bytes(broken)), tmp_path / "journal")
    assert hashes_of(find_hashes(WANTED, write(DATA), tmp_path / "journal")) == EXPECTED


def test_other_photos_begin_anew(write, tmp_path):
    source, notes = write(DATA), []
    find_hashes(WANTED, source, tmp_path / "journal")
    found = find_hashes(WANTED[1:], source, tmp_path / "journal", note=notes.append)
    assert notes == [f"{tmp_path / 'journal'} is about other photos or another file; beginning anew."]
    assert found.lines == 12_000
    other = bz2.compress(b"".join(reversed(TEXT.splitlines(keepends=True))), 1)
    find_hashes(WANTED[1:], write(other), tmp_path / "journal", note=notes.append)
    assert len(notes) == 2


@pytest.mark.parametrize(
    "text",
    [b"IMG_ID,LAT,LON\n" + b"45/77/3228511372.jpg,46.7,23.6\n" * 5000, b"x" * 5_000_000, bytes(5_000_000)],
)
def test_another_file_is_refused(write, tmp_path, text):
    with pytest.raises(GeoModelError, match="most lines, such as line 1, are not a photo number, a tab"):
        find_hashes(WANTED, write(bz2.compress(text, 1)), tmp_path / "journal")
    assert not (tmp_path / "journal").exists()


def test_what_is_written(tmp_path):
    ids = ["45/77/5.jpg", "a/b.jpg", 'with "quotes", 6', "x/6.jpg", "y/7.jpg", "z/5.jpg"]
    table = CoordinateTable(PhotoIds.of(ids), np.array([46.778991, 1, 2, 3, 4, -90]), np.arange(6.0))
    numbers = photo_numbers(ids, len(ids))
    lines = f"5\t{'a' * 32}\n7\t{'0' * 16}1\n8\t{'c' * 32}\n".encode()
    (tmp_path / "hash.bz2").write_bytes(bz2.compress(lines))
    found = find_hashes(np.array([5, 6, 7]), FileSource(tmp_path / "hash.bz2"), tmp_path / "journal")
    out, missing = tmp_path / "out.csv", tmp_path / "missing.csv"
    assert write_hashes(out, missing, table, numbers, found) == (3, 3)
    assert out.read_bytes().decode() == (
        "IMG_ID,LAT,LON,hash\n"
        f"45/77/5.jpg,46.778991,0.0,{'a' * 32}\n"
        f"y/7.jpg,4.0,4.0,{'0' * 16}1\n"
        f"z/5.jpg,-90.0,5.0,{'a' * 32}\n"
    )
    with open(missing, newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["IMG_ID", "LAT", "LON", "reason"],
            ["a/b.jpg", "1.0", "1.0", NO_NUMBER],
            ['with "quotes", 6', "2.0", "2.0", NO_NUMBER],
            ["x/6.jpg", "3.0", "3.0", NOT_FOUND],
        ]
