"""What the `locate` command does between its arguments and its output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

from rich.console import Console

from geo_model.errors import GeoModelError
from geo_model.exports import Result, exporter
from geo_model.images import Limits, photo_name
from geo_model.photo_collection import find_photos
from geo_model.predict import PhotoFailure, Prediction
from geo_model.progress import Work
from geo_model.terminal import prediction_view


def photo_inputs(arguments: Iterable[str]) -> tuple[list[tuple[str, str | bytes]], list[PhotoFailure]]:
    """The photos that the arguments name, as (name, source), and the folders in which there is none.

    Args:
        arguments: Photos, folders, or - for a photo from standard input.
    """
    inputs: list[tuple[str, str | bytes]] = []
    failures = []
    for argument in arguments:
        if argument == "-":
            # One byte more than may be decoded, so that reading the image says that it is too large.
            inputs.append(("standard input", sys.stdin.buffer.read(Limits().max_bytes + 1)))
        elif os.path.isdir(argument):
            shown = photo_name(argument)
            try:
                found = [(str(path), str(path)) for path in find_photos(argument)]
            except GeoModelError as error:
                failures.append(PhotoFailure(shown, str(error)))
                continue
            if not found:
                failures.append(
                    PhotoFailure(shown, f"{shown}: it holds no photo; give a folder with photos.")
                )
            inputs += found
        else:
            inputs.append((argument, argument))
    return inputs, failures


class WatchedResults:
    """Results on their way to the output: moves the bar on, and counts and names those that are failures.

    Args:
        results: Predictions and failures.
        work: Where progress is shown.
    """

    def __init__(self, results: Iterable[Result], work: Work) -> None:
        self.results = results
        self.work = work
        self.failed = 0

    def __iter__(self) -> Iterator[Result]:
        for result in self.results:
            self.work.advance()
            if isinstance(result, PhotoFailure):
                self.failed += 1
                self.work.complain(result.reason)
            yield result


def write_results(
    results: Iterable[Result],
    file_format: str,
    file: TextIO,
    work: Work,
    top_k: int = 5,
    regions: bool = False,
) -> None:
    """Write results as they come; each is flushed, so that a reader at the other end of a pipe has it.

    Args:
        results: Predictions and failures.
        file_format: table, json, csv, geojson or kml.
        file: Where to.
        work: Whose bar is in the way when the output is a terminal.
        top_k: How many of the most probable cells to name.
        regions: Whether geojson and kml draw the 90% region.
    """
    if file_format == "table":
        console = Console(file=file, highlight=False, emoji=False)
        for result in results:
            if isinstance(result, Prediction):
                with work.aside():
                    console.print(prediction_view(result, top_k))
                    file.flush()
        return
    for text in exporter(file_format, draw_region=regions)(results, top_k):
        with work.aside():
            file.write(text)
            file.flush()
