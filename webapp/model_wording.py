"""What the models that come with the app say of themselves, so that it can be said in other languages too.

A model of the visitor's own describes itself in its own words.
"""

DESCRIPTIONS = (
    "Demonstration model: EfficientNet-Lite2 on 8,794 street views, webcam stills and travel photos.",
    "GeoCLIP (NeurIPS 2023): a photo is compared with a gallery of 100,000 places.",
)

CARD_LANGUAGE = "The model card is written in English."
