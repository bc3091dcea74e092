"""A file that is only ever added to."""

from __future__ import annotations

import os

import pytest

from geo_model.errors import GeoModelError
from train.journal import Journal

ABOUT = {"version": 1, "of": "photos"}
ENTRIES = [({"line": 10}, b"\n{rows\x00"), ({"line": 20, "rest": "7\t\xff"}, b""), ({"line": 30}, b"z" * 50)]


@pytest.fixture
def path(tmp_path):
    with Journal(tmp_path / "journal", ABOUT) as journal:
        assert (journal.entries, journal.begun_anew) == ([], False)
        for state, rows in ENTRIES:
            journal.add(state, rows)
    return tmp_path / "journal"


def test_entries_come_back(path):
    with Journal(path, ABOUT) as journal:
        assert (journal.entries, journal.begun_anew) == (ENTRIES, False)
        journal.add({"line": 40})
    with Journal(path, ABOUT) as journal:
        assert journal.entries == [*ENTRIES, ({"line": 40}, b"")]
        journal.remove()
    assert not path.exists()


def test_cut_at_any_byte_it_holds_the_entries_before(path):
    whole = path.read_bytes()
    held = []
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with Journal(path, ABOUT) as journal:
            held.append(len(journal.entries))
            assert journal.entries == ENTRIES[: held[-1]]
            journal.add({"line": -1})
        with Journal(path, ABOUT) as journal:
            assert journal.entries == [*ENTRIES[: held[-1]], ({"line": -1}, b"")]
    assert held == sorted(held)
    assert set(held) == {0, 1, 2}


def test_a_damaged_entry_and_what_follows_are_dropped(path):
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        with Journal(path, ABOUT) as journal:
            assert journal.entries == ENTRIES[: len(journal.entries)]
            assert len(journal.entries) < len(ENTRIES)


def test_about_something_else_it_is_begun_anew(path):
    with Journal(path, {**ABOUT, "of": "others"}) as journal:
        assert (journal.entries, journal.begun_anew) == ([], True)
    with Journal(path, {**ABOUT, "of": "others"}) as journal:
        assert (journal.entries, journal.begun_anew) == ([], False)


@pytest.mark.skipif(os.name != "posix", reason="files are locked on POSIX systems only")
def test_only_one_at_a_time(path):
    with Journal(path, ABOUT), pytest.raises(GeoModelError, match="is in use: the same command is running"):
        Journal(path, ABOUT)
    with Journal(path, ABOUT) as journal:
        assert journal.entries == ENTRIES


def test_where_it_cannot_be(tmp_path):
    with pytest.raises(GeoModelError, match="cannot be written: no such file"):
        Journal(tmp_path / "no" / "journal", ABOUT)
    with pytest.raises(GeoModelError, match="cannot be written: is a directory"):
        Journal(tmp_path, ABOUT)
