"""The 26 attributes: names, groups and words for people.

This module alone knows their order, which is the order of existing HAT-CNN checkpoints and of
the last axis of every attribute array in the package. Labels are 0 (absent), 1 (present) or
`UNKNOWN` (not labelled).
"""

from __future__ import annotations

from dataclasses import dataclass

from hatcnn.errors import ConfigError, nearest_names

UNKNOWN = -1
"""Label of an attribute that nobody has annotated."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute.

    Attributes:
        name: as in the published labels, e.g. ``"upred"``.
        group: ``"upper"`` or ``"lower"`` for a colour, of which a person has at most one a group;
            ``"binary"`` for all others.
        present: words for a person who has it.
        absent: words for a person who has it not; empty for colours.
    """

    name: str
    group: str
    present: str
    absent: str = ""


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("backpack", "binary", "backpack", "no backpack"),
    Attribute("bag", "binary", "bag", "no bag"),
    Attribute("handbag", "binary", "handbag", "no handbag"),
    Attribute("downblack", "lower", "black lower body"),
    Attribute("downblue", "lower", "blue lower body"),
    Attribute("downbrown", "lower", "brown lower body"),
    Attribute("downgray", "lower", "gray lower body"),
    Attribute("downgreen", "lower", "green lower body"),
    Attribute("downpink", "lower", "pink lower body"),
    Attribute("downpurple", "lower", "purple lower body"),
    Attribute("downwhite", "lower", "white lower body"),
    Attribute("downyellow", "lower", "yellow lower body"),
    Attribute("upblack", "upper", "black upper body"),
    Attribute("upblue", "upper", "blue upper body"),
    Attribute("upgreen", "upper", "green upper body"),
    Attribute("upgray", "upper", "gray upper body"),
    Attribute("uppurple", "upper", "purple upper body"),
    Attribute("upred", "upper", "red upper body"),
    Attribute("upwhite", "upper", "white upper body"),
    Attribute("upyellow", "upper", "yellow upper body"),
    Attribute("clothes", "binary", "pants", "dress"),
    Attribute("down", "binary", "short lower-body clothing", "long lower-body clothing"),
    Attribute("up", "binary", "short sleeves", "long sleeves"),
    Attribute("hair", "binary", "long hair", "short hair"),
    Attribute("hat", "binary", "hat", "no hat"),
    Attribute("gender", "binary", "female", "male"),
)

NAMES: tuple[str, ...] = tuple(a.name for a in ATTRIBUTES)
NUM_ATTRIBUTES: int = len(ATTRIBUTES)

BINARY: tuple[int, ...] = tuple(i for i, a in enumerate(ATTRIBUTES) if a.group == "binary")
"""Columns of the attributes that are no colours."""

UPPER_COLOURS: tuple[int, ...] = tuple(i for i, a in enumerate(ATTRIBUTES) if a.group == "upper")
"""Columns of the upper-body colours, of which a person has at most one."""

LOWER_COLOURS: tuple[int, ...] = tuple(i for i, a in enumerate(ATTRIBUTES) if a.group == "lower")
"""Columns of the lower-body colours, of which a person has at most one."""


def column(name: str) -> int:
    """Column of an attribute in every attribute array.

    Raises:
        ConfigError: when no attribute has that name; the message lists the nearest.
    """
    try:
        return NAMES.index(name)
    except ValueError:
        raise ConfigError(f"unknown attribute {name!r}{nearest_names(name, NAMES)}") from None
