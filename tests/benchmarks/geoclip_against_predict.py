"""One photo with GeoCLIP here and with the package's own `predict`, side by side.

    python tests/benchmarks/geoclip_against_predict.py [--clip FOLDER] [--layers 24] [PHOTO...]

Needs the package geoclip. Without --clip, CLIP gets its real sizes (ViT-L/14) and random weights, in
a temporary folder of 1.3 GB: the time does not depend on the weights. The answers are compared as well: both
must give the same place of the gallery for every photo.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def seconds_of(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and how long that took."""
    result, seconds, _ = measured(work)
    return result, seconds


def measured(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it gives, how long that took, and the processor time that it took, in seconds."""
    start, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - start, time.process_time() - processor


def save_random_clip(folder: Path, layers: int) -> Path:
    """CLIP ViT-L/14 with random weights; of its text half, which is not used, one layer."""
    import json

    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(0)
    config = CLIPConfig(
        projection_dim=768,
        text_config={"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
        | {"num_attention_heads": 2, "projection_dim": 768},
        vision_config={"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": layers}
        | {"num_attention_heads": 16, "patch_size": 14, "image_size": 224, "projection_dim": 768},
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    return folder


def main() -> int:
    """Measure and compare."""
    parser = argparse.ArgumentParser(description="GeoCLIP here against the package's own predict")
    parser.add_argument("photos", nargs="*", metavar="PHOTO", help="default: the sample photos")
    parser.add_argument("--clip", type=Path, help="folder with CLIP's weights; default: random ones")
    parser.add_argument("--layers", type=int, default=24, help="of the random CLIP; the real one has 24")
    arguments = parser.parse_args()
    photos = arguments.photos or sorted(str(path) for path in (ROOT / "assets" / "samples").glob("*.jpg"))
    warnings.simplefilter("ignore")

    import numpy as np
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["GEO_MODEL_CACHE"] = temporary
        clip = arguments.clip or save_random_clip(Path(temporary) / "clip", arguments.layers)
        os.environ["GEOCLIP_CLIP_FOLDER"] = str(clip)

        import geo_model

        print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, CPU, float32, seconds")
        _, cold = seconds_of(lambda: geo_model.load("geoclip", device="cpu", precision="float32"))
        ours, warm = seconds_of(lambda: geo_model.load("geoclip", device="cpu", precision="float32"))
        print(f"load, the first time (gallery encoded)  {cold:8.2f}")
        print(f"load, from then on (gallery cached)     {warm:8.2f}")

        from geoclip import GeoCLIP

        theirs, their_load = seconds_of(lambda: GeoCLIP(clip_path=str(clip)).eval())
        print(f"load, the package                       {their_load:8.2f}")
        ours.predict(photos[0])  # the first photo pays for what is made on first use
        ours_s, theirs_s, same = np.zeros(2), np.zeros(2), 0
        for photo in photos:  # in turns; the same file for both
            prediction, *seconds = measured(lambda photo=photo: ours.predict(photo)[0])
            ours_s += seconds
            (coordinates, _), *seconds = measured(lambda photo=photo: theirs.predict(photo, 1))
            theirs_s += seconds
            same += prediction.answer == tuple(coordinates[0].tolist())
    print(f"one photo, here                         {ours_s[0] / len(photos):8.2f}")
    print(f"one photo, the package's predict        {theirs_s[0] / len(photos):8.2f}")
    ratio, by_processor = theirs_s / ours_s
    print(f"ratio                                   {ratio:8.1f} (by processor time {by_processor:.1f})")
    print(f"same place of the gallery               {same} of {len(photos)} photos")
    return 0 if same == len(photos) else 1


if __name__ == "__main__":
    sys.exit(main())
