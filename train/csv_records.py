"""Records of a CSV file with the lines they begin at, even of one that is damaged."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import NamedTuple, TextIO


class BrokenRecord(NamedTuple):
    """Why a record cannot be taken apart.

    Attributes:
        kind: The same words for every one of its sort.
        reason: What is wrong, and what to do.
    """

    kind: str
    reason: str


def read_records(
    text: TextIO, lines_before: int, width: int, *, rewind: bool
) -> Iterator[tuple[int, list[str] | BrokenRecord]]:
    """The records of a CSV file; empty lines are left out.

    Args:
        text: Opened with `newline=""`, read up to the end of the header.
        lines_before: How many lines that is.
        width: How many fields a record must have.
        rewind: Whether reading goes on in the line below the one in which a broken record begins, and not
            behind it: a stray quote would take many lines with it.

    Yields:
        The line at which each record begins, counted from 1, and its fields or what is wrong with it.
    """
    lines = _Lines(text) if rewind else None
    reader = csv.reader(lines or text, strict=True)
    line = lines_before
    went_back = 0
    while True:
        start = line + 1
        row: list[str] | BrokenRecord
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = BrokenRecord("line that is not CSV", f"not readable as CSV ({error}); mend its quotes")
        else:
            if len(row) != width and row:
                row = BrokenRecord(
                    "wrong number of fields",
                    f"{len(row)} fields where the header has {width}; a text with a comma in it must stand "
                    "in quotes",
                )
        if lines:
            if isinstance(row, BrokenRecord):
                went_back += lines.go_back()
            lines.end_record()
        line = lines_before + reader.line_num - went_back
        if row:
            yield start, row


class _Lines(Iterator[str]):
    """Lines of text; can go back to the second line of the record that was read last."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._record: list[str] = []
        self._again: list[str] = []  # the next line last

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._text)
        self._record.append(line)
        return line

    def end_record(self) -> None:
        self._record.clear()

    def go_back(self) -> int:
        """Returns by how many lines."""
        lines = self._record[1:]
        self._again += reversed(lines)
        return len(lines)
