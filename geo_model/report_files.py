"""An evaluation report as JSON and as a CSV table with a row per photo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from geo_model.evaluation import Report
from geo_model.exports import csv_line
from geo_model.images import photo_name
from geo_model.measurements import ANSWERS, REGION_SHARES


def report_record(report: Report) -> dict[str, Any]:
    """The report in plain JSON values, without the photos that were evaluated."""
    return {
        **figures_record(report),
        "by_kind": {kind: figures_record(part) for kind, part in report.by_kind.items()},
        "without_truth": [photo_name(photo_id) for photo_id in report.without_truth],
        "without_photo": [photo_name(photo_id) for photo_id in report.without_photo],
        "repeated": [photo_name(photo_id) for photo_id in report.repeated],
        "unreadable": [
            {"photo": photo_name(photo_id), "error": reason} for photo_id, reason in report.unreadable
        ],
    }


def report_csv(report: Report) -> Iterator[str]:
    """A CSV table with a row per photo; the last column says why a photo has no figures, and is else empty.

    Degrees and km; regions: 1 if the region holds the true cell, and the region's area in km².
    """
    columns = ["photo", "kind", "truth_latitude", "truth_longitude", "latitude", "longitude", "distance_km"]
    columns += [f"{answer}_km" for answer in ANSWERS[:-1]]
    columns += [f"in_region_{100 * region:.0f}" for region in REGION_SHARES]
    columns += [f"region_{100 * region:.0f}_km2" for region in REGION_SHARES]
    yield csv_line([*columns, "error"])
    found = report.measurements
    for row, (photo_id, kind) in enumerate(zip(report.photo_ids, report.kinds, strict=True)):
        degrees = [*found.truth[row].tolist(), *(round(value, 6) for value in found.points[row].tolist())]
        distances = [
            round(float(found.distances_km[answer][row]), 3) for answer in (ANSWERS[-1], *ANSWERS[:-1])
        ]
        covered = [int(found.covered[region][row]) for region in REGION_SHARES]
        areas = [round(float(found.areas_km2[region][row]), 3) for region in REGION_SHARES]
        yield csv_line([photo_name(photo_id), kind, *degrees, *distances, *covered, *areas, ""])
    empty = [""] * (len(columns) - 1)
    for photo_id, reason in report.unreadable:
        yield csv_line([photo_name(photo_id), *empty, reason])
    for photo_id in report.without_truth:
        yield csv_line([photo_name(photo_id), *empty, "no truth is known"])
    for photo_id in report.repeated:
        yield csv_line([photo_name(photo_id), *empty, "another photo has the truth of this file name"])
    for photo_id in report.without_photo:
        yield csv_line([photo_name(photo_id), *empty, "there is truth and no photo"])


def figures_record(report: Report) -> dict[str, Any]:
    """The figures of a report as plain values: what `evaluate --json` and a model's model.json say."""
    return {
        "photos": report.count,
        "outside_cells": report.outside_cells,
        "answers": {
            summary.name: {
                "accuracy": [asdict(accuracy) for accuracy in summary.accuracies],
                "median_km": summary.median_km,
                "mean_geoscore": summary.mean_geoscore,
            }
            for summary in report.distances
        },
        "coverage": [asdict(coverage) for coverage in report.coverages],
    }
