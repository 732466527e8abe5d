"""From a score map to a label map of the image's or the label's own size."""
import cv2
import numpy as np


def upsample(plane, stride, image_size, size):
    """One class's scores at `size` (rows, columns) from its score map plane (h, w) float32.

    Bilinear with the centre of unit i at pixel stride * (i + 1/2) - 1/2, as the net's fixed
    Deconvolution does; at the border the nearest unit is held where the Deconvolution fades
    all classes alike, which leaves the class order as it is.  The map covers the image
    (image_size, rows and columns) and perhaps some rows and columns beyond, which are cut
    off before the scores are resized to `size` when that differs.
    """
    full = cv2.resize(plane, (plane.shape[1] * stride, plane.shape[0] * stride),
                      interpolation=cv2.INTER_LINEAR)
    full = full[:image_size[0], :image_size[1]]
    if tuple(size) != tuple(image_size):
        full = cv2.resize(full, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return full


def label_map(scores, stride, image_size, size=None):
    """(H, W) uint8: the class with the highest upsampled score, the first of equals.

    scores (C, h, w) float32, image_size and size as in `upsample`; size None: the image's.
    One full-size plane of scores is held at a time, never all classes.
    """
    size = image_size if size is None else size
    best = np.ascontiguousarray(upsample(scores[0], stride, image_size, size))
    winner = np.zeros(best.shape, np.uint8)
    for number in range(1, scores.shape[0]):
        plane = np.ascontiguousarray(upsample(scores[number], stride, image_size, size))
        higher = cv2.compare(plane, best, cv2.CMP_GT)
        cv2.max(plane, best, best)
        np.putmask(winner, higher, number)
    return winner
