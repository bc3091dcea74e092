"""What the `locate` command does between its arguments and its output."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal, TextIO, cast

from rich.console import Console

from geo_model.exports import Result, exporter
from geo_model.measurements import REGION_SHARES
from geo_model.photo_sources import PhotoSources, Unreadable
from geo_model.predict import Model, PhotoFailure, PhotoInput, Prediction
from geo_model.progress import Work
from geo_model.terminal import prediction_view

if TYPE_CHECKING:
    from geo_model.decoding import CropReduction


def located(
    photos: PhotoSources,
    model: Callable[[], Model],
    batch_size: int | Literal["auto"] = "auto",
    crops: CropReduction | None = None,
) -> Iterator[Result]:
    """Results for any number of photos, in constant memory and in their order.

    Args:
        photos: See there.
        model: Loads the model; called at once if there is anything to locate, else never.
        batch_size: See `Model.stream`.
        crops: See `Model.stream`.
    """
    found = iter(photos)
    failures: list[Result] = []
    for name, source in found:
        if isinstance(source, Unreadable):
            failures.append(PhotoFailure(name, source.sentence))
            continue
        inputs = cast("Iterable[PhotoInput]", itertools.chain([(name, source)], found))
        # Whatever is written names the place and both regions of every photo.
        results = model().stream(inputs, batch_size=batch_size, crops=crops, regions=REGION_SHARES)
        return itertools.chain(failures, results)
    return iter(failures)


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
        file_format: table, json, csv, geojson, geojsonl or kml.
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
