"""After training: how much the evidence counts, how sure the model may be, and how an answer is chosen.

In this order, on the validation photos:

1. for each candidate strength s (and a for kinds of photo away, see train/kind_gate.py): logits =
   log prior + s * evidence; a temperature for each level by likelihood; one for the hierarchy's product
   by likelihood, or so that its credible region holds enough truths;
2. for each candidate decoding: the figures of `calibration.metrics`;
3. the strength and decoding with the best mean of those figures are kept.

The result goes to calibration.json in the run folder, with the scores of all candidates.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from geo_model.cells import LEVELS, Hierarchy
from geo_model.decoding import (
    Decoded,
    Decoder,
    Decoding,
    Temperature,
    credible_regions,
    hierarchy_product,
    reduce_crops,
)
from geo_model.metrics import geoscore
from geo_model.sphere import great_circle_km
from train.config import Calibration, decoding_of
from train.figures import nll_of_truth

_LOW, _HIGH = 0.05, 50.0
"""Temperatures that are looked at."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the trained heads say of N photos, and what is true of them.

    Attributes:
        levels: Evidence (N, V, cells) of each level, coarse first.
        priors: Log prior (cells,) of each level.
        classes: int64 (N, 3), -1 for none.
        coordinates: Latitude and longitude in degrees, float64 (N, 2).
        kinds: Name of the kind of each photo, (N,).
        importance: How much a photo counts among those of its kind, float64 (N,); None for all alike.
        away: How much each crop looks like a photo of the kinds away, (N, V); None without a gate.
        centres: Evidence of the average photo of the kinds away, (cells,) of each level.
    """

    levels: tuple[Tensor, ...]
    priors: tuple[Tensor, ...]
    classes: Tensor
    coordinates: NDArray[np.float64]
    kinds: NDArray[np.str_]
    importance: NDArray[np.float64] | None = None
    away: Tensor | None = None
    centres: tuple[Tensor, ...] = ()

    def logits(self, strength: float, away_strength: float | None = None) -> tuple[Tensor, ...]:
        """Log prior + strength * evidence, as `geo_model.network.KindGate` weighs it.

        Args:
            strength: Of the evidence, in crops that look like kinds at home.
            away_strength: Of the evidence beyond the centre's, in crops that look like kinds away.
        """
        if self.away is None or away_strength is None:
            return tuple(p + strength * level for p, level in zip(self.priors, self.levels, strict=True))
        away = self.away[..., None]
        weighed = (1 - away) * strength + away * away_strength
        return tuple(
            prior + weighed * level - away * away_strength * centre
            for prior, level, centre in zip(self.priors, self.levels, self.centres, strict=True)
        )

    def __getitem__(self, rows: NDArray[np.bool_]) -> Evidence:
        chosen = torch.from_numpy(rows)
        return replace(
            self,
            levels=tuple(level[chosen] for level in self.levels),
            classes=self.classes[chosen],
            coordinates=self.coordinates[rows],
            kinds=self.kinds[rows],
            importance=None if self.importance is None else self.importance[rows],
            away=None if self.away is None else self.away[chosen],
        )


@dataclass(frozen=True)
class Calibrated:
    """The outcome.

    Attributes:
        evidence_strength: s in log prior + s * evidence.
        away_strength: The same for the kinds of `calibration.away`; None without them.
        temperature: Of the levels and of their product.
        decoding: How the answer is chosen.
        candidates: Strength, temperatures, decoding and score of each combination that was tried.
        notes: Sentences for the user.
    """

    evidence_strength: float
    temperature: Temperature
    decoding: Decoding
    candidates: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = field(default=())
    away_strength: float | None = None

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for calibration.json."""
        return asdict(self)

    @classmethod
    def read(cls, path: Path) -> Calibrated:
        """Read calibration.json."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            content["evidence_strength"],
            Temperature(**content["temperature"]),
            Decoding(**content["decoding"]),
            tuple(content["candidates"]),
            tuple(content["notes"]),
            content.get("away_strength"),
        )


def calibrate(
    evidence: Evidence,
    hierarchy: Hierarchy,
    settings: Calibration,
    on_step: Callable[[], None] = lambda: None,
) -> Calibrated:
    """Choose strength, temperatures and decoding.

    Args:
        evidence: Of validation photos.
        hierarchy: The partitionings.
        settings: What to try and what to choose by.
        on_step: Called after each of `steps(settings)` combinations, for progress.
    """
    weights = photo_weights(evidence.kinds, settings.kind_shares, evidence.importance)
    used = evidence[weights > 0]
    weights = weights[weights > 0]
    decoders = {text: Decoder(hierarchy, decoding=decoding_of(text)) for text in settings.decodings}
    ancestors = torch.tensor(hierarchy.ancestors)
    candidates: list[dict[str, Any]] = []
    notes: list[str] = []
    best: tuple[float, Calibrated] | None = None
    for strength, away_strength in _strengths(settings):
        logits = used.logits(strength, away_strength)
        fitted = _level_temperatures(logits, used.classes, weights, settings)
        levels = reduce_crops(logits, fitted)
        product_temperature, note = _hierarchy_temperature(levels, ancestors, used, weights, settings)
        temperature = replace(fitted, hierarchy=product_temperature)
        product = hierarchy_product(levels, ancestors, temperature.hierarchy)
        nll = weighted_nll(product, used.classes[:, 2], weights)
        notes += [note] if note and note not in notes else []
        for text, decoder in decoders.items():
            distances = _distances_km(decoder.classes(product), hierarchy, used.coordinates)
            scores = {name: _score(name, distances, weights, nll) for name in settings.metrics}
            score = float(np.mean(list(scores.values())))
            if settings.metrics == ("nll",):
                score += 1e-6 * _score("geoscore", distances, weights, nll)  # settles the decoding
            candidates.append(
                {
                    "evidence_strength": strength,
                    "away_strength": away_strength,
                    "temperature": asdict(temperature),
                    "decoding": text,
                    "nll": nll,
                    "scores": scores,
                    "score": score,
                }
            )
            if best is None or score > best[0]:
                best = score, Calibrated(strength, temperature, decoder.decoding, away_strength=away_strength)
            on_step()
    assert best is not None
    chosen = best[1]
    return replace(chosen, candidates=tuple(candidates), notes=tuple(notes))


def steps(settings: Calibration) -> int:
    """How many combinations `calibrate` tries."""
    return len(_strengths(settings)) * len(settings.decodings)


def _strengths(settings: Calibration) -> list[tuple[float, float | None]]:
    away = settings.away.strengths if settings.away else (None,)
    return list(itertools.product(settings.evidence_strengths, away))


def photo_weights(
    kinds: NDArray[np.str_], shares: dict[str, float], importance: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """The weight of each photo, summing to 1.

    Args:
        kinds: Of each photo.
        shares: The weight of a kind as a whole; kinds not named have none. Empty: as many as there are.
        importance: How much a photo counts among those of its kind; None for all alike.
    """
    weights = np.zeros(len(kinds))
    within = np.ones(len(kinds)) if importance is None else importance
    for kind, photos in zip(*np.unique(kinds, return_counts=True), strict=True):
        of_kind = kinds == kind
        share = shares.get(str(kind), 0.0) if shares else float(photos)
        weights[of_kind] = share * within[of_kind] / within[of_kind].sum()
    return weights / weights.sum()


def weighted_nll(probabilities: Tensor, classes: Tensor, weights: NDArray[np.float64]) -> float:
    """Weighted mean of -log probability of the true class, over photos that have one."""
    nll = nll_of_truth(probabilities, classes).double().numpy()
    known = ~np.isnan(nll)
    return float(np.average(nll[known], weights=weights[known])) if known.any() else math.nan


def decode(evidence: Evidence, hierarchy: Hierarchy, calibrated: Calibrated) -> Decoded:
    """What the calibrated model answers."""
    decoder = Decoder(hierarchy, calibrated.temperature, calibrated.decoding)
    return decoder.decode(evidence.logits(calibrated.evidence_strength, calibrated.away_strength))


def _level_temperatures(
    logits: Sequence[Tensor], classes: Tensor, weights: NDArray[np.float64], settings: Calibration
) -> Temperature:
    """One a level, by the likelihood of the mean of the crops' softmaxes."""
    if settings.temperatures == "one":
        return Temperature()
    fitted: dict[str, float] = {}
    for column, (level, level_logits) in enumerate(zip(LEVELS, logits, strict=True)):
        known = classes[:, column] >= 0
        if not known.any():
            continue
        level_logits, truth = level_logits[known], classes[known, column]
        known_weights = torch.from_numpy(weights)[known]

        def nll(
            log_temperature: float, x: Tensor = level_logits, t: Tensor = truth, w: Tensor = known_weights
        ) -> float:
            scaled = x / math.exp(log_temperature)
            index = t[:, None, None].expand(-1, scaled.shape[1], 1)
            log_p = scaled.gather(2, index)[..., 0] - scaled.logsumexp(dim=2)
            of_photo = log_p.logsumexp(dim=1) - math.log(scaled.shape[1])
            return -float((of_photo.double() * w).sum() / w.sum())

        fitted[level.value] = _minimum(nll)
    return Temperature(**fitted)


def _hierarchy_temperature(
    levels: Sequence[Tensor],
    ancestors: Tensor,
    used: Evidence,
    weights: NDArray[np.float64],
    settings: Calibration,
) -> tuple[float, str]:
    """The temperature of the product and, where the target was out of reach, a sentence that says so."""
    truth = used.classes[:, 2]
    if settings.hierarchy_temperature == "one" or not (truth >= 0).any():
        return 1.0, ""
    if settings.hierarchy_temperature == "nll":

        def nll(log_temperature: float) -> float:
            return weighted_nll(
                hierarchy_product(levels, ancestors, math.exp(log_temperature)), truth, weights
            )

        return _minimum(nll), ""
    groups = [np.ones(len(weights), bool)]
    if settings.coverage_of == "each":
        groups = [used.kinds == kind for kind in np.unique(used.kinds)]

    def coverage(held: NDArray[np.bool_]) -> float:
        return min(float(np.average(held[group], weights=weights[group])) for group in groups)

    def covered(log_temperature: float) -> float:
        product = hierarchy_product(levels, ancestors, math.exp(log_temperature))
        region = credible_regions(product, settings.region_share)
        return coverage((region.gather(1, truth.clamp(min=0)[:, None])[:, 0] & (truth >= 0)).numpy())

    target, note = settings.coverage_target, ""
    if (reachable := coverage((truth >= 0).numpy())) <= target:
        note = (
            f"calibration.coverage_target: only {reachable:.1%} of the truths lie in a fine cell, so "
            f"{target:.1%} is out of reach; {target * reachable:.1%} was aimed at."
        )
        target *= reachable
    low, high = math.log(_LOW), math.log(_HIGH)
    for _ in range(16):  # coverage rises with the temperature: it flattens without changing the cells' order
        middle = (low + high) / 2
        low, high = (low, middle) if covered(middle) >= target - 1e-9 else (middle, high)
    return math.exp(high), note


def _minimum(function: Callable[[float], float]) -> float:
    """The temperature at which a function of its logarithm is smallest."""
    found = minimize_scalar(
        function, bounds=(math.log(_LOW), math.log(_HIGH)), method="bounded", options={"xatol": 0.01}
    )
    return float(math.exp(found.x))


def _distances_km(
    answers: Tensor, hierarchy: Hierarchy, coordinates: NDArray[np.float64]
) -> NDArray[np.float64]:
    classes = answers.numpy()
    fine = hierarchy.fine
    return great_circle_km(
        fine.latitudes[classes], fine.longitudes[classes], coordinates[:, 0], coordinates[:, 1]
    )


def _score(name: str, distances_km: NDArray[np.float64], weights: NDArray[np.float64], nll: float) -> float:
    """One figure, higher is better."""
    if name == "nll":
        return -nll
    if name == "geoscore":
        return float(np.average(geoscore(distances_km), weights=weights)) / 5000
    return float(np.average(distances_km <= float(name.removeprefix("accuracy_")), weights=weights))
