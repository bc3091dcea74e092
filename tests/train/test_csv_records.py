"""Records and the lines they begin at."""

from __future__ import annotations

import io

import pytest

from train.csv_records import BrokenRecord, read_records


def records(text, *, rewind):
    return list(read_records(io.StringIO(text, newline=""), 1, 2, rewind=rewind))


@pytest.mark.parametrize("rewind", [False, True])
def test_lines_at_which_records_begin(rewind):
    text = 'a,1\r\n"b\nb\n",2\n\n\nc,"3"\n'
    assert records(text, rewind=rewind) == [(2, ["a", "1"]), (3, ["b\nb\n", "2"]), (8, ["c", "3"])]


@pytest.mark.parametrize("broken", ['"b,2', '"b,2"x', 'b,"2'])
def test_a_stray_quote_takes_no_other_line_with_it(broken):
    found = records(f"a,1\n{broken}\nc,3\nd,4\n", rewind=True)
    assert [(line, row if isinstance(row, list) else row.kind) for line, row in found] == [
        (2, ["a", "1"]),
        (3, "line that is not CSV"),
        (4, ["c", "3"]),
        (5, ["d", "4"]),
    ]


def test_a_text_over_several_lines_with_too_many_fields():
    found = records('a,"1\n2",3\nc,3\n', rewind=True)
    assert isinstance(found[0][1], BrokenRecord)
    assert "3 fields where the header has 2" in found[0][1].reason
    assert found[1:] == [(3, ['2"', "3"]), (4, ["c", "3"])]


def test_an_endless_text():
    found = records('a,1\nb,"' + "x\n" * 100_000, rewind=True)
    assert found[0] == (2, ["a", "1"])
    assert found[1][1].kind == "line that is not CSV"
    assert len(found) == 1 + 100_000
