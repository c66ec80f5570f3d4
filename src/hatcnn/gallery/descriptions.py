"""Descriptions of people, such as ``woman, red top and a backpack``."""

from __future__ import annotations

import re

from hatcnn.errors import FilterError, nearest_names
from hatcnn.gallery.words import PHRASES, Trait, normalised

_BETWEEN = re.compile(r",|;|\band\b|\bwith\b|\bin\b|\bwearing\b", re.IGNORECASE)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b", re.IGNORECASE)


def parse_description(text: str) -> tuple[Trait, ...]:
    """What a description says of a person, each trait once.

    Phrases are set apart by commas, "and", "with", "in" or "wearing"; "without" reads as "no".

    Raises:
        FilterError: when it is empty, says something that no attribute tells, or says that an
            attribute is both present and absent.
    """
    negated = re.sub(r"\bwithout\b", ", no ", text, flags=re.IGNORECASE)
    phrases = [normalised(_ARTICLES.sub(" ", part)) for part in _BETWEEN.split(negated)]
    phrases = [phrase for phrase in phrases if phrase]
    if not phrases:
        raise FilterError("an empty description; expected such as 'woman, red top, backpack'")
    traits: dict[int, Trait] = {}
    for phrase in phrases:
        if phrase not in PHRASES:
            raise FilterError(
                f"description: no attribute tells {phrase!r}{nearest_names(phrase, PHRASES)}"
            )
        for trait in PHRASES[phrase]:
            if traits.setdefault(trait.column, trait) != trait:
                raise FilterError(f"description: {phrase!r} contradicts what stands before it")
    return tuple(traits.values())
