"""What the models that come with the app say of themselves, so that it can be said in other languages too.

A model of the visitor's own describes itself in its own words.
"""

DESCRIPTIONS = (
    "Demonstration model: EfficientNet-Lite2 on 8,794 street views, webcam stills and travel photos.",
    "GeoCLIP (NeurIPS 2023): a photo is compared with a gallery of 100,000 places.",
)

CARD_LANGUAGE = "The model card is written in English."

ERRORS = (
    "{name}: there is no such model folder; check the path.",
    "{name}: there is no model folder and no model of that name (known: {models}); give a folder, or set "
    "{variable} to the folder that holds it.",
    "{name}: {file} is missing; get the model folder again.",
    "{name}: the weights are damaged ({detail}); get the model folder again.",
    "{name}: {detail}; get the model folder again.",
    "{name}: it has {number} cells and {file} says {number_there}; the two are not of one model, get the "
    "model folder again.",
    "{name}: CLIP's weights could not be fetched from {host} ({detail}); check the connection and the free "
    "disk space and try again, what was fetched so far is kept",
    "{name}: {host} does not name size and hash of CLIP's weights; try again later",
    "{name}: another program on this machine is fetching CLIP's weights; wait for it",
    "{name}: CLIP's weights need {number} GB and {folder} has {number_left} GB left; make room, or set "
    "HF_HOME to a folder on another disk",
    "{name}: what {host} sent of CLIP's weights is not what it says it is; try again",
    "The environment variable {variable} is {value}; set it to coarse, middle or fine.",
)
"""Sentences of the library on a model that cannot be loaded, for `library_sentences.said`."""
