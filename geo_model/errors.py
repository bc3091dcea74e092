"""The errors that a user can cause, each carrying one sentence to show them."""


class GeoModelError(Exception):
    """A mistake in what was given; its text is one sentence: what was wrong, where, what to do."""


class PartitioningError(GeoModelError):
    """A partition CSV or a set of cells that cannot be used."""


class PhotoError(GeoModelError):
    """A photo that cannot be read."""


class ModelFolderError(GeoModelError):
    """A model folder with a missing, damaged or mismatching part."""


class TableError(GeoModelError):
    """A table of photos or coordinates that cannot be used."""


class DeviceError(GeoModelError):
    """A device or precision that this machine does not have."""


class ConfigError(GeoModelError):
    """A training configuration with a wrong key or value."""


class CheckpointError(GeoModelError):
    """A checkpoint of other code that cannot be converted, or what belongs to it."""


class ActivationMapError(GeoModelError):
    """A network of which there is no map of what in a photo mattered."""


def reason_of(error: Exception) -> str:
    """What the system, or else the error itself, says was wrong, as a part of a sentence."""
    return (getattr(error, "strerror", None) or str(error)).lower()
