"""Predicted attributes in few words, for where there is little room."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hatcnn.attributes import ATTRIBUTES, Attribute, column

_PLACES = {"upper": ("up", "top"), "lower": ("down", "bottom")}
_WORTH_SAYING = ("clothes", "up", "down", "hat", "backpack", "bag", "handbag")
"""Binary attributes that a short description names: what is worn and carried, not who wears it."""


def chance(probability: float) -> str:
    """A probability in per cent, never 0 or 100: nothing here is certain."""
    if probability > 0.99:
        return "> 99 %"
    return "< 1 %" if probability < 0.01 else f"{100 * probability:.0f} %"


def short_name(attribute: Attribute) -> str:
    """Two words at most for who has the attribute: "red top", "backpack", "short sleeves"."""
    if attribute.group in _PLACES:
        prefix, place = _PLACES[attribute.group]
        return f"{attribute.name.removeprefix(prefix)} {place}"
    return {"down": "shorts", "clothes": "pants"}.get(attribute.name, attribute.present)


def short_words(probabilities: npt.NDArray[np.float32]) -> tuple[str, ...]:
    """What a person wears: the likeliest colour of top and bottom, then what else is likely.

    Args:
        probabilities: (26,) in [0, 1]. Colours and things below 0.5 are not named.
    """
    words = []
    for group in ("upper", "lower"):
        columns = [i for i, a in enumerate(ATTRIBUTES) if a.group == group]
        best = max(columns, key=lambda i: probabilities[i])
        if probabilities[best] > 0.5:
            words.append(short_name(ATTRIBUTES[best]))
    for name in _WORTH_SAYING:
        attribute, likely = ATTRIBUTES[column(name)], probabilities[column(name)] > 0.5
        if name == "clothes":
            words += [] if likely else [attribute.absent]
        elif likely:
            words.append(short_name(attribute))
    return tuple(words)
