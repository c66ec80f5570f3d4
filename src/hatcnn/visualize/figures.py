"""What all pictures share: colours, and files that are the same for the same numbers.

Colours are Okabe and Ito's, which the colour-blind tell apart; nothing is said by colour alone.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from hatcnn.errors import ConfigError
from hatcnn.files import atomic_path

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#767676"
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""One a colour of the palette."""
SUFFIXES = (".png", ".svg")
_DPI = 160
_METADATA: dict[str, dict[str, None]] = {".png": {"Software": None}, ".svg": {"Date": None}}


def check_suffix(target: Path) -> None:
    """Raise `ConfigError` unless a figure can be saved under that name."""
    if target.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"cannot draw {target}: its name must end in .png or .svg")


def save(figure: Figure, target: Path) -> Path:
    """Write a figure as its file name's ending says; equal figures give equal bytes.

    Raises:
        ConfigError: for another ending than .png and .svg, or where it cannot be written.
    """
    check_suffix(target)
    suffix = target.suffix.lower()
    try:
        with mpl.rc_context({"svg.hashsalt": "hatcnn"}), atomic_path(target) as temporary:
            figure.savefig(temporary, format=suffix[1:], dpi=_DPI, metadata=_METADATA[suffix])
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}") from None
    return target


def save_both(figure: Figure, target: Path) -> list[Path]:
    """Write ``target`` with .png and with .svg."""
    return [save(figure, target.with_suffix(suffix)) for suffix in SUFFIXES]
