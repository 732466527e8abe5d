"""Drawn label maps like Cityscapes' and flawed predictions of them, to score."""
import os

import cv2
import numpy as np

from data.dataset import DataSet, DatasetSpec, Frame
from data.label_spaces import CITYSCAPES, CITYSCAPES_IDS
from tools.lib.scoring.pictures import write_image

#: labelIds that may occur in a truth: every class and some that are ignored.
IDS = np.array(sorted(CITYSCAPES_IDS), np.uint8)


def draw_labels(seed, height=1024, width=2048, shapes=250):
    """(H, W) uint8 labelIds: bands of stuff under random polygons, about as many as in a street.

    shapes: number of polygons.
    """
    random = np.random.RandomState(seed)
    labels = np.full((height, width), 23, np.uint8)
    labels[height // 3:] = 11
    labels[height // 2:] = 7
    for _ in range(shapes):
        centre = random.rand(2) * (width, height)
        corners = centre + random.randn(7, 2) * random.gamma(1.0, width / 60.0)
        cv2.fillPoly(labels, [cv2.convexHull(corners.astype(np.int32))], int(random.choice(IDS)))
    return labels


def flawed(labels, seed):
    """A prediction of `labels` with moved borders and specks of other labelIds.

    About a tenth of the pixels are wrong.
    """
    random = np.random.RandomState(seed)
    moved = np.roll(labels, random.randint(-6, 7, 2), (0, 1))
    specks = cv2.resize(random.rand(*[-(-side // 16) for side in labels.shape]),
                        labels.shape[::-1]) < 0.15
    return np.where(specks, random.choice(IDS), moved).astype(np.uint8)


def write_sample(folder, count, **size):
    """Writes `count` truths and predictions as PNG in labelIds.

    Returns (DataSet, frames, folder of the predictions). size: keywords of draw_labels().
    """
    truths, predictions = os.path.join(folder, "truth"), os.path.join(folder, "predictions")
    frames = []
    for number in range(count):
        labels = draw_labels(number, **size)
        frame = Frame(f"frame_{number:04d}", label=os.path.join(truths, f"frame_{number:04d}.png"))
        write_image(frame.label, labels)
        write_image(os.path.join(predictions, frame.name + ".png"), flawed(labels, number))
        frames.append(frame)
    spec = DatasetSpec("sample", folder, (0, 0, 0), {"cityscapes": CITYSCAPES_IDS},
                       lambda *_: frames)
    return DataSet(spec, folder, CITYSCAPES, CITYSCAPES_IDS), frames, predictions
