"""Tiny data sets on disk, in the formats of the real ones; helpers for worker processes."""
import os

import cv2
import numpy as np
from PIL import Image


def write_image(path, pixels):
    """A BGR or grey array as PNG or JPEG; the folder is made."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    assert cv2.imwrite(path, pixels)


def write_palette(path, ids):
    """Ids (H, W) uint8 as a palette PNG in which many indices share a colour."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    picture = Image.new("P", ids.shape[::-1])
    picture.putdata(ids.ravel().tolist())
    picture.putpalette([0, 0, 142] * 256)
    picture.save(path)


def write_synthia(path, ids):
    """Ids (H, W) as SYNTHIA stores them: 16 bits, three channels, red."""
    pixels = np.zeros(ids.shape + (3,), np.uint16)
    pixels[:, :, 2] = ids
    pixels[:, :, 1] = 900
    write_image(path, pixels)


def write_seasons(root, *seasons, height=40, width=48, frames=5):
    """A SYNTHIA-SEQS with one sequence of the dash-cam's view a season; every label has all ids."""
    for season in seasons:
        for number in range(frames):
            place = (f"{root}/synthia_seqs/SYNTHIA-SEQS-01-{season.upper()}/%s/Stereo_Left/Omni_F/"
                     f"{number:06d}.png")
            write_image(place % "RGB", random_image(number, height, width))
            write_synthia(place % "GT/LABELS",
                          np.arange(height * width).reshape(height, width) % 16)


def random_image(seed, height=12, width=16):
    """(H, W, 3) uint8."""
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def write_lines(path, lines):
    """A text file; the folder is made."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write("".join(line + "\n" for line in lines))


def write_folder_set(root, count=6, height=12, width=16, classes=3):
    """A `folder` data set of random images and labels at root; returns {name: (image, label)}."""
    pairs, names = {}, [f"images/{number}.png" for number in range(count)]
    for number, name in enumerate(names):
        label = np.random.RandomState(100 + number).randint(0, classes,
                                                            (height, width)).astype(np.uint8)
        label[0, 0] = 255
        pairs[f"images/{number}"] = random_image(number, height, width), label
        write_image(os.path.join(root, name), pairs[f"images/{number}"][0])
        write_image(os.path.join(root, name.replace("images", "labels")), label)
    write_lines(os.path.join(root, "train_images.txt"), names)
    write_lines(os.path.join(root, "train_labels.txt"),
                [name.replace("images", "labels") for name in names])
    write_lines(os.path.join(root, "classes.txt"),
                [f"{c} class{c} {c} 0 0" for c in range(classes)] + ["255 ignored"])
    return pairs


def children():
    """Process ids of this process's children."""
    found = set()
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as file:
            found |= {int(word) for word in file.read().split()}
    return found
