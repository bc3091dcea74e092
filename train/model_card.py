"""The model card, filled in from a model's own record.

A template is Markdown with the placeholders of `string.Template`: $name, $description, $backbone, $cells,
$photos (a table), $training (how it was trained, in words), $calibration, $figures (a table for each set of
photos), $commands, $config (YAML), $misuse and $better (texts of this file). A dollar sign is written $$.
"""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Any

from geo_model.errors import ConfigError
from geo_model.metrics import THRESHOLDS_KM
from geo_model.model_folder import ModelSpec

MISUSE = """\
Not for finding out where a person lives, works or is. Not for tracking, stalking, surveillance or law
enforcement. Not for deciding anything about anybody. Not as evidence of where a photo was taken: it is often
wrong by thousands of kilometres while looking plausible, so read the credible region and not only the point.
The people in a photo did not agree to be located: ask before you locate a photo that is not yours."""

BETTER = """\
Train on more photos of the kind that you want to locate. Put them into tars (KEY.jpg and KEY.json with
latitude, longitude and kind), make partitionings from their coordinates with `python -m train partition`,
copy the configuration below, and run `python -m train fit` and `python -m train export`; train/README.md goes
through it line by line. Published models of this kind learn from millions of photos, with a larger backbone
that is trained as a whole."""

DEFAULT_TEMPLATE = """\
# $name

$description

A network that looks at a photo and gives a probability to each of $cells S2 cells
(coarse / middle / fine), and from them a place. Backbone: $backbone.

## What it was trained on

$photos

$training

## What it reaches

Great-circle distance (R = 6371 km) between the answer and the truth; a photo counts when its distance is at
most the threshold. In brackets the 95% Wilson interval. Five crops, mean of their softmaxes. Figures on
validation photos are flattering: epoch, calibration and decoding were chosen on them.

$figures

These commands print the figures:

```
$commands
```

## How sure it is

$calibration

## What it must not be used for

$misuse

## How to get a better one

$better

## Configuration

```yaml
$config```
"""


def model_card(spec: ModelSpec, template: str, folder: str) -> str:
    """Fill in a template.

    Args:
        spec: With `training` and `accuracy` as train/export.py records them.
        template: See the head of this module.
        folder: Of the model, for the user of the card.

    Raises:
        ConfigError: The template has a placeholder that is not known.
    """
    import yaml

    config = spec.training["config"]
    commands = "\n".join(record["command"] for record in spec.accuracy.values())
    values = {
        "name": spec.name,
        "description": spec.description,
        "backbone": f"`{spec.backbone}` of timm, input {spec.crop_rule.crop_px} px",
        "cells": " / ".join(f"{count:,}" for count in spec.class_counts),
        "photos": photo_table(spec.training["photos"]),
        "training": training_words(spec.training),
        "calibration": calibration_words(spec),
        "figures": figure_tables(spec) or "Not measured yet.",
        "commands": commands or f"python -m geo_model evaluate --photos PHOTOS --truth CSV --model {folder}",
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100),
        "misuse": MISUSE,
        "better": BETTER,
    }
    try:
        return Template(template).substitute(values)
    except KeyError as error:
        raise ConfigError(
            f"--card-template: ${error.args[0]} is no placeholder; known: "
            f"{', '.join(f'${name}' for name in values)}."
        ) from error
    except ValueError as error:
        raise ConfigError(f"--card-template: {error}; a dollar sign alone is written $$.") from error


def read_template(path: Path) -> str:
    """Read a template file.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--card-template {path}: it cannot be read as UTF-8 text; check the path."
        ) from error


def photo_table(photos: dict[str, Any]) -> str:
    """Training and validation photos of each kind."""
    kinds = sorted({kind for split in photos.values() for kind in split["kinds"]})
    lines = ["| kind | training | validation |", "| --- | ---: | ---: |"]
    for kind in kinds:
        train, val = (photos[split]["kinds"].get(kind, 0) for split in ("train", "val"))
        lines.append(f"| {kind} | {train:,} | {val:,} |")
    lines.append(f"| all | {photos['train']['photos']:,} | {photos['val']['photos']:,} |")
    return "\n".join(lines)


def training_words(training: Any) -> str:  # noqa: ANN401 - plain values from model.json
    """How it was trained, in sentences."""
    config = training["config"]
    backbone, labels, optimiser = config["backbone"], config["labels"], config["optimiser"]
    licence = f" ({training['weights_licence']})" if training["weights_licence"] else ""
    start = (
        "random weights"
        if backbone["weights"] == "none"
        else f"the weights of `{backbone['weights']}`{licence}"
    )
    trainable = backbone["trainable"]
    part = {"none": "stayed frozen", "all": "was trained as a whole"}.get(
        trainable if isinstance(trainable, str) else "",
        "" if isinstance(trainable, str) else f"was trained in its last {trainable['last_stages']} stages",
    )
    labels_words = (
        "hard labels"
        if labels["kind"] == "hard"
        else (f"labels smoothed over distance ({labels['kernel']}, {labels['sigma_km']} km)")
    )
    return (
        f"The backbone started from {start} and {part}. {training['epochs']} epochs of {optimiser['name']}, "
        f"{labels_words}; epoch {training['best_epoch']} was kept, the best by "
        f"`{config['validation']['monitor']}` on the validation photos. The epochs took "
        f"{training['seconds'] / 60:.0f} minutes on {training['versions']['device']} with torch "
        f"{training['versions']['torch']}."
    )


def calibration_words(spec: ModelSpec) -> str:
    """Strength, temperatures and decoding, in sentences."""
    t, d = spec.temperature, spec.decoding
    answer = {
        "argmax": "the most probable fine cell",
        "mass": f"the fine cell with the most probability within {d.radius_km:,.0f} km of it",
        "smooth": "the most probable fine cell after smoothing the probabilities with a Gaussian of standard "
        f"deviation {d.radius_km:,.0f} km",
    }[d.rule]
    strength, away = spec.training["evidence_strength"], spec.training.get("away_strength")
    apart = ""
    if away is not None:
        home_kinds, away_kinds = spec.photo_kinds
        apart = (
            f" That is so for photos that look like {home_kinds}. Photos that look like {away_kinds} are "
            "located by what sets them apart from the average photo of these kinds, with strength "
            f"{away:g}; a linear gate on the features tells which is which."
        )
    return (
        f"The photo's evidence counts with strength {strength:g} against each cell's share of photos.{apart} "
        f"Temperatures: coarse {t.coarse:.2f}, middle {t.middle:.2f}, fine "
        f"{t.fine:.2f}, product {t.hierarchy:.2f}, fitted on the validation photos. The answer is {answer}."
    )


def figure_tables(spec: ModelSpec) -> str:
    """One table for each set of photos."""
    tables = []
    for name, record in spec.accuracy.items():
        head = "never trained or tuned on" if record["role"] == "test" else "validation"
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in record["kinds"].items())
        lines = [
            f"### {name}",
            "",
            f"{record['photos']:,} photos ({head}{'; ' + kinds if kinds else ''}).",
            "",
        ]
        lines.append(
            "| % within | " + " | ".join(f"{km:g} km" for km in THRESHOLDS_KM) + " | median | GeoScore |"
        )
        lines.append("| --- |" + " ---: |" * (len(THRESHOLDS_KM) + 2))
        for answer, figures in record["answers"].items():
            cells = [
                f"{100 * a['share']:.1f} ({100 * a['low']:.1f}–{100 * a['high']:.1f})"
                for a in figures["accuracy"]
            ]
            cells += [f"{figures['median_km']:,.0f} km", f"{figures['mean_geoscore']:,.0f}"]
            lines.append(f"| {answer} | " + " | ".join(cells) + " |")
        lines.append("")
        for coverage in record["coverage"]:
            lines.append(
                f"The {100 * coverage['region']:.0f}% credible region holds the truth of "
                f"{100 * coverage['share']:.1f}% ({100 * coverage['low']:.1f}–{100 * coverage['high']:.1f}) "
                f"of them; its median area is {coverage['median_area_km2'] / 1e6:,.1f} million km²."
            )
        if record["outside_cells"]:
            lines.append(f"{record['outside_cells']:,} of them lie in no fine cell and count as not held.")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)
