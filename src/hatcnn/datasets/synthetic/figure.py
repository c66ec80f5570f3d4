"""Draw a person: a small articulated figure in one of four views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw

from hatcnn.datasets.synthetic.people import Colour, Person

View = Literal["front", "back", "left", "right"]
VIEWS: tuple[View, ...] = ("front", "back", "left", "right")


@dataclass(frozen=True)
class Pose:
    """How a person stands in one picture.

    Attributes:
        view: which side is seen.
        stride: legs and arms apart, from -1 to 1; its sign says which leg leads.
        lean: of the head, in shares of the head's width, from -1 to 1.
    """

    view: View
    stride: float
    lean: float = 0.0


def draw_person(person: Person, pose: Pose, width: int, height: int) -> Image.Image:
    """A picture (RGBA, transparent around the figure) that the figure fills from head to feet."""
    image = Image.new("RGBA", (width, height))
    _Figure(person, pose, ImageDraw.Draw(image), width, height).draw()
    return image


class _Figure:
    """Coordinates: x in shares of the height from the middle, y in shares from the top."""

    def __init__(
        self, person: Person, pose: Pose, draw: ImageDraw.ImageDraw, width: int, height: int
    ) -> None:
        self.person, self.pose, self.pen = person, pose, draw
        self.middle, self.scale = width / 2, height
        self.side = pose.view in ("left", "right")
        # Where the figure faces, in x: only sideways views have a front and a back in x.
        self.ahead = {"left": -1, "right": 1}.get(pose.view, 0)
        # Seen from behind, left and right change places.
        self.hand = -1 if pose.view == "back" else 1
        # A documented convention: women narrower in the shoulders and wider in the hips.
        shoulders, hips = (0.094, 0.094) if person.female else (0.122, 0.076)
        narrow = 0.62 if self.side else 1.0
        self.shoulders = shoulders * person.build * narrow
        self.hips = hips * person.build * narrow
        self.waist = (0.072 if person.female else 0.086) * person.build * narrow

    def draw(self) -> None:
        if self.person.backpack and self.pose.view == "front":
            self._backpack_behind()
        self._arm(-1)
        self._legs()
        self._torso()
        if not self.person.pants:
            self._skirt()
        if self.person.backpack and self.pose.view != "front":
            self._backpack_on_top()
        self._arm(1)
        self._head()
        if self.person.bag:
            self._bag()
        if self.person.backpack and self.pose.view == "front":
            self._straps()

    def _legs(self) -> None:
        person, swing = self.person, self.pose.stride
        bare = person.short_lower or not person.pants
        thick = 0.05 * person.build
        for leg in (-1, 1):
            hip = (leg * (0.012 if self.side else 0.04) * person.build, 0.52)
            reach = 0.09 if self.side else 0.02
            foot = (hip[0] + leg * swing * reach + leg * 0.008, 0.955 - max(0, leg * swing) * 0.012)
            knee = ((hip[0] + foot[0]) / 2 + self.ahead * 0.015 * abs(swing), 0.735)
            shade = 0.88 if leg < 0 else 1.0
            if bare:
                self._limb((hip, knee, foot), thick * 0.8, person.skin, shade)
                if person.pants:
                    self._limb((hip, (knee[0], 0.715)), thick * 1.2, person.lower_rgb, shade)
            else:
                self._limb((hip, knee, foot), thick, person.lower_rgb, shade)
            toe = self.ahead * 0.022 if self.side else leg * 0.008
            self._ellipse(foot[0] + toe, 0.968, 0.042 if self.side else 0.03, 0.02, person.shoes)
        if person.pants:
            self._polygon(
                ((-self.hips, 0.57), (-self.waist, 0.46), (self.waist, 0.46), (self.hips, 0.57)),
                person.lower_rgb,
            )

    def _skirt(self) -> None:
        hem, flare = (0.68, 1.35) if self.person.short_lower else (0.9, 1.7)
        self._polygon(
            (
                (-self.waist, 0.44),
                (self.waist, 0.44),
                (self.hips * flare, hem),
                (-self.hips * flare, hem),
            ),
            self.person.lower_rgb,
        )

    def _torso(self) -> None:
        person = self.person
        self._limb(((0, 0.13), (0, 0.2)), 0.045, person.skin, 0.92)
        outline = (
            (-self.shoulders * 0.55, 0.172),
            (self.shoulders * 0.55, 0.172),
            (self.shoulders, 0.205),
            (self.waist, 0.4),
            (self.hips * 0.98, 0.5),
            (-self.hips * 0.98, 0.5),
            (-self.waist, 0.4),
            (-self.shoulders, 0.205),
        )
        self._polygon(outline, person.upper_rgb)
        accent = _contrast(person.upper_rgb)
        if person.pattern == "stripes":
            for y in (0.24, 0.3, 0.36, 0.42):
                self._rectangle(-self.waist * 0.97, y, self.waist * 0.97, y + 0.018, accent)
        elif person.pattern == "band":
            self._rectangle(-self.waist, 0.27, self.waist, 0.315, accent)
        elif person.pattern == "logo" and self.pose.view == "front":
            self._ellipse(0, 0.285, 0.04, 0.035, accent)

    def _arm(self, side: int) -> None:
        """Arm at x sign `side`; sideways, -1 is the far one and 1 the near one."""
        person, swing = self.person, self.pose.stride * side
        if self.side:
            shoulder = (0.0, 0.215)
            hand = (-swing * 0.11 + self.ahead * 0.01, 0.5)
            elbow = (hand[0] * 0.45 - self.ahead * 0.02, 0.36)
        else:
            shoulder = (side * self.shoulders * 0.93, 0.215)
            hand = (side * (self.shoulders + 0.035 + 0.012 * abs(swing)), 0.5 - 0.015 * swing)
            elbow = (side * (self.shoulders + 0.022), 0.36)
        thick = 0.036 * person.build
        shade = 0.85 if self.side and side < 0 else 0.95
        self._limb((shoulder, elbow, hand), thick, person.skin, shade)
        end = (
            ((shoulder[0] + elbow[0]) / 2, (shoulder[1] + elbow[1]) / 2 + 0.01)
            if person.short_sleeves
            else None
        )
        wrist = (elbow[0] + (hand[0] - elbow[0]) * 0.85, elbow[1] + (hand[1] - elbow[1]) * 0.85)
        sleeve = (shoulder, end) if end else (shoulder, elbow, wrist)
        self._limb(sleeve, thick * 1.3, person.upper_rgb, shade)
        self._ellipse(hand[0], hand[1], 0.02, 0.018, person.skin)
        if person.handbag and side == (1 if self.side else self.hand):
            x, y = hand
            self._rectangle(x - 0.012, y, x + 0.012, y + 0.035, person.luggage)
            self._rectangle(x - 0.042, y + 0.03, x + 0.042, y + 0.1, person.luggage, outline=True)

    def _head(self) -> None:
        person, view = self.person, self.pose.view
        x, y = self.pose.lean * 0.012 + self.ahead * 0.008, 0.092
        if person.long_hair:
            behind = -self.ahead * 0.022
            self._ellipse(x + behind, y + 0.018, 0.066, 0.085, person.hair)
            self._rectangle(
                x + behind - 0.056,
                y + 0.02,
                x + behind + 0.056,
                0.235 if view != "front" else 0.2,
                person.hair,
            )
        self._ellipse(x, y, 0.052, 0.066, person.skin)
        if view == "back":
            self._ellipse(x, y - 0.006, 0.055, 0.064, person.hair)
            if person.long_hair:
                self._rectangle(x - 0.056, y, x + 0.056, 0.235, person.hair)
        else:
            self._pie(x - self.ahead * 0.008, y - 0.012, 0.056, 0.058, person.hair)
            if self.side:
                self._ellipse(x - self.ahead * 0.032, y - 0.008, 0.028, 0.05, person.hair)
            if view == "front" and person.long_hair:
                for edge in (-1, 1):
                    self._rectangle(
                        x + edge * 0.05 - 0.012, y - 0.01, x + edge * 0.05 + 0.012, 0.2, person.hair
                    )
        if person.hat:
            self._pie(x, y - 0.026, 0.064, 0.064, person.hat_rgb)
            brim = x + self.ahead * 0.03
            wide = 0.085 if view != "back" else 0.068
            self._rectangle(brim - wide, y - 0.034, brim + wide, y - 0.018, person.hat_rgb)

    def _backpack_behind(self) -> None:
        edge = self.shoulders * 0.86
        self._rectangle(-edge, 0.178, edge, 0.4, _darker(self.person.luggage, 0.8))

    def _straps(self) -> None:
        for side in (-1, 1):
            x = side * self.shoulders * 0.55
            self._limb(((x, 0.175), (x * 1.05, 0.34)), 0.02, self.person.luggage, 1.0)

    def _backpack_on_top(self) -> None:
        colour = self.person.luggage
        if self.pose.view == "back":
            edge = self.shoulders * 0.8
            self._rounded(-edge, 0.19, edge, 0.415, colour)
            self._rectangle(
                -edge * 0.6, 0.31, edge * 0.6, 0.39, _darker(colour, 0.75), outline=True
            )
        else:
            back = -self.ahead
            x = back * (self.shoulders + 0.035)
            self._rounded(x - 0.05, 0.195, x + 0.05, 0.4, colour)
            self._limb(((back * 0.02, 0.185), (back * 0.015, 0.32)), 0.02, colour, 0.8)

    def _bag(self) -> None:
        colour = self.person.luggage
        side = self.ahead * -1 if self.side else self.hand
        x = side * (self.hips + (0.02 if self.side else 0.035))
        self._limb(((-side * self.shoulders * 0.5, 0.18), (x, 0.43)), 0.014, colour, 0.8)
        self._rounded(x - 0.06, 0.42, x + 0.06, 0.53, colour)
        self._rectangle(x - 0.058, 0.42, x + 0.058, 0.452, _darker(colour, 0.7))

    def _point(self, x: float, y: float) -> tuple[float, float]:
        return self.middle + x * self.scale, y * self.scale

    def _polygon(self, points: tuple[tuple[float, float], ...], colour: Colour) -> None:
        self.pen.polygon([self._point(*p) for p in points], fill=colour)

    def _limb(
        self,
        points: tuple[tuple[float, float], ...],
        thickness: float,
        colour: Colour,
        shade: float,
    ) -> None:
        width = max(1, round(thickness * self.scale))
        fill = _darker(colour, shade)
        self.pen.line([self._point(*p) for p in points], fill=fill, width=width, joint="curve")
        for x, y in points:
            self._ellipse(x, y, thickness / 2, thickness / 2, fill)

    def _ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        self.pen.ellipse((*self._point(x - rx, y - ry), *self._point(x + rx, y + ry)), fill=colour)

    def _pie(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """The upper half of an ellipse."""
        box = (*self._point(x - rx, y - ry), *self._point(x + rx, y + ry))
        self.pen.pieslice(box, 180, 360, fill=colour)

    def _rectangle(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        colour: Colour,
        *,
        outline: bool = False,
    ) -> None:
        edge = _darker(colour, 0.6) if outline else None
        box = (*self._point(left, top), *self._point(right, bottom))
        self.pen.rectangle(box, fill=colour, outline=edge, width=2)

    def _rounded(
        self, left: float, top: float, right: float, bottom: float, colour: Colour
    ) -> None:
        self.pen.rounded_rectangle(
            (*self._point(left, top), *self._point(right, bottom)),
            radius=0.025 * self.scale,
            fill=colour,
            outline=_darker(colour, 0.6),
            width=2,
        )


def _darker(colour: Colour, factor: float) -> Colour:
    red, green, blue = (int(c * factor) for c in colour)
    return red, green, blue


def _contrast(colour: Colour) -> Colour:
    """A tone of the same colour that shows on it: lighter on dark, darker on light."""
    if sum(colour) < 330:
        red, green, blue = (int(c + (255 - c) * 0.45) for c in colour)
        return red, green, blue
    return _darker(colour, 0.6)
