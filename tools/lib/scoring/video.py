"""Reads a video, paints every frame and writes the frames to a new video."""
import os
from statistics import median

import cv2

from data.errors import InputError
from data.file_kinds import BYTES, kind_of
from data.files import require_utf8, write_aside
from data.progress import progress_bar

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")

#: The largest numerator of a frame rate in MPEG-4, whose time base has 16 bits.
_LARGEST_RATE = 65535
#: Containers that store a duration instead of a number of frames, as file_kinds calls them.
_WITHOUT_COUNT = ("a Matroska or WebM video", "an MPEG video")


def is_video(path):
    """True when the path has the ending of a video."""
    return path.lower().endswith(VIDEOS)


class VideoReader:
    """Iterates over the frames (H, W, 3) uint8 BGR of a video, upright; counts them.

    count: the container's number of frames; 0 when it has none.  rate: frames a second.  read:
    frames that could be read so far.  Raises InputError when OpenCV cannot open the file.
    """

    def __init__(self, path):
        with _opened(path) as file:
            self._kind = kind_of(file.read(BYTES))
        require_utf8(path, "OpenCV")
        # whole: a name such as concat:a.avi is no address then
        self._capture = cv2.VideoCapture(os.path.abspath(path))
        if not self._capture.isOpened():
            videos = (None, *_WITHOUT_COUNT, "an AVI video", "an MP4 or QuickTime video")
            found = "" if self._kind in videos else f"{self._kind}, "
            raise InputError(f"{path}: {found}not a video that OpenCV can read")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.count = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.rate = rate if 0 < rate < 1000 else 25.0
        self._times = []  # of the frames, in milliseconds

    @property
    def read(self):
        return len(self._times)

    def __iter__(self):
        try:
            done, image = self._capture.read()
            while done:
                self._times.append(self._capture.get(cv2.CAP_PROP_POS_MSEC))
                yield image
                done, image = self._capture.read()
        finally:
            self._capture.release()

    def expected(self):
        """The number of frames that a whole file of this kind would have had; after the last."""
        if self._kind not in _WITHOUT_COUNT:
            return self.count
        return expected_frames(self.count, self.rate, self._times)


def expected_frames(count, rate, times):
    """How many frames a video has whose container stores a duration and no number of frames.

    count: the duration (the longest of pictures and sound) times `rate`, frames a second; times:
    milliseconds of the frames that could be read.  Where most frames follow at equal intervals, a
    longer interval means missing frames; elsewhere it means nothing.  Sound may go on for half a
    second (a tenth in short videos) after the last frame.
    """
    frames = len(times)
    gaps = [(later - earlier) * rate / 1000 for earlier, later in zip(times, times[1:])]
    if not gaps:
        return count
    reached = 1 + sum(gaps)
    if count - reached > max(2, min(rate / 2, count / 10)):
        return count
    even = abs(median(gaps) - 1) < 0.3 and sum(abs(gap - 1) < 0.3 for gap in gaps) > 0.7 * len(gaps)
    return max(frames, round(reached)) if even else frames


def paint_video(source, target, paint):
    """Writes `target` (.mp4): paint(frame) for every frame of the video `source`, without sound.

    paint: (H, W, 3) uint8 BGR -> a picture of the same size for every frame.  The file appears
    whole or not at all.  Raises InputError when no frame can be read or written, and, after
    `target` has been written with the frames that could be read, when some could not.
    """
    require_utf8(target, "OpenCV")
    frames, writer = VideoReader(source), None
    with write_aside(target) as aside:
        try:
            for image in progress_bar(frames, total=frames.count or None, unit="frame",
                                      desc=os.path.basename(source)):
                painted = paint(image)
                # the encoder requires even sides
                picture = painted[:painted.shape[0] // 2 * 2, :painted.shape[1] // 2 * 2]
                if not picture.size:
                    raise InputError(f"{source}: frames of {painted.shape[1]} x {painted.shape[0]} "
                                     "pixels; the encoder takes 2 x 2 and more")
                if writer is None:
                    writer = cv2.VideoWriter(
                        os.path.abspath(aside), cv2.VideoWriter_fourcc(*"mp4v"),
                        writable_rate(frames.rate), picture.shape[1::-1])
                    if not writer.isOpened():
                        raise InputError(f"cannot write {target}: OpenCV has no encoder for "
                                         f"{picture.shape[1]} x {picture.shape[0]} pixels at "
                                         f"{frames.rate:g} frames a second")
                writer.write(picture)
        finally:
            if writer is not None:
                writer.release()
        if writer is None:
            raise InputError(f"{source}: no frame could be read"
                             + (f" of {frames.count}" if frames.count else ""))
    expected = frames.expected()
    if frames.read < expected:
        raise InputError(f"{source}: {frames.read} of {expected} frames could be read; the file is "
                         f"truncated or damaged; {target} holds what could be read",
                         "copy or download the video again")


def writable_rate(rate):
    """`rate`, frames a second, rounded to as few digits as MPEG-4's time base takes: at most three.

    OpenCV writes a rate as a whole number over a power of ten.
    """
    for digits in (3, 2, 1, 0):
        if round(rate * 10 ** digits) <= _LARGEST_RATE:
            return max(round(rate, digits), 0.01)
    return float(_LARGEST_RATE)


def _opened(path):
    try:
        return open(path, "rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
