"""What cameras do to people: light, colour, blur, scale, noise, background, occlusion, crop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from hatcnn.datasets.synthetic.figure import VIEWS, Pose, draw_person
from hatcnn.datasets.synthetic.people import Colour, Person
from hatcnn.images import Pixels

WIDTH, HEIGHT = 64, 128
_SUPERSAMPLING = 2


@dataclass(frozen=True)
class Camera:
    """One camera: everything here is fixed for it; what differs from picture to picture is drawn
    when a picture is taken.

    Attributes:
        seed: of its background.
        gain: (3,) factors of red, green and blue.
        gamma: exponent of the brightness.
        saturation: 0 is grey, 1 as it is.
        blur: deviation of the blur, pixels.
        detail: share of the resolution that the sensor keeps.
        noise: deviation of the sensor's noise, of 255.
        views: probabilities of seeing front, back, left and right.
        sloppiness: how far its detector's boxes are off.
        crowd: probability that something hides part of the person.
    """

    seed: tuple[int, ...]
    gain: tuple[float, float, float]
    gamma: float
    saturation: float
    blur: float
    detail: float
    noise: float
    views: tuple[float, float, float, float]
    sloppiness: float
    crowd: float

    @cached_property
    def panorama(self) -> Image.Image:
        """Its background, several pictures wide: wall, ground, and things that stand about."""
        random = np.random.default_rng(self.seed)
        width = 6 * WIDTH
        wall = _dull(70, 215, random)
        ground = _dull(60, 190, random)
        horizon = int(HEIGHT * random.uniform(0.25, 0.6))
        pixels = np.empty((HEIGHT, width, 3))
        pixels[:horizon] = wall
        pixels[horizon:] = ground
        pixels *= np.linspace(0.85, 1.12, HEIGHT)[:, None, None]
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        pen = ImageDraw.Draw(image)
        for _ in range(14):
            x, wide = int(random.integers(0, width)), int(random.integers(3, 40))
            top, tall = int(random.integers(0, horizon)), int(random.integers(10, 60))
            pen.rectangle((x, top, x + wide, top + tall), fill=_dull(40, 230, random))
        for y in range(horizon, HEIGHT, int(random.integers(8, 20))):
            pen.line((0, y, width, y), fill=tuple(int(c * 0.88) for c in ground))
        texture = random.normal(0, 9, (HEIGHT // 4, width // 4))
        rough = Image.fromarray(texture.astype(np.float32)).resize(image.size)
        textured = np.asarray(image) + np.asarray(rough)[..., None]
        return Image.fromarray(textured.clip(0, 255).astype(np.uint8))


def _dull(low: int, high: int, random: np.random.Generator) -> Colour:
    """A colour as walls and streets have it: mostly grey."""
    grey = random.integers(low, high)
    red, green, blue = (int(c) for c in (grey + random.normal(0, 16, 3)).clip(0, 255))
    return red, green, blue


def make_cameras(count: int, seed: int) -> list[Camera]:
    """Draw cameras that differ in everything."""
    random = np.random.default_rng((seed, 77))
    cameras = []
    for number in range(count):
        views = random.dirichlet((0.8, 0.8, 0.5, 0.5)) * 0.85 + 0.15 / 4
        red, green, blue = random.uniform(0.78, 1.18, 3)
        cameras.append(
            Camera(
                seed=(seed, 78, number),
                gain=(red, green, blue),
                gamma=float(random.uniform(0.65, 1.6)),
                saturation=float(random.uniform(0.55, 1.15)),
                blur=float(random.uniform(0.0, 1.1)),
                detail=float(random.uniform(0.45, 1.0)),
                noise=float(random.uniform(2, 9)),
                views=tuple(views / views.sum()),
                sloppiness=float(random.uniform(0.4, 1.0)),
                crowd=float(random.uniform(0.1, 0.35)),
            )
        )
    return cameras


def take_picture(
    person: Person | None,
    camera: Camera,
    random: np.random.Generator,
    passer_by: Person,
) -> Pixels:
    """One picture as a detector would crop it.

    Args:
        person: in the middle; none for a false alarm that shows the background.
        camera: that takes it.
        random: of everything that differs from picture to picture.
        passer_by: somebody else, who may stand in the way.

    Returns:
        (128, 64, 3) uint8.
    """
    scale = _SUPERSAMPLING
    size = (WIDTH * scale, HEIGHT * scale)
    offset = int(random.integers(0, camera.panorama.width - WIDTH))
    scene = camera.panorama.crop((offset, 0, offset + WIDTH, HEIGHT)).resize(size)
    if person is not None:
        pose = Pose(
            VIEWS[random.choice(4, p=camera.views)],
            float(random.uniform(-1, 1)),
            float(random.uniform(-1, 1)),
        )
        _place(scene, person, pose, camera.sloppiness, random)
    if random.random() < camera.crowd:
        _occlude(scene, passer_by, random)
    return _expose(scene, camera, random)


def _place(
    scene: Image.Image,
    person: Person,
    pose: Pose,
    sloppiness: float,
    random: np.random.Generator,
) -> None:
    """Put the person into the scene, where a careless box would have them."""
    tall = scene.height * person.height * random.uniform(0.9, 1 + 0.12 * sloppiness) * 0.95
    wide = int(tall * 0.55)
    figure = draw_person(person, pose, wide, int(tall))
    x = (scene.width - wide) / 2 + random.normal(0, 0.06 * sloppiness) * scene.width
    y = (scene.height - tall) / 2 + random.normal(0, 0.035 * sloppiness) * scene.height
    shadow = ImageDraw.Draw(scene, "RGBA")
    foot = y + 0.975 * tall
    middle = x + wide / 2
    shadow.ellipse(
        (middle - 0.3 * wide, foot - 5, middle + 0.3 * wide, foot + 6), fill=(0, 0, 0, 90)
    )
    scene.paste(figure, (int(x), int(y)), figure)


def _occlude(scene: Image.Image, passer_by: Person, random: np.random.Generator) -> None:
    """Hide part of the scene: a post, something low, or half of somebody."""
    pen = ImageDraw.Draw(scene)
    width, height = scene.size
    colour = _dull(30, 200, random)
    kind = random.integers(3)
    if kind == 0:
        x = random.uniform(0.1, 0.8) * width
        pen.rectangle((x, 0, x + random.uniform(0.08, 0.18) * width, height), fill=colour)
    elif kind == 1:
        pen.rectangle((0, random.uniform(0.6, 0.85) * height, width, height), fill=colour)
    else:
        tall = int(height * random.uniform(0.9, 1.1))
        pose = Pose(VIEWS[random.integers(4)], float(random.uniform(-1, 1)))
        figure = draw_person(passer_by, pose, int(tall * 0.55), tall)
        edge = -0.62 if random.random() < 0.5 else 0.6
        scene.paste(figure, (int(edge * width), int(random.uniform(-0.05, 0.1) * height)), figure)


def _expose(scene: Image.Image, camera: Camera, random: np.random.Generator) -> Pixels:
    """Optics, sensor and electronics."""
    detail = camera.detail * random.uniform(0.8, 1.1)
    small = (max(16, int(WIDTH * detail)), max(32, int(HEIGHT * detail)))
    image = scene.resize(small, Image.Resampling.BOX).resize(
        (WIDTH, HEIGHT), Image.Resampling.BICUBIC
    )
    if camera.blur > 0.2:
        image = image.filter(ImageFilter.GaussianBlur(camera.blur * random.uniform(0.6, 1.3)))
    light = np.asarray(image, dtype=np.float32) / np.float32(255)
    grey = light.mean(axis=2, keepdims=True)
    vivid = (grey + (light - grey) * np.float32(camera.saturation)).clip(0, 1)
    bent = np.power(vivid, np.float32(camera.gamma * random.uniform(0.85, 1.18)))
    exposed = bent * np.array(camera.gain, dtype=np.float32) * random.uniform(0.85, 1.15)
    noise = random.standard_normal(exposed.shape, dtype=np.float32) * camera.noise
    return (exposed * 255 + noise).clip(0, 255).astype(np.uint8)
