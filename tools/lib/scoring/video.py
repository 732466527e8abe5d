"""Reads videos, paints every frame and writes them again."""
import os

import cv2
from tqdm import tqdm

from data.errors import InputError
from data.files import write_aside

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")


def is_video(path):
    """True when the path has the ending of a video."""
    return path.lower().endswith(VIDEOS)


def frames_of(path):
    """(number of frames, frames a second, iterator over frames (H, W, 3) uint8 BGR).

    The number is the file's own and may be wrong; 0 when the file has none.  Raises InputError when
    OpenCV cannot open the file.
    """
    capture = cv2.VideoCapture(path)
    if not capture.isOpened():
        raise InputError(f"{path}: not a video that OpenCV can read")
    count, rate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)

    def walk():
        try:
            done, image = capture.read()
            while done:
                yield image
                done, image = capture.read()
        finally:
            capture.release()
    return max(0, count), rate if 0 < rate < 1000 else 25.0, walk()


def paint_video(source, target, paint):
    """Writes `target` (.mp4): paint(frame) for every frame of the video `source`, without sound.

    paint: (H, W, 3) uint8 BGR -> a picture of the same size for every frame.  The file appears
    whole or not at all.  Raises InputError when no frame can be read or written.
    """
    count, rate, frames = frames_of(source)
    writer = None
    with write_aside(target) as aside:
        try:
            for image in tqdm(frames, total=count or None, unit="frame",
                              desc=os.path.basename(source), disable=None, leave=False):
                picture = paint(image)
                # the encoder requires even sides
                picture = picture[:picture.shape[0] // 2 * 2, :picture.shape[1] // 2 * 2]
                if writer is None:
                    writer = cv2.VideoWriter(aside, cv2.VideoWriter_fourcc(*"mp4v"), rate,
                                             picture.shape[1::-1])
                    if not writer.isOpened():
                        raise InputError(f"cannot write {target}: OpenCV has no encoder for it")
                writer.write(picture)
        finally:
            if writer is not None:
                writer.release()
        if writer is None:
            raise InputError(f"{source}: no frame could be read")
