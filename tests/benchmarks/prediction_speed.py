"""How close prediction is to what the hardware can do: ratios, both sides measured in turns in one run.

    python tests/benchmarks/prediction_speed.py                      # everything, about six minutes
    python tests/benchmarks/prediction_speed.py --device cuda
    python tests/benchmarks/prediction_speed.py --only limit --json
    python tests/benchmarks/prediction_speed.py --choices            # for geo_model/measured_choices.py

limit   `model.predict` from JPEG bytes to predictions, over the network's bare forward passes on the same
        crops, normalised and in memory, in the same precision and batches.
usual   The same ResNet-50 with the pipeline that everybody writes (prediction_usual_way.py), in a process of
        its own so that nothing that geo_model sets reaches it; and its answers.
after   What follows the network: hierarchy product, answers, regions, places; as a share of the time.
start   From `import geo_model` to the first prediction, in fresh processes.
memory  Peak over 1,000 photos, over the peak over 100.

A ratio is the median over pairs of neighbouring measurements, with the smallest and largest; by the clock,
and by the processor's time, which other work on the machine disturbs less. ResNet-50 has random weights with
batch statistics of the photos, and heads that tell the photos apart.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from side_by_side import Photos, clocked, in_turns, pieces, ratio, shown  # noqa: E402

CHECK_DATA = ROOT.parent / "shared" / "data" / "im2gps3k" / "photos-cc.tar"
PARTS = ("limit", "usual", "after", "start", "memory")
PHOTOS_OF_MEMORY = (100, 1000)
STARTS = 3
USUAL_BACKBONE = "resnet50"
PASSES = 2

# What the user had set, before geo_model sets it: the pipeline that everybody writes does not.
HUGE_PAGES = os.environ.get("THP_MEM_ALLOC_ENABLE")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, help="tar of JPEG photos; default: the check data, or samples")
    parser.add_argument("--count", type=int, default=64, help="photos that are taken from it")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16", "float16"))
    parser.add_argument("--model", help="model folder for limit, after, start and memory; default: bundled")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure only this; repeatable")
    parser.add_argument("--choices", action="store_true", help="measure ways to compute instead")
    parser.add_argument("--rounds", type=int, help="how often --choices measures each of them")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    arguments = parser.parse_args()
    if arguments.count < 4:
        parser.error("--count must be at least 4")
    say = (lambda text: None) if arguments.json else (lambda text: print(text, flush=True))
    result = measure_choices(arguments, say) if arguments.choices else measure(arguments, say)
    if arguments.json:
        print(json.dumps(result, indent=2))


def measure(arguments: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """All parts that are wanted, by name."""
    import geo_model

    photos, source = read_photos(arguments.photos, arguments.count)
    parts = arguments.only or PARTS
    model = geo_model.load(arguments.model, arguments.device, arguments.precision)
    result: dict[str, Any] = {"machine": machine(model), "photos": source}
    say(f"{result['machine']}\n{source}\n")
    if {"limit", "usual"} & set(parts):
        from prediction_usual_way import comparison

        compared = comparison(model, photos, USUAL_BACKBONE)
        if "limit" in parts:
            for each in (model, compared.model(model.dtype)):
                result[f"limit {each.spec.backbone}"] = against_the_limit(each, photos, say)
        if "usual" in parts:
            result["usual"] = against_the_usual_way(compared, model.dtype, photos, say)
        del compared
    if "after" in parts:
        result["after"] = after_the_network(model, photos, say)
    if "start" in parts:
        result["start"] = start(arguments, say)
    if "memory" in parts:
        result["memory"] = memory(arguments, say)
    return result


def read_photos(given: Path | None, count: int) -> tuple[Photos, str]:
    """The first photos of a tar, or the repository's samples again and again; and which, in words."""
    tar_path = given or CHECK_DATA
    if tar_path.is_file():
        with tarfile.open(tar_path) as tar:
            jpegs = (member for member in tar if member.isfile() and member.name.endswith((".jpg", ".jpeg")))
            photos = [(m.name, tar.extractfile(m).read()) for m in itertools.islice(jpegs, count)]
        if not photos:
            sys.exit(f"{tar_path}: it holds no JPEG photo; give another tar.")
        return photos, f"{len(photos)} photos of {tar_path.name}"
    if given:
        sys.exit(f"{tar_path}: there is no such file; give a tar of JPEG photos.")
    files = sorted((ROOT / "assets" / "samples").glob("*.jpg"))
    repeated = itertools.islice(itertools.cycle(files), count)
    photos = [(f"{number}-{path.name}", path.read_bytes()) for number, path in enumerate(repeated)]
    return photos, (
        f"{count} photos: the {len(files)} samples of the repository repeated, "
        "as the optional check data in ../shared is missing"
    )


def machine(model: Any) -> str:
    """Hardware, versions and how the model computes."""
    import torch

    from geo_model.tuned_choices import device_name
    from geo_model.tuning_text import in_words

    return f"{device_name(model.device)}; torch {torch.__version__}; {in_words(model.choices)}"


def against_the_limit(model: Any, photos: Photos, say: Callable[[str], None]) -> dict[str, float]:
    """`predict` over the bare network."""
    import torch

    together = model.choices.photos_at_once or model.choices.batch_size
    batches = {}
    # As many whole batches in each piece as there are: four pieces where the photos suffice.
    chunks = pieces(photos, max(1, min(4, len(photos) // model.choices.batch_size)))
    for chunk in chunks:
        batches[chunk[0][0]] = list(normalised_batches(model, chunk, together))

    @torch.inference_mode()
    def bare(chunk: Photos) -> None:
        for pixels in batches[chunk[0][0]]:
            model.run(pixels)  # in the same way: compiled or as a CUDA graph, if that was chosen

    def predict(chunk: Photos) -> None:
        model.predict(chunk)

    for chunk in chunks:  # the first seconds are slow
        bare(chunk)
        predict(chunk)
    network, whole = in_turns([clocked(side, model.device) for side in (bare, predict)], chunks * 5)
    size = len(chunks[0])
    values = ratio(network, whole)
    values |= {
        "predict_photos_per_second": size / statistics.median(entry[0] for entry in whole),
        "network_photos_per_second": size / statistics.median(entry[0] for entry in network),
    }
    say(
        f"Against the limit, {model.spec.backbone}: {values['predict_photos_per_second']:.1f} photos/s, "
        f"bare network {values['network_photos_per_second']:.1f}: {shown(values)}"
    )
    return values


def normalised_batches(model: Any, photos: Photos, together: int) -> Iterator[Any]:
    """Crops as the network takes them, on the device."""
    import torch

    from geo_model.crops import normalise
    from geo_model.images import read_image

    rule = model.spec.crop_rule
    for begin in range(0, len(photos), together):
        crops = [
            model.cut(read_image(data, short_side_px=rule.resize_short_px))
            for _, data in photos[begin : begin + together]
        ]
        pixels = normalise(torch.cat(crops).to(model.device), rule, model.dtype)
        yield pixels.contiguous(memory_format=torch.channels_last)


def against_the_usual_way(
    compared: Any, dtype: Any, photos: Photos, say: Callable[[str], None]
) -> dict[str, Any]:
    """`predict` in the chosen precision and in float32 over the usual way, and whether they answer alike."""
    import torch
    from prediction_usual_way import InItsOwnProcess

    model, exact = compared.model(dtype), compared.model(torch.float32)
    with InItsOwnProcess(compared, HUGE_PAGES) as usual_way:
        sides = [usual_way, *(clocked(each.predict, model.device) for each in (model, exact))]
        for side in sides:
            side(photos[: max(2, len(photos) // 16)])
        # Starting its worker processes is the usual way's own, and paid for each piece.
        slow, fast, fast32 = in_turns(sides, pieces(photos, 2) * PASSES)
    answers = [index for entry in slow for index, _, _ in entry[2]]
    differing = {
        name: sum(
            prediction.class_index != answer
            for prediction, answer in zip((p for entry in side for p in entry[2]), answers, strict=True)
        )
        / len(answers)
        for name, side in (("differing", fast), ("differing_float32", fast32))
    }
    precision = str(model.dtype).removeprefix("torch.")
    result = {
        "precision": precision,
        **ratio(slow, fast),
        "float32": ratio(slow, fast32),
        **differing,
        "distinct_answers": len(set(answers)),
    }
    say(f"Against the usual way, {model.spec.backbone}, {precision}: {shown(result)} times as fast")
    if model.dtype != torch.float32:
        say(f"  in float32: {shown(result['float32'])} times as fast")
    say(
        f"  other fine class than the usual way's: {differing['differing']:.1%} of photos in {precision}, "
        f"{differing['differing_float32']:.1%} in float32 ({result['distinct_answers']} different answers)"
    )
    return result


def after_the_network(model: Any, photos: Photos, say: Callable[[str], None]) -> dict[str, float]:
    """Share of a photo's whole time that its answers take, two regions and the place of each included."""
    import torch
    from PIL import Image

    from geo_model.images import read_image
    from geo_model.measurements import REGION_SHARES

    size = min(model.choices.batch_size, len(photos))
    short_px = model.spec.crop_rule.resize_short_px
    chunk = photos[:size]
    crops = torch.stack([model.cut(read_image(data, short_side_px=short_px)) for _, data in chunk])
    logits = model.logits(crops)
    cut = [(name, Image.new("RGB", (1, 1))) for name, _ in chunk]
    known = copy.copy(model)  # which has crops and logits already
    known.cut, known.logits = (lambda image: crops[0]), (lambda crops: logits)

    def described(predictions: Any) -> list[tuple[str, list[float]]]:
        return [(p.place.text, [p.region(share).area_km2 for share in REGION_SHARES]) for p in predictions]

    def answers(_: Any) -> Any:
        return described(known.predict(cut, regions=REGION_SHARES))

    def whole(_: Any) -> Any:
        return described(model.predict(chunk, regions=REGION_SHARES))

    assert answers(None) == whole(None) or model.dtype != torch.float32
    after, everything = in_turns([clocked(side, model.device) for side in (answers, whole)], [None] * 6)
    values = ratio(after, everything)
    say(
        f"After the network, {model.spec.backbone}: {values['ratio']:.1%} of the time "
        f"({values['lowest']:.1%} to {values['highest']:.1%}), with two regions and the place of each photo"
    )
    return values


START = """
import json, sys, time
clock = [time.perf_counter()]
step = lambda: clock.append(time.perf_counter())
import geo_model; step()
import torch; step()
load = geo_model.load; step()
model = load(sys.argv[1] or None, sys.argv[2], sys.argv[3]); step()
model.predict(sys.argv[4]); step()
print(json.dumps([after - before for before, after in zip(clock, clock[1:])]))
"""
STEPS = ("import geo_model", "import torch", "import the rest", "load the model", "first prediction")


def start(arguments: argparse.Namespace, say: Callable[[str], None]) -> dict[str, float]:
    """Median seconds of each step from import to first prediction, and the import's share."""
    photo = sorted((ROOT / "assets" / "samples").glob("*.jpg"))[0]
    runs = [child(START, arguments, str(photo)) for _ in range(STARTS)]
    whole = statistics.median(sum(run) for run in runs)
    seconds = {name: statistics.median(run[column] for run in runs) for column, name in enumerate(STEPS)}
    share = statistics.median(run[0] / sum(run) for run in runs)
    say(f"Start: {whole:.2f} s from import to first prediction; import geo_model alone is {share:.3f} of it")
    say("  " + ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items()))
    return {**seconds, "whole": whole, "import_share": share}


MEMORY = """
import itertools, json, resource, sys, geo_model
sys.path.insert(0, sys.argv[4]); import prediction_speed, pathlib
photos, _ = prediction_speed.read_photos(sys.argv[5] and pathlib.Path(sys.argv[5]), 64)
model = geo_model.load(sys.argv[1] or None, sys.argv[2], sys.argv[3])
done = sum(1 for _ in model.stream(itertools.islice(itertools.cycle(photos), int(sys.argv[6]))))
assert done == int(sys.argv[6])
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit))
"""


def memory(arguments: argparse.Namespace, say: Callable[[str], None]) -> dict[str, float]:
    """Peak resident memory over a few and over many photos, in bytes, of fresh processes."""
    here = str(Path(__file__).parent)
    few, many = (
        child(MEMORY, arguments, here, str(arguments.photos or ""), str(count)) for count in PHOTOS_OF_MEMORY
    )
    few_photos, many_photos = PHOTOS_OF_MEMORY
    say(
        f"Memory: peak {many / 1e6:,.0f} MB over {many_photos:,} photos, {few / 1e6:,.0f} MB over "
        f"{few_photos:,}: {many / few:.3f}"
    )
    return {"few": few, "many": many, "ratio": many / few}


def child(code: str, arguments: argparse.Namespace, *more: str) -> Any:
    """What a fresh Python prints as JSON."""
    command = [
        sys.executable,
        "-c",
        code,
        arguments.model or "",
        arguments.device,
        arguments.precision,
        *more,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if run.returncode:
        sys.exit(f"a fresh process failed:\n{run.stderr}")
    return json.loads(run.stdout)


def measure_choices(arguments: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """What `python -m geo_model tune` measures, with torch.compile, of the model and of a ResNet-50."""
    import torch
    from prediction_usual_way import comparison

    import geo_model
    from geo_model.tuning import Tuning
    from geo_model.tuning_text import in_words, tuning_lines

    photos, source = read_photos(arguments.photos, arguments.count)
    model = geo_model.load(arguments.model, arguments.device, "float32")
    result: dict[str, Any] = {"photos": source}
    for each in (model, comparison(model, photos, USUAL_BACKBONE).model(torch.float32)):
        tuning = Tuning(each, compiled=True, rounds=arguments.rounds)
        tuning.run()
        say("\n".join(tuning_lines(tuning)) + "\n")
        result[each.spec.backbone] = {
            "chosen": in_words(tuning.chosen),
            "milliseconds": {
                in_words(timing.choices): [1000 * seconds for seconds in timing.seconds]
                for timing in (*tuning.network, *tuning.reading)
            },
            "notes": tuning.notes,
        }
    return result


if __name__ == "__main__":
    main()
