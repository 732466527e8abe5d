"""The looks of the toy's two domains: colours, light, haze, texture and noise.

Source: a bright, clean summer day, as a renderer would draw it.  Target: a grey and hazy day in
early autumn through a poor camera.
"""
from dataclasses import dataclass

import cv2
import numpy as np

from data.toy_scene import HEIGHT, WIDTH

_SHIFT = 4  # bits behind the point of OpenCV's polygon coordinates


@dataclass(frozen=True)
class Look:
    """How one domain looks; colours are BGR, 0..255."""

    palettes: dict      # {material: colours}; each part of a scene picks one
    horizon_sky: tuple  # colour of the sky at the horizon (the palette has the colour overhead)
    haze: tuple         # (colour, range of the attenuation per metre)
    light: tuple        # range of the brightness factor
    cast: tuple         # brightness factor of each channel
    texture: dict       # {material: amplitude of blotches, as a share of its brightness}
    grain: float        # standard deviation of the sensor's noise, in grey levels
    blur: float         # sigma of the optics, in pixels
    vignette: float     # share of the light that is lost in the corners


_SOURCE = Look(
    palettes={
        "sky": [(225, 150, 60), (235, 175, 95), (225, 190, 150)],
        "facade": [(75, 95, 175), (150, 190, 220), (190, 195, 200),
                   (85, 115, 155), (120, 160, 205)],
        "window": [(105, 75, 50), (120, 95, 70)],
        "grass": [(55, 150, 85), (60, 165, 110)],
        "pavement": [(165, 170, 185), (155, 165, 180)],
        "curb": [(200, 200, 205)],
        "asphalt": [(92, 90, 90), (100, 98, 96)],
        "marking": [(240, 240, 240)],
        "leaves": [(45, 125, 55), (40, 105, 40), (60, 140, 80)],
        "trunk": [(40, 65, 95)],
        "paint": [(40, 40, 200), (230, 230, 230), (45, 45, 45), (150, 60, 40)],
        "glass": [(80, 60, 45)],
        "tyre": [(20, 20, 20)],
        "lamp": [(60, 60, 250)],
        "skin": [(150, 180, 230), (80, 110, 160)],
        "shirt": [(170, 50, 220), (30, 120, 250), (120, 60, 240)],
        "trousers": [(110, 60, 35), (45, 45, 45)],
        "pole": [(95, 100, 100), (70, 75, 75)],
        "plate": [(45, 205, 240), (215, 110, 30)],
        "bin": [(70, 110, 60)],
    },
    horizon_sky=(245, 220, 185), haze=((245, 220, 185), (0.000, 0.004)),
    light=(0.92, 1.1), cast=(1.0, 1.0, 1.0),
    texture={"leaves": 0.15, "grass": 0.08, "facade": 0.03},
    grain=3, blur=0.4, vignette=0.0)

_TARGET = Look(
    palettes={
        "sky": [(220, 180, 125), (215, 180, 145), (205, 190, 165)],
        "facade": [(125, 115, 125), (135, 150, 150), (170, 165, 160),
                   (100, 110, 120), (140, 140, 150)],
        "window": [(140, 140, 135), (85, 75, 65), (110, 150, 160)],
        "grass": [(60, 135, 115), (75, 130, 110)],
        "pavement": [(130, 135, 135), (120, 130, 130)],
        "curb": [(160, 160, 155)],
        "asphalt": [(80, 75, 75), (95, 85, 80)],
        "marking": [(190, 200, 200)],
        "leaves": [(45, 110, 105), (45, 100, 75), (45, 125, 135)],
        "trunk": [(40, 60, 75)],
        "paint": [(70, 60, 160), (190, 190, 190), (50, 50, 50), (130, 75, 60)],
        "glass": [(115, 110, 100)],
        "tyre": [(25, 25, 25)],
        "lamp": [(80, 115, 250)],
        "skin": [(120, 145, 180), (75, 95, 125)],
        "shirt": [(140, 65, 165), (60, 105, 195), (105, 65, 170)],
        "trousers": [(75, 55, 40), (45, 45, 50)],
        "pole": [(75, 85, 85), (85, 90, 90)],
        "plate": [(65, 170, 185), (165, 110, 60)],
        "bin": [(75, 95, 65)],
    },
    horizon_sky=(225, 210, 195), haze=((225, 210, 195), (0.003, 0.013)),
    light=(0.9, 1.15), cast=(0.92, 0.98, 1.04),
    texture={"leaves": 0.35, "grass": 0.25, "facade": 0.15, "asphalt": 0.2, "pavement": 0.15},
    grain=7, blur=0.7, vignette=0.25)

LOOKS = {"source": _SOURCE, "target": _TARGET}


def paint(parts, look, generator):
    """(image, label) of a scene: (96, 160, 3) uint8 BGR and (96, 160) uint8 train ids.

    parts: from toy_scene.make_scene.  generator: a numpy Generator; only its random() is used.
    """
    # One polygon is filled a part.  Three channels hold its colour, the fourth the number of its
    # combination of class, depth and material, by which the steps below find these.
    canvas = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    corners = np.concatenate([part.points for part in parts]) * (1 << _SHIFT)
    corners = np.round(corners).astype(np.int32)
    kinds, trains, hazes, textures = {}, [], [], []
    for part in parts:
        key = part.train, part.depth, part.material in look.texture and part.material
        if key not in kinds:
            kinds[key] = len(kinds)
            trains.append(part.train)
            hazes.append(part.depth or 0)
            textures.append(look.texture.get(part.material, 0))
        colours = look.palettes[part.material]
        colour = colours[int(part.pick * len(colours))]
        filled = [min(channel * part.shade, 255) for channel in colour] + [kinds[key]]
        cv2.fillPoly(canvas, [corners[:len(part.points)]], filled, cv2.LINE_8, _SHIFT)
        corners = corners[len(part.points):]
    kind = canvas[:, :, 3]
    label = np.array(trains, np.uint8)[kind]
    image = canvas[:, :, :3].astype(np.float32)
    _fade_sky(image, label, look)
    image *= 1 + np.array(textures, np.float32)[kind][:, :, None] * _blotches(generator)[:, :, None]
    _add_haze(image, _depth(parts, np.array(hazes, np.float32)[kind]), look, generator)
    return _photograph(image, look, generator), label


def _fade_sky(image, label, look):
    share = np.linspace(0, 1.6, HEIGHT, dtype=np.float32)[:, None, None].clip(0, 1)
    image += (share * (label == 0)[:, :, None]) * (np.array(look.horizon_sky, np.float32) - image)


def _blotches(generator):
    """Smooth noise in -1..1, (H, W) float32, of two sizes."""
    noise = [generator.random((HEIGHT // step, WIDTH // step), np.float32) * 2 - 1
             for step in (8, 2)]
    coarse, fine = (cv2.resize(values, (WIDTH, HEIGHT)) for values in noise)
    return 0.5 * (coarse + fine)


def _depth(parts, depth):
    """Depth of each pixel in metres; that of flat ground (0 so far) follows from its row."""
    horizon = min(part.points[:, 1].min() for part in parts if part.depth is None)
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None] - np.float32(horizon) + 1.5
    return np.where(depth > 0, depth, 150 / np.maximum(rows, 1.5))


def _add_haze(image, depth, look, generator):
    colour, (thin, thick) = look.haze
    share = 1 - np.exp(-depth * np.float32(thin + (thick - thin) * generator.random()))
    image += share[:, :, None] * (np.array(colour, np.float32) - image)


def _photograph(image, look, generator):
    """Applies light, colour cast, lens and sensor: float (H, W, 3) to uint8."""
    low, high = look.light
    brightness = low + (high - low) * generator.random()
    factor = brightness * np.array(look.cast) * (1 + 0.06 * (generator.random(3) - 0.5))
    image = cv2.GaussianBlur(image, (0, 0), look.blur)
    y, x = np.ogrid[-1:1:HEIGHT * 1j, -1:1:WIDTH * 1j]
    image *= (factor * (1 - look.vignette * ((x * x + y * y) / 2)[:, :, None])).astype(np.float32)
    noise = generator.random((2,) + image.shape, np.float32)
    # triangular, with the grain as its standard deviation
    image += look.grain * 2.45 * (noise[0] - noise[1])
    return cv2.convertScaleAbs(np.maximum(image, 0))  # rounds, and clips at 255
