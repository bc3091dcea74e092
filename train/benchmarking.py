"""A model measured on Im2GPS and Im2GPS3k, beside what is published about them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geo_model.errors import GeoModelError, TableError, reason_of
from geo_model.evaluation import Report
from geo_model.exports import csv_line
from geo_model.files import check_writable, replaced_when_written
from geo_model.metrics import THRESHOLDS_KM
from geo_model.photo_collection import PhotoCollection
from geo_model.published import Benchmark, benchmark, published_figures
from geo_model.report_files import report_csv, report_record
from geo_model.truth import Coordinate, read_truth_csv

FIGURES = "figures.csv"
"""The file that holds all figures, ours and the published ones."""


@dataclass(frozen=True)
class BenchmarkPhotos:
    """A user's copy of a benchmark, looked through before a model is loaded.

    Attributes:
        benchmark: Which one.
        collection: The photos.
        truths: Latitude and longitude in degrees by photo id; empty where the photos' own tar says them.
    """

    benchmark: Benchmark
    collection: PhotoCollection
    truths: Mapping[str, Coordinate]

    @classmethod
    def open(cls, key: str, text: str) -> BenchmarkPhotos:
        """Read what `--im2gps PHOTOS[,TRUTH]` says.

        Args:
            key: Of the benchmark.
            text: A folder or a tar of photos, and after a comma, where they were taken: a truth CSV.

        Raises:
            TableError: One of the two is missing, damaged or empty; says what to do.
            PhotoError: A folder cannot be listed.
        """
        known = benchmark(key)
        if text and ("," not in text or os.path.exists(text)):
            return cls(known, PhotoCollection(text), {})
        pieces = text.split(",")
        splits = [(",".join(pieces[:at]), ",".join(pieces[at:])) for at in range(len(pieces) - 1, 0, -1)]
        # A name may have a comma in it: the photos are what is there.
        photos, truth = next((split for split in splits if os.path.exists(split[0])), (pieces[0], pieces[-1]))
        if not photos or not truth:
            raise TableError(f"--{key} {text}: write it as PHOTOS or PHOTOS,TRUTH.csv.")
        return cls(known, PhotoCollection(photos), read_truth_csv(truth))


def check_out(folder: Path, keys: Sequence[str]) -> None:
    """Make the folder for results, and find out before the work whether they can be written.

    Raises:
        GeoModelError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = reason_of(error)
        raise GeoModelError(f"{folder} cannot be made: {reason}; give another folder as --out.") from error
    for name in (FIGURES, *(f"{key}.{ending}" for key in keys for ending in ("csv", "json"))):
        check_writable(folder / name)


def benchmark_record(model: str, known: Benchmark, report: Report) -> dict[str, Any]:
    """The report as `geo_model evaluate --json` prints it, with the benchmark and its published figures."""
    return {
        "model": model,
        "benchmark": asdict(known),
        **report_record(report),
        "published": [asdict(figures) for figures in published_figures(known.key)],
    }


def write_rows(path: Path, report: Report) -> None:
    """A CSV with a row a photo, as `geo_model evaluate --out` writes it."""
    with replaced_when_written(path) as file:
        file.writelines(report_csv(report))


def figures_csv(model: str, reports: Sequence[tuple[Benchmark, Report]]) -> Iterator[str]:
    """All accuracies as CSV, a row for each benchmark, method and distance; the published ones first.

    Columns: percentages of the photos within `km` kilometres with their 95% Wilson interval (`low`, `high`),
    which for published figures is computed here, and where they are from.
    """
    yield csv_line(["benchmark", "method", "year", "photos", "km", "percent", "low", "high", "source"])
    for known, report in reports:
        for figures in published_figures(known.key):
            for km, percent, (low, high) in zip(
                THRESHOLDS_KM, figures.percents, figures.intervals, strict=True
            ):
                row = [known.key, figures.method, figures.year, known.photos, f"{km:g}", percent]
                yield csv_line([*row, *_rounded(low, high), figures.taken_from])
        for summary in report.distances:
            for accuracy in summary.accuracies:
                row = [known.key, f"{model}, {summary.name}", "", accuracy.total, f"{accuracy.km:g}"]
                yield csv_line(
                    [*row, *_rounded(accuracy.share, accuracy.low, accuracy.high), "measured by this command"]
                )


def _rounded(*shares: float) -> list[float]:
    return [round(100 * share, 3) for share in shares]
