"""What the app says where its answers are limited to a level."""

from __future__ import annotations

from geo_model.cells import Level
from geo_model.level_limit import finest_level
from webapp.language import tr


def level_notice() -> str | None:
    """One sentence on the limit that is set, or None.

    Raises:
        GeoModelError: The environment variable of the limit has a wrong value.
    """
    limit = finest_level()
    if limit is Level.COARSE:
        return tr("Whoever runs this app limits its answers to the coarse cells; no point is finer.")
    if limit is Level.MIDDLE:
        return tr("Whoever runs this app limits its answers to the middle cells; no point is finer.")
    return None
