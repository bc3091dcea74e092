"""What has been published about Im2GPS and Im2GPS3k: the figures that this project's own stand beside.

Percentages of photos within 1, 25, 200, 750 and 2,500 km (`metrics.THRESHOLDS_KM`) as their authors print
them; they are not recomputed here, except where a note says so. Training data, networks and the handling of
crops differ between the methods, so a difference is not due to one of them alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from geo_model.errors import GeoModelError
from geo_model.metrics import wilson_interval

_PLANET = (
    "Weyand, Kostrikov, Philbin: PlaNet - Photo Geolocation with Convolutional Neural Networks, ECCV 2016"
)
_CPLANET = (
    "Seo, Weyand, Sim, Han: CPlaNet: Enhancing Image Geolocalization by Combinatorial Partitioning of Maps, "
    "ECCV 2018"
)
_HIERARCHICAL = (
    "Müller-Budack, Pustu-Iren, Ewerth: Geolocation Estimation of Photos using a Hierarchical Model and "
    "Scene Classification, ECCV 2018"
)
_TRANSLOCATOR = (
    "Pramanick, Nowara, Gleason, Castillo, Chellappa: Where in the World is this Image? Transformer-based "
    "Geo-localization in the Wild, ECCV 2022"
)
_GEOCLIP = (
    "Vivanco Cepeda, Nayak, Shah: GeoCLIP: Clip-Inspired Alignment between Locations and Images for "
    "Effective Worldwide Geo-localization, NeurIPS 2023"
)
_PIGEON = "Haas, Skreta, Alberti, Finn: PIGEON: Predicting Image Geolocations, CVPR 2024"
_GEORANKER = (
    "Jia et al.: GeoRanker: Distance-Aware Ranking for Worldwide Image Geolocalization, "
    "arXiv 2505.13731, 2025"
)
_IN_THE_PAPER = "the paper"
_PYTORCH_README = "the README of the authors' PyTorch code (GitHub, TIBHannover/GeoEstimation, December 2020)"


@dataclass(frozen=True)
class Benchmark:
    """A set of test photos that methods are compared on.

    Attributes:
        key: What options and file names call it.
        name: What readers call it.
        photos: How many it has.
        source: Where it was introduced.
    """

    key: str
    name: str
    photos: int
    source: str


@dataclass(frozen=True)
class PublishedFigures:
    """What is published about one method on one benchmark.

    Attributes:
        method: As its authors call it.
        benchmark: Key of the benchmark.
        percents: Percentages of its photos within 1, 25, 200, 750 and 2,500 km, as printed.
        year: Of publication.
        paper: Authors, title and venue.
        taken_from: Where these figures are printed.
        note: What a reader should know about them; may be empty.
    """

    method: str
    benchmark: str
    percents: tuple[float, float, float, float, float]
    year: int
    paper: str
    taken_from: str = _IN_THE_PAPER
    note: str = ""

    @property
    def intervals(self) -> tuple[tuple[float, float], ...]:
        """The 95% Wilson interval of each percentage, as shares; computed here, not published."""
        total = benchmark(self.benchmark).photos
        return tuple(wilson_interval(round(total * percent / 100), total) for percent in self.percents)


BENCHMARKS = (
    Benchmark(
        "im2gps",
        "Im2GPS",
        237,
        "Hays, Efros: IM2GPS: estimating geographic information from a single image, CVPR 2008",
    ),
    Benchmark(
        "im2gps3k",
        "Im2GPS3k",
        2997,
        "Vo, Jacobs, Hays: Revisiting IM2GPS in the Deep Learning Era, ICCV 2017",
    ),
)

PUBLISHED = (
    PublishedFigures("PlaNet", "im2gps", (8.4, 24.5, 37.6, 53.6, 71.3), 2016, _PLANET),
    PublishedFigures(
        "CPlaNet",
        "im2gps",
        (16.5, 37.1, 46.4, 62.0, 78.5),
        2018,
        _CPLANET,
        note="Some lists have 46.6 at 200 km, which no number of 237 photos is; 46.4 is 110 of them.",
    ),
    PublishedFigures(
        "base(M, f*), ResNet-101",
        "im2gps",
        (15.2, 40.9, 51.5, 65.4, 78.5),
        2018,
        _HIERARCHICAL,
    ),
    PublishedFigures(
        "ISN(M, f*, S3)",
        "im2gps",
        (16.9, 43.0, 51.9, 66.7, 80.2),
        2018,
        _HIERARCHICAL,
    ),
    PublishedFigures(
        "base(M, f*), ResNet-50",
        "im2gps",
        (14.8, 37.6, 48.9, 68.4, 78.9),
        2020,
        _HIERARCHICAL,
        _PYTORCH_README,
    ),
    PublishedFigures(
        "TransLocator",
        "im2gps",
        (19.9, 48.1, 64.6, 75.6, 86.7),
        2022,
        _TRANSLOCATOR,
        note="No number of 237 photos is 19.9%, 75.6% or 86.7% of them.",
    ),
    PublishedFigures("PIGEOTTO", "im2gps", (14.8, 40.9, 63.3, 82.3, 91.1), 2024, _PIGEON),
    PublishedFigures(
        "PlaNet",
        "im2gps3k",
        (8.5, 24.8, 34.3, 48.4, 64.6),
        2016,
        _PLANET,
        f"{_CPLANET}, whose authors trained it again",
    ),
    PublishedFigures("CPlaNet", "im2gps3k", (10.2, 26.5, 34.6, 48.6, 64.6), 2018, _CPLANET),
    PublishedFigures(
        "base(M, f*), ResNet-101",
        "im2gps3k",
        (9.7, 27.0, 35.6, 49.2, 66.0),
        2018,
        _HIERARCHICAL,
        note="The authors' table of predictions gives 49.1 at 750 km: 1,473 of 2,997 photos are 49.149%.",
    ),
    PublishedFigures(
        "ISN(M, f*, S3)",
        "im2gps3k",
        (10.5, 28.0, 36.6, 49.7, 66.0),
        2018,
        _HIERARCHICAL,
    ),
    PublishedFigures(
        "base(M, f*), ResNet-50",
        "im2gps3k",
        (10.1, 28.0, 36.9, 51.1, 67.0),
        2020,
        _HIERARCHICAL,
        _PYTORCH_README,
    ),
    PublishedFigures("TransLocator", "im2gps3k", (11.8, 31.1, 46.7, 58.9, 80.1), 2022, _TRANSLOCATOR),
    PublishedFigures("GeoCLIP", "im2gps3k", (14.1, 34.5, 50.7, 69.7, 83.8), 2023, _GEOCLIP),
    PublishedFigures("PIGEOTTO", "im2gps3k", (11.3, 36.7, 53.8, 72.4, 85.3), 2024, _PIGEON),
    PublishedFigures("GeoRanker", "im2gps3k", (18.8, 45.1, 61.5, 76.3, 89.3), 2025, _GEORANKER),
)
"""Every published row, by benchmark and then by year."""


def benchmark(key: str) -> Benchmark:
    """The benchmark of a key such as `im2gps3k`.

    Raises:
        GeoModelError: There is none of that key.
    """
    for known in BENCHMARKS:
        if known.key == key:
            return known
    raise GeoModelError(f"{key!r} is no benchmark; use {' or '.join(known.key for known in BENCHMARKS)}.")


def published_figures(key: str) -> tuple[PublishedFigures, ...]:
    """What is published about a benchmark, the oldest first.

    Raises:
        GeoModelError: There is no benchmark of that key.
    """
    known = benchmark(key)
    return tuple(figures for figures in PUBLISHED if figures.benchmark == known.key)
