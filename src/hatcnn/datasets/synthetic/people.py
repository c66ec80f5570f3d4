"""Who the synthetic people are: 26 attributes, and what tells equals apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hatcnn.attributes import NAMES

Colour = tuple[int, int, int]
_T = TypeVar("_T")

UPPER: dict[str, Colour] = {
    "black": (35, 35, 38),
    "blue": (45, 85, 185),
    "green": (50, 140, 70),
    "gray": (130, 130, 132),
    "purple": (120, 60, 160),
    "red": (195, 45, 45),
    "white": (232, 232, 228),
    "yellow": (228, 200, 55),
}
LOWER: dict[str, Colour] = {
    "black": (35, 35, 38),
    "blue": (50, 75, 150),
    "brown": (105, 70, 42),
    "gray": (125, 125, 128),
    "green": (60, 120, 65),
    "pink": (232, 140, 175),
    "purple": (115, 60, 150),
    "white": (228, 228, 222),
    "yellow": (222, 195, 70),
}
OTHER: tuple[Colour, ...] = ((225, 120, 40), (40, 160, 165))
"""Orange and teal, which have no label."""

_UPPER_RATES = (0.16, 0.1, 0.09, 0.13, 0.07, 0.12, 0.2, 0.07, 0.06)
_LOWER_RATES = (0.28, 0.18, 0.1, 0.15, 0.05, 0.05, 0.03, 0.07, 0.04, 0.05)
_SKIN: tuple[Colour, ...] = ((240, 205, 180), (215, 170, 135), (170, 120, 85), (110, 75, 52))
_HAIR: tuple[Colour, ...] = (
    (25, 22, 20),
    (65, 42, 28),
    (120, 80, 45),
    (190, 155, 95),
    (95, 95, 98),
)
_SHOES: tuple[Colour, ...] = ((25, 25, 25), (225, 225, 225), (120, 75, 45), (160, 40, 40))
_BAGS: tuple[Colour, ...] = (
    (30, 30, 35),
    (110, 70, 40),
    (150, 35, 50),
    (40, 60, 110),
    (95, 100, 60),
)
PATTERNS = ("plain", "plain", "stripes", "logo", "band")


@dataclass(frozen=True, kw_only=True)
class Person:
    """One synthetic person.

    The attributes are those of `hatcnn.attributes`; colours are names, none for a colour without
    a label. What follows them is not labelled: it tells apart people with equal attributes.

    Attributes:
        height: figure height as a share of the usual.
        build: width of the body as a share of the usual.
        upper_rgb, lower_rgb: exact shades.
        pattern: on the upper body, one of `PATTERNS`.
    """

    backpack: bool
    bag: bool
    handbag: bool
    pants: bool
    short_lower: bool
    short_sleeves: bool
    long_hair: bool
    hat: bool
    female: bool
    upper: str | None
    lower: str | None
    height: float
    build: float
    upper_rgb: Colour
    lower_rgb: Colour
    skin: Colour
    hair: Colour
    shoes: Colour
    luggage: Colour
    hat_rgb: Colour
    pattern: str

    @property
    def labels(self) -> tuple[int, ...]:
        """The 26 labels, in the package's order."""
        present = {
            "backpack": self.backpack,
            "bag": self.bag,
            "handbag": self.handbag,
            "clothes": self.pants,
            "down": self.short_lower,
            "up": self.short_sleeves,
            "hair": self.long_hair,
            "hat": self.hat,
            "gender": self.female,
            f"up{self.upper}": True,
            f"down{self.lower}": True,
        }
        return tuple(int(present.get(name, False)) for name in NAMES)


def make_people(count: int, random: np.random.Generator) -> list[Person]:
    """Draw people.

    Colours, hats, backpacks, bags and genders are dealt from decks with fixed shares and at least
    one card of a kind, so that small crowds hold them too; the rest depends on gender.
    """
    uppers = _deck((*UPPER, None), _UPPER_RATES, count, random)
    lowers = _deck((*LOWER, None), _LOWER_RATES, count, random)
    flags = {
        name: _deck((True, False), (rate, 1 - rate), count, random)
        for name, rate in (
            ("backpack", 0.28),
            ("bag", 0.25),
            ("hat", 0.08),
            ("female", 0.45),
            ("short_lower", 0.5),
        )
    }
    people = []
    for i in range(count):
        female = flags["female"][i]
        upper, lower = uppers[i], lowers[i]
        upper_rgb = UPPER[upper] if upper else _pick(OTHER, random)
        lower_rgb = LOWER[lower] if lower else _pick(OTHER, random)
        people.append(
            Person(
                backpack=flags["backpack"][i],
                bag=flags["bag"][i],
                handbag=bool(random.random() < (0.25 if female else 0.06)),
                pants=bool(random.random() > (0.35 if female else 0.0)),
                short_lower=flags["short_lower"][i],
                short_sleeves=bool(random.random() < 0.75),
                long_hair=bool(random.random() < (0.75 if female else 0.06)),
                hat=flags["hat"][i],
                female=female,
                upper=upper,
                lower=lower,
                height=float(random.uniform(0.9, 1.06)),
                build=float(random.uniform(0.85, 1.2)),
                upper_rgb=_shade(upper_rgb, random),
                lower_rgb=_shade(lower_rgb, random),
                skin=_shade(_pick(_SKIN, random), random),
                hair=_shade(_pick(_HAIR, random), random),
                shoes=_pick(_SHOES, random),
                luggage=_shade(_pick(_BAGS, random), random),
                hat_rgb=_shade(_pick(tuple(UPPER.values()), random), random),
                pattern=_pick(PATTERNS, random),
            )
        )
    return people


def _deck(
    kinds: tuple[_T, ...], shares: tuple[float, ...], count: int, random: np.random.Generator
) -> list[_T]:
    cards = [
        kind
        for kind, share in zip(kinds, shares, strict=True)
        for _ in range(max(1, round(share * count)))
    ]
    # Rounding may leave the deck a little short or long: fill up with the commonest kind, and
    # shuffle before cutting.
    cards += [kinds[int(np.argmax(shares))]] * max(0, count - len(cards))
    return [cards[i] for i in random.permutation(len(cards))[:count]]


def _pick(choices: tuple[_T, ...], random: np.random.Generator) -> _T:
    return choices[int(random.integers(len(choices)))]


def _shade(colour: Colour, random: np.random.Generator) -> Colour:
    """The same colour, a little lighter or darker and a little off."""
    light = random.uniform(-14, 14)
    red, green, blue = (int(np.clip(c + light + random.uniform(-7, 7), 0, 255)) for c in colour)
    return red, green, blue
