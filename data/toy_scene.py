"""The layouts of the toy's street scenes, drawn from one distribution in both domains.

toy_look.py gives them colours.  A scene is a list of parts in painting order.  The camera stands
1.5 m above the ground and looks along the street: a point X metres to the right, Y metres up and Z
metres ahead is seen at
    x = vanishing x + focal X / Z,    y = horizon + focal (1.5 - Y) / Z    (pixels).
The kind of street decides which classes appear and how large they are: downtown has houses and
people, a suburb trees and lawns, a highway neither pavement nor people.  So the share of a class
differs much from image to image.
"""
from collections import namedtuple

import numpy as np

from data.label_spaces import IGNORED, TOY

HEIGHT, WIDTH = 96, 160  # pixels
_EYE = 1.5  # metres
_FAR = 90.0
_CLASS = {name: index for index, name in enumerate(TOY.classes)}
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 12, endpoint=False)),
                    np.sin(np.linspace(0, 2 * np.pi, 12, endpoint=False))], axis=1)

# points: (n, 2) pixels, x and y; material: a key of the look's palettes; pick: 0..1, chooses among
# the material's colours; shade: brightness factor; depth: metres, None for flat ground; train: a
# train id.
Part = namedtuple("Part", "points material pick shade depth train")

_STREETS = {
    # share of scenes; half width of the lanes and width of the pavement in metres; storeys;
    # probability of houses, largest number of trees, people, poles a side, largest number of cars
    "downtown": dict(share=0.4, road=(3, 6), pavement=(2, 8), storeys=(2, 7), houses=0.9, trees=2,
                     people=5, cars=3, poles=3),
    "suburb": dict(share=0.4, road=(2.5, 4.5), pavement=(1.2, 4), storeys=(1, 3), houses=0.5,
                   trees=5, people=2, cars=2, poles=2),
    "highway": dict(share=0.2, road=(6, 11), pavement=(0, 0), storeys=(1, 4), houses=0.15, trees=4,
                    people=0, cars=5, poles=2),
}


class _Camera:
    def __init__(self, draw):
        self.horizon = HEIGHT * draw(0.36, 0.52)
        self.vanishing = WIDTH * draw(0.35, 0.65)
        self.focal = WIDTH * draw(0.58, 0.72)

    def project(self, points):
        """Pixels (n, 2) of points (n, 3) in metres."""
        points = np.array(points)
        seen = (points[:, :2] - (0, _EYE)) * (self.focal, -self.focal) / points[:, 2:]
        return seen + (self.vanishing, self.horizon)

    def box(self, x, y, z, width, height):
        """An upright rectangle whose foot's centre is (x, y, z)."""
        left, right = x - width / 2, x + width / 2
        return self.project([(left, y, z), (right, y, z), (right, y + height, z),
                             (left, y + height, z)])

    def blob(self, x, y, z, width, height):
        """An upright ellipse around (x, y, z)."""
        scale = self.focal / z
        return self.project([(x, y, z)]) + _CIRCLE * (width * scale / 2, height * scale / 2)


def make_scene(generator):
    """A list of Part in painting order.  Of the numpy Generator only random() is used."""
    def draw(low, high):
        return low + (high - low) * generator.random()

    def count(most):
        return int(draw(0, most + 1))

    street = _choose(generator.random())
    camera = _Camera(draw)
    # the curbs, left and right of the camera
    edges = [-draw(*street["road"]), draw(*street["road"])]
    pavements = [draw(*street["pavement"]) for _ in edges]
    walls = [edge + sign * (width + draw(0, 2))
             for edge, sign, width in zip(edges, (-1, 1), pavements)]

    parts = _ground(camera, draw, edges, pavements)
    for side, sign in enumerate((-1, 1)):
        if generator.random() < street["houses"]:
            parts += _houses(camera, draw, walls[side], sign, street["storeys"])

    things = []  # (depth, parts)
    for side, sign in enumerate((-1, 1)):
        edge, pavement = edges[side], pavements[side]
        for _ in range(count(street["trees"])):
            things.append(_tree(camera, draw, edge + sign * draw(pavement + 0.2, pavement + 3)))
        for _ in range(count(street["people"])):
            # one in four is crossing the street
            crossing = draw(0, 1) < 0.25
            x = draw(*edges) if crossing else edge + sign * draw(0.2, pavement)
            things.append(_person(camera, draw, x))
        for _ in range(count(street["poles"])):
            things.append(_pole(camera, draw, edge + sign * draw(0.2, 0.7)))
        if draw(0, 1) < 0.15:
            things.append(_bin(camera, draw, edge + sign * draw(0.3, 1)))
    for _ in range(count(street["cars"])):
        things.append(_car(camera, draw, draw(edges[0] + 1, edges[1] - 1)))
    for _, thing in sorted(things, key=lambda thing: -thing[0]):
        parts += thing
    return parts


def _choose(draw):
    for street in _STREETS.values():
        if draw < street["share"]:
            return street
        draw -= street["share"]
    return street


def _ground(camera, draw, edges, pavements):
    """The sky, the houses or trees at the far end of the street, and everything that lies flat."""
    near = 0.8 * _EYE * camera.focal / (HEIGHT - camera.horizon)

    def strip(left, right, material, train, first=near, last=_FAR):
        corners = [(left, 0, first), (right, 0, first), (right, 0, last), (left, 0, last)]
        return _part(camera.project(corners), material, pick, 1.0, None, train)

    pick = draw(0, 1)
    whole = np.array([(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)], float)
    parts = [_part(whole, "sky", pick, 1.0, _FAR, "sky")]
    material, train = ("leaves", "vegetation") if draw(0, 1) < 0.5 else ("facade", "building")
    left = -WIDTH * 0.2
    while left < WIDTH:
        width, height = draw(10, 50), draw(0, 14)
        box = np.array([(left, HEIGHT * 0.9), (left + width, HEIGHT * 0.9),
                        (left + width, camera.horizon - height), (left, camera.horizon - height)])
        parts.append(_part(box, material, draw(0, 1), draw(0.8, 1.1), _FAR * 0.8, train))
        left += width
    parts.append(strip(-300, 300, "grass", "vegetation"))
    for edge, sign, width in zip(edges, (-1, 1), pavements):
        if width:
            parts.append(strip(edge, edge + sign * width, "pavement", "sidewalk"))
            parts.append(strip(edge, edge + sign * 0.2, "curb", "sidewalk"))
    parts.append(strip(edges[0], edges[1], "asphalt", "road"))
    middle, start = (edges[0] + edges[1]) / 2 + draw(-1, 1), draw(0, 3)
    for dash in range(6):
        z = near + start + 5 * dash
        parts.append(strip(middle - 0.08, middle + 0.08, "marking", "road", first=z, last=z + 2))
    return parts


def _houses(camera, draw, wall, sign, storeys):
    """A row of facades along one side, far to near, with windows."""
    rows, z = [], draw(2.5, 8)
    while z < 45:
        rows.append((z, z + draw(5, 12), 3.0 * draw(*storeys), draw(0, 1)))
        z = rows[-1][1] + (draw(2, 8) if draw(0, 1) < 0.3 else 0)
    shade, parts = draw(0.75, 1.1), []
    for first, last, height, pick in reversed(rows):
        depth = (first * last) ** 0.5
        end = camera.project([(wall, 0.0, first), (wall + 14 * sign, 0, first),
                              (wall + 14 * sign, height, first), (wall, height, first)])
        parts.append(_part(end, "facade", pick, 0.8 * shade, depth, "building"))
        columns, floors = max(1, int((last - first) / 3)), min(int(height / 3), 4)
        pitch = (last - first) / columns
        # (z from, z to, y from, y to) of the facade, then of its windows
        rectangles = [(first, last, 0.0, height)]
        rectangles += [(first + (column + 0.3) * pitch, first + (column + 0.75) * pitch,
                        3 * floor + 0.9, 3 * floor + 2.3)
                       for floor in range(floors) for column in range(columns)]
        corners = camera.project([(wall, y, z) for z0, z1, y0, y1 in rectangles
                                  for y, z in ((y0, z0), (y0, z1), (y1, z1), (y1, z0))])
        for number in range(len(rectangles)):
            parts.append(_part(corners[4 * number:4 * number + 4],
                               "window" if number else "facade", pick, shade, depth, "building"))
    return parts


def _tree(camera, draw, x):
    z, height, pick, shade = draw(5, 35), draw(2.5, 8), draw(0, 1), draw(0.8, 1.15)
    trunk = camera.box(x, 0, z, draw(0.3, 0.5), height * 0.6)
    parts = [_part(trunk, "trunk", pick, shade, z, "vegetation")]
    for _ in range(4):
        crown = camera.blob(x + draw(-0.25, 0.25) * height, height * draw(0.55, 0.85), z,
                            height * draw(0.35, 0.6), height * draw(0.3, 0.5))
        parts.append(_part(crown, "leaves", pick, shade * draw(0.85, 1.15), z, "vegetation"))
    return z, parts


def _person(camera, draw, x):
    z, height, pick, shade = 4 / draw(0.4, 1), draw(1.5, 1.95), draw(0, 1), draw(0.8, 1.1)
    width, stride = height * 0.42, height * draw(0.02, 0.12)
    left, right = (camera.box(x + side * stride, 0, z, width * 0.4, height * 0.5)
                   for side in (-1, 1))
    trunk = camera.box(x, height * 0.42, z, width, height * 0.43)
    head = camera.blob(x, height * 0.92, z, height * 0.15, height * 0.17)
    return z, [_part(left, "trousers", pick, shade, z, "person"),
               _part(right, "trousers", pick, shade * 0.9, z, "person"),
               _part(trunk, "shirt", draw(0, 1), shade, z, "person"),
               _part(head, "skin", pick, shade, z, "person")]


def _car(camera, draw, x):
    # most cars are near
    z, pick, shade, width = 4 / draw(0.15, 0.9), draw(0, 1), draw(0.85, 1.1), draw(1.7, 2.0)
    shadow = camera.project([(x - width * 0.6, 0, z - 0.4), (x + width * 0.6, 0, z - 0.4),
                             (x + width * 0.6, 0, z + 2.5), (x - width * 0.6, 0, z + 2.5)])
    cabin = camera.project([(x - width * 0.47, 0.8, z), (x + width * 0.47, 0.8, z),
                            (x + width * 0.36, 1.45, z), (x - width * 0.36, 1.45, z)])
    glass = camera.project([(x - width * 0.38, 0.88, z), (x + width * 0.38, 0.88, z),
                            (x + width * 0.3, 1.36, z), (x - width * 0.3, 1.36, z)])
    parts = [_part(shadow, "asphalt", pick, 0.45, None, "road")]
    for side in (-1, 1):
        tyre = camera.box(x + side * width * 0.36, 0, z, 0.28, 0.45)
        parts.append(_part(tyre, "tyre", pick, 1, z, "car"))
    body = camera.box(x, 0.22, z, width, 0.65)
    parts += [_part(cabin, "paint", pick, shade * 0.9, z, "car"),
              _part(glass, "glass", pick, shade, z, "car"),
              _part(body, "paint", pick, shade, z, "car")]
    for side in (-1, 1):
        lamp = camera.box(x + side * width * 0.4, 0.55, z, 0.3, 0.18)
        parts.append(_part(lamp, "lamp", pick, 1, z, "car"))
    return z, parts


def _pole(camera, draw, x):
    z, height, pick, shade = 4 / draw(0.4, 1), draw(2.2, 4), draw(0, 1), draw(0.8, 1.1)
    # at least 5 pixels, or a net at 1/8 of the size cannot see it
    width = max(0.3, 5 * z / camera.focal)
    parts = [_part(camera.box(x, 0, z, width, height), "pole", pick, shade, z, "pole")]
    if draw(0, 1) < 0.8:
        size, round_plate = draw(0.9, 1.6), draw(0, 1) < 0.5
        plate = (camera.blob(x, height, z, size, size) if round_plate
                 else camera.box(x, height - size / 2, z, size, size))
        parts.append(_part(plate, "plate", draw(0, 1), 1, z, "pole"))
    return z, parts


def _bin(camera, draw, x):
    z = draw(4, 12)
    return z, [Part(camera.box(x, 0, z, 0.8, 1.1), "bin", draw(0, 1), draw(0.8, 1.1), z, IGNORED)]


def _part(points, material, pick, shade, depth, train):
    """A Part of the class with the name `train`."""
    return Part(points, material, pick, shade, depth, _CLASS[train])
