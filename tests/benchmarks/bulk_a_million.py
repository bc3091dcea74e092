"""A million photos through `locate`, killed on the way: memory, speed, and is each in the output once?

The photos are the three sample photos in sixty small pieces, each there many times under names of its own,
one of a hundred damaged; in tars of 10,000 named as WebDataset names them, in one folder, or in a list. The
run is killed (kill -9) at a third and stopped (Ctrl-C) at two thirds, each time gone on with by --resume.

    python tests/benchmarks/bulk_a_million.py --without-network
    python tests/benchmarks/bulk_a_million.py --photos 50000 --source folder --format csv

With --without-network every photo is read, but its row is one prediction's with the photo's name: that
measures all that `locate` does besides decoding photos, computing, and making rows. Otherwise a model with a
tiny backbone and random weights locates them. Prints photos a second, the memory of the program at a tenth
and at the end, how long --resume takes until its first photo, and the size of what is written. The exit code
is 1 if any photo is missing or there twice.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bulk_twenty_thousand import ROOT, names_in, tiny_model
from PIL import Image

PIECES, IN_A_TAR = 60, 10_000
SHORT_SIDE_PX = 64
DAMAGED = b"no photo"
_PLAIN = "--without-network"


def small_pieces() -> list[bytes]:
    """Pieces of the sample photos as small JPEGs."""
    samples = sorted((ROOT / "assets" / "samples").glob("*.jpg"))
    pieces = []
    for number in range(PIECES):
        photo = Image.open(samples[number % len(samples)]).convert("RGB")
        left, top = number * photo.width // (2 * PIECES), number * photo.height // (2 * PIECES)
        piece = photo.crop((left, top, left + photo.width // 2, top + photo.height // 2))
        piece.thumbnail((10_000, SHORT_SIDE_PX))
        piece.save(content := io.BytesIO(), "JPEG", quality=80)
        pieces.append(content.getvalue())
    return pieces


def content(number: int, pieces: list[bytes]) -> bytes:
    """What stands for a photo: one of a hundred is damaged."""
    return DAMAGED if number % 100 == 99 else pieces[number % len(pieces)]


def make_tars(folder: Path, pieces: list[bytes], count: int) -> tuple[str, set[str]]:
    """Tars of 10,000, which are links to one of them; gives a pattern and the names of the photos."""
    names = [f"{number:09}.jpg" for number in range(min(IN_A_TAR, count))]
    first = folder / "photos-000000.tar"
    with tarfile.open(first, "w") as archive:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            data = content(number, pieces)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    tars = [first]
    for number in range(1, count // len(names)):
        tars.append(folder / f"photos-{number:06}.tar")
        os.link(first, tars[-1])
    return str(folder / "photos-*.tar"), {f"{tar}/{name}" for tar in tars for name in names}


def make_folder(folder: Path, pieces: list[bytes], count: int) -> tuple[str, set[str]]:
    """One folder of links to the pieces, or to copies where a file has as many links as it may."""
    photos, sources = folder / "photos", folder / "pieces"
    photos.mkdir()
    sources.mkdir()
    names = set()
    for number in range(count):
        source = sources / f"{number % 100 == 99}-{number % PIECES}-{number // 1_000_000}.jpg"
        if not source.exists():
            source.write_bytes(content(number, pieces))
        names.add(f"{photos}/{number:09}.jpg")
        os.link(source, f"{photos}/{number:09}.jpg")
    return str(photos), names


def make_list(folder: Path, pieces: list[bytes], count: int) -> tuple[str, set[str]]:
    """A list of the photos of one folder."""
    _, names = make_folder(folder, pieces, count)
    (folder / "list.txt").write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")
    return str(folder / "list.txt"), names


MAKERS = {"tars": make_tars, "folder": make_folder, "list": make_list}


@dataclass
class Run:
    """A run of `locate`, watched from outside through its record of what is done."""

    command: list[str]
    out: Path
    done: int = 0
    peak_mb: float = 0.0
    first_s: float | None = None

    def until(self, most: int, how: signal.Signals | None, notes: dict[int, float]) -> None:
        """Go on until so many photos are done, then end it so; without a way to end it, to its end.

        `notes` holds numbers of photos and gets the memory in MB of the moment at which they were done.
        """
        log = Path(f"{self.out}.unfinished", "done")
        before, self.first_s, self.peak_mb = self.done, None, 0.0
        began = time.monotonic()
        with subprocess.Popen(self.command, cwd=ROOT) as process:
            position = self.done = 0
            last = began
            while process.poll() is None and (how is None or self.done < most):
                time.sleep(0.05)
                self.peak_mb = max(self.peak_mb, self._memory_mb(process.pid))
                if not log.exists():
                    continue
                with open(log, "rb") as file:
                    file.seek(position)
                    new = file.read().count(b"\n")
                    position = file.tell()
                self.done += new
                last = time.monotonic() if new else last
                if self.first_s is None and self.done > before:
                    self.first_s = time.monotonic() - began
                for count, megabytes in notes.items():
                    if not megabytes and self.done >= count:
                        notes[count] = self._memory_mb(process.pid)
            if how is not None:
                if process.poll() is not None:
                    sys.exit(f"The run ended by itself, with exit code {process.returncode}.")
                process.send_signal(how)
        elapsed = time.monotonic() - began
        if log.exists():
            self.done = log.read_bytes().count(b"\n")
        first = self.first_s or elapsed
        rate = (self.done - before) / max(last - began - first, 1e-3)
        print(f"  {how.name if how else 'end'}: exit code {process.returncode}, {self.done:,} done", end="; ")
        print(f"first photo after {first:.1f} s, then {rate:,.0f} photos a second", end="; ")
        print(f"{began + elapsed - last:.1f} s to the end; at most {self.peak_mb:,.0f} MB", flush=True)

    def _memory_mb(self, pid: int) -> float:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return 0.0
        lines = [line.split() for line in status.splitlines()]
        return next((int(words[1]) / 1e3 for words in lines if words[:1] == ["VmRSS:"]), 0.0)


def locate_without_network(arguments: list[str]) -> None:
    """`locate` whose rows are one prediction's; every photo's bytes are read."""
    from dataclasses import replace

    from geo_model import bulk, cli
    from geo_model.bulk_formats import row_of
    from geo_model.photo_files import read_bytes

    marker = "NAME-OF-THE-PHOTO"

    def lines_of(photos, model, settings):  # type: ignore[no-untyped-def]
        sample = ROOT / "assets" / "samples" / "cape-canaveral.jpg"
        prediction = replace(model.predict(sample)[0], name=marker)
        row = row_of(prediction, settings.file_format, settings.top_k)
        for name, source in photos:
            if read_bytes(source, name=name) == DAMAGED:
                yield name, f"{name}: it is damaged.", ""
            else:
                yield name, None, row.replace(marker, name)

    bulk.lines_of = lines_of
    sys.argv = ["locate", *arguments]
    cli.main()


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--source", choices=list(MAKERS), default="tars")
    parser.add_argument("--format", choices=["csv", "parquet", "geojsonl"], default="parquet")
    parser.add_argument(_PLAIN, dest="network", action="store_false")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, expected = MAKERS[options.source](folder, small_pieces(), options.photos)
        count = len(expected)
        model, out = (
            tiny_model(folder / "tiny", "test_convnext3", 36, 32),
            folder / f"places.{options.format}",
        )
        program = ["-m", "geo_model"] if options.network else [__file__, "--locate"]
        command = [sys.executable, *program, "locate", source, "--model", str(model), "--out", str(out)]
        what = "" if options.network else ", without network"
        print(f"{count:,} photos, {options.source}, {options.format}{what}, {os.cpu_count()} cores")
        memory = {count // 10: 0.0, count * 99 // 100: 0.0}
        run = Run(command, out)
        run.until(count // 3, signal.SIGKILL, memory)
        run.command = [*command, "--resume"]
        run.until(2 * count // 3, signal.SIGINT, memory)
        run.until(count, None, memory)
        at_tenth, at_end = memory.values()
        print(f"  memory: {at_tenth:,.0f} MB at a tenth, {at_end:,.0f} MB at 99 hundredths")
        failures = folder / "places.failures.csv"
        print(
            f"  {out.stat().st_size / 1e6:,.1f} MB of rows, {failures.stat().st_size / 1e6:,.1f} MB failures"
        )
        names = names_in(out, failures)
    twice = sum(times > 1 for times in names.values())
    missing, strange = len(expected - names.keys()), len(names.keys() - expected)
    print(f"  every photo once: {missing} missing, {twice} there twice, {strange} not asked for")
    return 1 if missing or twice or strange else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    if sys.argv[1:2] == ["--locate"]:
        locate_without_network(sys.argv[2:])
    else:
        sys.exit(main())
