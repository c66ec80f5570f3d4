"""Errors that the person at the keyboard can mend.

Everything raised on purpose derives from `HatcnnError`. The command line prints its message
without a traceback and exits with status 2; any other exception is a bug of ours and keeps its
traceback. A message names the thing, says what was expected and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HatcnnError(Exception):
    """Base of all errors that a user can mend."""


class DataError(HatcnnError):
    """A data set, manifest or label file is missing, incomplete or contradicts itself."""


class ImageError(HatcnnError):
    """A picture cannot be read, or must not be (too large, too small, not a picture)."""


class ConfigError(HatcnnError):
    """A recipe, field or option has an unknown name or an impossible value."""


class CheckpointError(HatcnnError):
    """A checkpoint or model folder is missing, broken, unsafe or of another shape."""


class TrainingError(HatcnnError):
    """Training cannot go on: the loss is not finite, or the run folder does not fit."""


class EvaluationError(HatcnnError):
    """Arrays that do not fit together, or a ranking that is not defined."""


class ExportError(HatcnnError):
    """An exported network that cannot be loaded, or that disagrees with torch."""


class ExperimentError(HatcnnError):
    """A plan that says nothing that could be run, or runs that cannot be read or compared."""


class GalleryError(HatcnnError):
    """A gallery that cannot be opened, read or written, or that does not fit what it is given."""


class EntryError(GalleryError):
    """No entry has this id."""


class FilterError(GalleryError):
    """A filter or description that cannot be read; the message points at the place."""


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Say which known names are nearest to a mistyped one.

    Returns:
        ``"; did you mean 'a' or 'b'?"`` when something is near, else ``"; known: a, b, c"``.
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return "; did you mean " + " or ".join(repr(n) for n in near) + "?"
    return "; known: " + ", ".join(names)
