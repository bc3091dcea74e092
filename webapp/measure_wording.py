"""What areas, certainty and numbers of things are called; each text is an English one for `tr`."""

KNOWN_AREAS_KM2 = (
    (105, "Paris"),
    (1_570, "Greater London"),
    (2_590, "Luxembourg"),
    (10_500, "Lebanon"),
    (30_700, "Belgium"),
    (49_000, "Slovakia"),
    (92_000, "Portugal"),
    (147_000, "Nepal"),
    (301_000, "Italy"),
    (506_000, "Spain"),
    (784_000, "Türkiye"),
    (1_220_000, "South Africa"),
    (1_960_000, "Mexico"),
    (3_290_000, "India"),
    (5_500_000, "the Amazon rainforest"),
    (7_690_000, "Australia"),
    (10_200_000, "Europe"),
    (17_800_000, "South America"),
    (24_700_000, "North America"),
    (30_400_000, "Africa"),
    (44_600_000, "Asia"),
    (75_000_000, "Africa and Asia together"),
    (149_000_000, "all the land on Earth"),
)
"""Areas in km² that many people have a feeling for."""

HEADLINES = (
    "Sure to within a city and its surroundings",
    "Sure to within a region",
    "Sure to within a country or two",
    "Sure only of the part of the world",
    "Unsure: several continents remain possible",
    "Very unsure: it could be almost anywhere",
)
"""How sure an answer is, the surest first."""

IN_SHORT = (
    "A city",
    "A region",
    "A country or two",
    "A part of the world",
    "Several continents",
    "Almost anywhere",
)
"""The same for a table: within what the answer is thought to be right."""

NOUNS = ("photo", "photos", "cell", "cells", "entry", "entries", "row", "rows")
"""What `wording.count` counts."""

CONTINENTS = ("Africa", "Antarctica", "Asia", "Europe", "North America", "Oceania", "South America")
