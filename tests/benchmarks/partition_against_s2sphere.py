"""Partition and assign at full size, against the same algorithm written with `s2sphere` objects.

    python tests/benchmarks/partition_against_s2sphere.py                  # 4.7 million photos; minutes
    python tests/benchmarks/partition_against_s2sphere.py --photos 100000 --img-min 5 --img-max 320 150 41

Photos are drawn around the coordinates of a CSV (`LAT,LON`), with the paper's thresholds. Each side makes the
three partitionings and gives every photo its three classes, in a process of its own, so that time and peak
memory belong to one side only; reading the coordinates and importing packages are not timed. The exit code is
1 if cells or classes differ.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_COORDINATES = ROOT.parent / "shared" / "data" / "mp16_sample" / "coordinates.csv"
LEVELS = ("coarse", "middle", "fine")
SIDES = {"ours": "train.partition, train.assign", "plain": "s2sphere objects"}
LVL_MIN, LVL_MAX = 2, 30


def main() -> int:
    arguments = read_arguments()
    if arguments.role:
        {"draw": draw, "ours": ours, "plain": plain}[arguments.role](arguments)
        return 0
    with tempfile.TemporaryDirectory(prefix="partition-benchmark-") as folder:
        arguments.folder = Path(folder)
        print(f"{run_role('draw', arguments)['said']} Seed {arguments.seed}.", flush=True)
        print(f"img_min {arguments.img_min}; img_max {' / '.join(map(str, arguments.img_max))}.")
        records = {side: run_role(side, arguments) for side in SIDES}
        print(measured_text(records))
        same, text = compared(arguments.folder)
    print(text)
    return 0 if same else 1


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=4_700_000, help="how many to draw (4,700,000)")
    parser.add_argument(
        "--coordinates",
        type=Path,
        help="CSV with LAT and LON in degrees to draw around; by default the optional check data in "
        "../shared or, where that is missing, made-up towns",
    )
    parser.add_argument("--img-min", type=int, default=50)
    parser.add_argument(
        "--img-max", type=int, nargs=3, default=(5000, 2000, 1000), metavar=("COARSE", "MIDDLE", "FINE")
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--role", choices=("draw", *SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.photos < 1 or not 0 <= arguments.img_min < min(arguments.img_max):
        parser.error("--photos must be 1 or more, and --img-max above --img-min at every level")
    return arguments


def run_role(role: str, arguments: argparse.Namespace) -> dict:
    """Run one part of the benchmark as a process of its own and read the record that it leaves.

    This process stays small: on Linux a child's peak memory begins with that of the process that started it.
    """
    command = [sys.executable, __file__, "--role", role, "--folder", arguments.folder]
    command += ["--photos", arguments.photos, "--seed", arguments.seed, "--img-min", arguments.img_min]
    command += ["--img-max", *arguments.img_max]
    if arguments.coordinates:
        command += ["--coordinates", arguments.coordinates]
    if subprocess.run([str(part) for part in command], cwd=Path.cwd(), check=False).returncode:
        raise SystemExit(f"The part {role!r} of the benchmark failed.")
    return json.loads((arguments.folder / f"{role}.json").read_text(encoding="utf-8"))


def draw(arguments: argparse.Namespace) -> None:
    """Draw photos around known coordinates: some at the very place, the others metres to kilometres away."""
    import numpy as np

    sys.path.insert(0, str(ROOT))
    from geo_model.errors import GeoModelError
    from train.tables import read_coordinates

    random = np.random.default_rng(arguments.seed)
    path = arguments.coordinates or (DEFAULT_COORDINATES if DEFAULT_COORDINATES.is_file() else None)
    if path:
        try:
            table = read_coordinates(path, with_ids=False)
        except GeoModelError as error:
            raise SystemExit(f"Error: {error}") from None
        places = np.stack([table.latitudes, table.longitudes], axis=1)
        said = f"{arguments.photos:,} photos drawn around the {len(places):,} coordinates of {path}."
        chances = None
    else:
        places = np.stack(
            [np.degrees(np.arcsin(random.uniform(-1, 1, 20_000))), random.uniform(-180, 180, 20_000)], axis=1
        )
        said = f"{arguments.photos:,} photos drawn around 20,000 made-up towns, for there is no real table."
        chances = random.pareto(1.1, len(places))
        chances /= chances.sum()
    place = places[random.choice(len(places), arguments.photos, p=chances)]
    # Degrees; 0 for photos at one place, of which MP-16 has many.
    spread = random.choice([0.0, 0.0005, 0.01, 0.2], (arguments.photos, 1), p=[0.2, 0.3, 0.3, 0.2])
    points = np.round(place + spread * random.normal(size=place.shape), 6)
    points[:, 0] = np.clip(points[:, 0], -90, 90)
    points[:, 1] = (points[:, 1] + 180) % 360 - 180
    np.save(arguments.folder / "coordinates.npy", points)
    write_record(arguments, "draw", said=said)


def ours(arguments: argparse.Namespace) -> None:
    """This project's side."""
    import numpy as np

    sys.path.insert(0, str(ROOT))
    from geo_model.cells import Hierarchy
    from train.assign import assign
    from train.partition import partition

    latitudes, longitudes = np.ascontiguousarray(np.load(arguments.folder / "coordinates.npy").T)
    begun = now()
    made = [
        partition(latitudes, longitudes, arguments.img_min, most, LVL_MIN, LVL_MAX, name)
        for name, most in zip(LEVELS, arguments.img_max, strict=True)
    ]
    parted = now()
    classes = assign(latitudes, longitudes, Hierarchy.build(*made))
    done = now()
    cells = [
        [cells.tokens, cells.photo_counts.tolist(), cells.latitudes.tolist(), cells.longitudes.tolist()]
        for cells in made
    ]
    write_side(arguments, "ours", cells, classes, (begun, parted, done))


def plain(arguments: argparse.Namespace) -> None:
    """The other side: one photo and one s2sphere cell at a time, as the algorithm is described."""
    import numpy as np
    from s2sphere import CellId, LatLng

    latitudes, longitudes = np.load(arguments.folder / "coordinates.npy").T.tolist()
    begun = now()
    leaves = []
    for latitude, longitude in zip(latitudes, longitudes, strict=True):
        leaves.append(CellId.from_lat_lng(LatLng.from_degrees(latitude, longitude)))
    say("s2sphere: leaf cells are found", begun)
    partitionings = []
    for name, img_max in zip(LEVELS, arguments.img_max, strict=True):
        partitionings.append(plain_partition(leaves, arguments.img_min, img_max))
        say(f"s2sphere: the {name} partitioning is made", begun)
    parted = now()
    labels = np.full((len(leaves), len(LEVELS)), -1)
    for column, partitioning in enumerate(partitionings):
        class_of = {cell: index for index, cell in enumerate(partitioning)}
        for photo, leaf in enumerate(leaves):
            for level in range(LVL_MIN, LVL_MAX + 1):
                found = class_of.get(leaf.parent(level))
                if found is not None:
                    labels[photo, column] = found
                    break
        say(f"s2sphere: the {LEVELS[column]} classes are assigned", begun)
    done = now()
    cells = []
    for partitioning in partitionings:
        photos_of = list(partitioning.values())
        cells.append(
            [
                [cell.to_token() for cell in partitioning],
                [len(photos) for photos in photos_of],
                [sum(latitudes[photo] for photo in photos) / len(photos) for photos in photos_of],
                [sum(longitudes[photo] for photo in photos) / len(photos) for photos in photos_of],
            ]
        )
    write_side(arguments, "plain", cells, labels, (begun, parted, done))


def plain_partition(leaves: list, img_min: int, img_max: int) -> dict:
    """Cells with the photos in them, in the order of their ids."""
    cells: dict = {}
    for photo, leaf in enumerate(leaves):
        cells.setdefault(leaf.parent(LVL_MIN), []).append(photo)
    cells = {cell: photos for cell, photos in cells.items() if len(photos) > img_min}
    for level in range(LVL_MIN, LVL_MAX):
        too_full = [cell for cell, photos in cells.items() if len(photos) > img_max]
        if not too_full:
            break
        for cell in too_full:
            for photo in cells.pop(cell):
                cells.setdefault(leaves[photo].parent(level + 1), []).append(photo)
    cells = {cell: photos for cell, photos in cells.items() if len(photos) > img_min}
    return dict(sorted(cells.items(), key=lambda item: item[0].id()))


def write_side(arguments: argparse.Namespace, side: str, cells: list, classes, times: tuple) -> None:
    """Leave cells, classes, seconds and peak memory for the first process."""
    import numpy as np

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    np.save(arguments.folder / f"{side}.npy", np.asarray(classes))
    seconds = {
        name: [end - start for start, end in zip(*stage, strict=True)]
        for name, stage in (("partition", times[:2]), ("assign", times[1:]), ("together", times[::2]))
    }
    write_record(arguments, side, cells=cells, seconds=seconds, peak_bytes=peak)


def now() -> tuple[float, float]:
    """Seconds on the clock, and of this process's own computing, which other processes do not lengthen."""
    return time.perf_counter(), time.process_time()


def write_record(arguments: argparse.Namespace, role: str, **record: object) -> None:
    (arguments.folder / f"{role}.json").write_text(json.dumps(record), encoding="utf-8")


def say(what: str, begun: tuple[float, float]) -> None:
    print(f"{what} after {time.perf_counter() - begun[0]:,.0f} s", file=sys.stderr, flush=True)


def measured_text(records: dict[str, dict]) -> str:
    """Seconds and peak memory of both sides."""
    lines = []
    for clock, title in enumerate(("seconds on the clock", "seconds of processor time")):
        lines.append(f"{title:<30}{'partition':>12}{'assign':>12}{'together':>12}{'peak memory':>14}")
        for side, record in records.items():
            seconds = "".join(f"{record['seconds'][name][clock]:>12,.1f}" for name in record["seconds"])
            lines.append(f"  {SIDES[side]:<28}{seconds}{record['peak_bytes'] / 1e9:>11.2f} GB")
        ours, plain = (records[side]["seconds"]["together"][clock] for side in SIDES)
        lines.append(f"  This project is {plain / ours:,.1f} times as fast.")
    return "\n".join(lines)


def compared(folder: Path) -> tuple[bool, str]:
    """Whether both sides found the same cells, with the same photos in each, and the same classes."""
    import numpy as np

    ours, plain = (json.loads((folder / f"{side}.json").read_text())["cells"] for side in SIDES)
    our_classes, plain_classes = (np.load(folder / f"{side}.npy") for side in SIDES)
    same, lines = True, []
    for column, level in enumerate(LEVELS):
        (our_tokens, our_counts, *our_means), (tokens, counts, *means) = ours[column], plain[column]
        same_cells = our_tokens == tokens and our_counts == counts
        agree = int((our_classes[:, column] == plain_classes[:, column]).sum())
        same &= same_cells and agree == len(our_classes)
        line = f"{level:<8}{len(our_tokens):>8,} cells here, {len(tokens):>8,} with s2sphere: "
        line += "the same" if same_cells else "NOT THE SAME"
        line += f"; {agree:,} of {len(our_classes):,} classes agree"
        if same_cells:
            line += f"; means within {np.abs(np.subtract(our_means, means)).max():.0e} degrees"
        lines.append(line)
    return same, "\n".join([*lines, "All cells and classes are the same." if same else "THEY DIFFER."])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
