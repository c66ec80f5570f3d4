"""Words for what a person wears, and the attributes they stand for.

Filters and descriptions share this vocabulary, which is made from `hatcnn.attributes`: the
attributes' own words and names, everyday words for the same things, and every colour with every
garment of its half.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hatcnn.attributes import ATTRIBUTES, LOWER_COLOURS, UPPER_COLOURS

_EVERYDAY: dict[str, tuple[str, ...]] = {
    "female": ("woman", "girl", "lady"),
    "male": ("man", "boy"),
    "pants": ("trousers",),
    "dress": ("skirt",),
    "short lower-body clothing": ("shorts", "short trousers", "short skirt"),
    "long lower-body clothing": ("long trousers", "long pants", "long skirt"),
    "short sleeves": ("short sleeve", "short-sleeved"),
    "long sleeves": ("long sleeve", "long-sleeved"),
    "long hair": ("long-haired",),
    "short hair": ("short-haired",),
    "backpack": ("rucksack",),
    "handbag": ("purse",),
    "hat": ("cap",),
}
_GARMENTS = {
    "upper": ("upper body", "upper", "top", "shirt", "t-shirt", "jacket", "coat", "sweater"),
    "lower": ("lower body", "lower", "bottom", "trousers", "pants", "jeans", "shorts", "skirt"),
}
_ALSO_SHORT = ("shorts",)
"""Garments that say more than where a colour is."""
_SPELLINGS = {"grey": "gray"}


@dataclass(frozen=True, slots=True)
class Trait:
    """One attribute that a person has or has not.

    Attributes:
        column: of the attribute in `hatcnn.attributes`' order.
        present: whether the person has it.
    """

    column: int
    present: bool


def _colour(column: int) -> str:
    return ATTRIBUTES[column].present.split()[0]


COLOURS: dict[str, dict[str, int]] = {
    "upper": {_colour(i): i for i in UPPER_COLOURS},
    "lower": {_colour(i): i for i in LOWER_COLOURS},
}
"""Columns of the colours of each half of the body, by the colours' names."""

OTHER = "other"
"""The colour of a half of the body that is none of the labelled ones."""


def _phrases() -> Iterator[tuple[str, tuple[Trait, ...]]]:
    by_words: dict[str, Trait] = {}
    for column, attribute in enumerate(ATTRIBUTES):
        if attribute.group == "binary":
            by_words[attribute.present] = Trait(column, True)
            by_words[attribute.absent] = Trait(column, False)
    for words, trait in by_words.items():
        for phrase in (words, *_EVERYDAY.get(words, ())):
            yield phrase, (trait,)
            if f"no {words}" in by_words:
                yield f"no {phrase}", (Trait(trait.column, not trait.present),)
    for half, colours in COLOURS.items():
        for colour, column in colours.items():
            for garment in _GARMENTS[half]:
                also = (by_words["short lower-body clothing"],) if garment in _ALSO_SHORT else ()
                yield f"{colour} {garment}", (Trait(column, True), *also)


PHRASES: dict[str, tuple[Trait, ...]] = dict(_phrases())
"""Every phrase that is understood, in lower case, and what it says."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that people differ in, for a control to choose by.

    Attributes:
        name: in words.
        options: (words, filter) of each way to have it.
    """

    name: str
    options: tuple[tuple[str, str], ...]


def _choices() -> Iterator[Choice]:
    for half, colours in COLOURS.items():
        options = tuple((colour, f"{half} = '{colour}'") for colour in (*colours, OTHER))
        yield Choice(f"{half} body", options)
    for attribute in ATTRIBUTES:
        if attribute.group == "binary":
            both = (attribute.present, attribute.absent)
            bare = attribute.absent == f"no {attribute.present}"
            name = attribute.present if bare else _either(*both)
            yield Choice(name, tuple((words, words) for words in both))


def _either(one: str, other: str) -> str:
    """Two ways in few words: what they end in alike is said once."""
    first, second = one.split(), other.split()
    alike = 0
    while alike < min(len(first), len(second)) and first[-1 - alike] == second[-1 - alike]:
        alike += 1
    return " ".join([*first[: len(first) - alike], "or", *second])


CHOICES: tuple[Choice, ...] = tuple(_choices())
"""All that a filter can ask about what people wear."""


def normalised(phrase: str) -> str:
    """A phrase as `PHRASES` spells it: lower case, single spaces, "gray"."""
    words = phrase.lower().split()
    return " ".join(_SPELLINGS.get(word, word) for word in words)
