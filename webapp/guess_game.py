"""The game of the page You against the model: photos, guesses and scores. Nothing here knows Streamlit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from geo_model.metrics import geoscore
from geo_model.sphere import great_circle_km
from geo_model.truth import Coordinate


@dataclass(frozen=True)
class Challenge:
    """A photo whose place is known; coordinates are latitude and longitude in degrees.

    Attributes:
        key: Names its content.
        name: Shown after the guess only, for it may name the place. Untrusted text.
        read: Gives the encoded photo.
        truth: Where it was taken.
        answer: What the model said, if it was asked already.
        maker: Author and licence in Markdown, shown from the beginning.
        credit: The same with title and source, shown after the guess.
    """

    key: str
    name: str
    read: Callable[[], bytes | Path]
    truth: Coordinate
    answer: Coordinate | None = None
    maker: str = ""
    credit: str = ""


@dataclass(frozen=True)
class Score:
    """A guess, how far it is from the truth in km, and its GeoScore, 0 to 5000."""

    point: Coordinate
    distance_km: float
    points: float


@dataclass(frozen=True)
class Round:
    """A photo that was guessed: the visitor's score and the model's."""

    challenge: Challenge
    visitor: Score
    model: Score


@dataclass
class Game:
    """What a visitor has played.

    Attributes:
        rounds: By key of the photo, in the order in which they were played.
        current: Key of the photo on show.
        latitude: Of the guess that is being made, degrees.
        longitude: Likewise.
        cell: The S2 cell clicked, if the guess is its centre.
        with_samples: Whether the sample photos are played too.
        failures: Sentence for each photo that could not be located, by key.
    """

    rounds: dict[str, Round] = field(default_factory=dict)
    current: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    cell: int | None = None
    with_samples: bool = False
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def guess(self) -> Coordinate | None:
        """The guess, once both of its numbers are there."""
        if self.latitude is None or self.longitude is None:
            return None
        return self.latitude, self.longitude

    def begin(self, key: str | None) -> None:
        """Show a photo, without a guess."""
        self.current, self.latitude, self.longitude, self.cell = key, None, None, None

    def follow(self, challenges: Sequence[Challenge]) -> Challenge | None:
        """The photo on show: the one begun, or else the first that is not played; None if all are."""
        by_key = {challenge.key: challenge for challenge in challenges}
        if self.current in self.rounds:
            return self.rounds[self.current].challenge
        if self.current not in by_key or self.current in self.failures:
            self.begin(next((key for key in by_key if not self.over(key)), None))
        return by_key[self.current] if self.current else None

    def over(self, key: str) -> bool:
        """Whether a photo was played or could not be located."""
        return key in self.rounds or key in self.failures

    def settle(self, challenge: Challenge, answer: Coordinate) -> Round:
        """Score the guess and the model's answer.

        Raises:
            ValueError: There is no guess yet.
        """
        if self.guess is None:
            raise ValueError("there is no guess to score")
        played = Round(challenge, score(self.guess, challenge.truth), score(answer, challenge.truth))
        self.rounds[challenge.key] = played
        return played

    @property
    def totals(self) -> tuple[float, float]:
        """The visitor's and the model's points of all rounds."""
        rounds = self.rounds.values()
        return sum(played.visitor.points for played in rounds), sum(played.model.points for played in rounds)


def score(point: Coordinate, truth: Coordinate) -> Score:
    """Distance and GeoScore of a point; both are latitude and longitude in degrees."""
    km = float(great_circle_km(*point, *truth))
    return Score(point, km, float(geoscore(km)))
