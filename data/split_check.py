"""Checks a split: opens every frame, counts every label, reports everything that is wrong."""
import collections
from dataclasses import dataclass, field

import numpy as np

from data.dataset import SizesDiffer, UnknownIds
from data.errors import InputError
from data.frame_lists import read_skipped
from data.parallel import each_result

COUNT = "count differs from the published one"
TWICE = "listed twice"
UNREADABLE = "unreadable file"
SIZES = "sizes differ"
IDS = "label values out of range"


@dataclass
class SplitReport:
    """Findings about one split."""

    split: str
    listed: int                 # frames before skip.txt
    skipped: int                # frames that skip.txt names
    opened: int                 # frames that were checked
    published: int              # frames in the published data set; None: unknown
    has_labels: bool            # whether the split comes with labels
    labelled: bool              # whether they were opened
    classes: tuple
    problems: list = field(default_factory=list)    # (kind, frame name or "", message)
    sizes: collections.Counter = field(default_factory=collections.Counter)     # {(H, W): images}
    pixels: np.ndarray = None   # (C,) int64: of each class
    images: np.ndarray = None   # (C,) int64: that contain each class

    @property
    def shares(self):
        """(C,) float64: each class's share of the labelled pixels; nan without labels."""
        total = self.pixels.sum()
        return self.pixels / total if total else np.full(len(self.pixels), np.nan)


def check_split(data, split, labelled=True, workers=None, progress=iter):
    """The SplitReport of a split of a DataSet, made on all cores.

    labelled: False opens images alone; so does a split that comes without labels.  progress: wraps
    the iterable of findings, one a frame.  Raises InputError only where no frame can be checked: an
    unknown or empty split, a damaged list.
    """
    skipped = read_skipped(data.folder)
    name = split.partition("[")[0]
    frames = data.frames(split)
    before = data.listed(name)
    has_labels = data.has_labels(name) and (
        frames[0].label is not None or data.record.read_pair is not None)
    labelled = labelled and has_labels
    report = SplitReport(split, len(before), sum(frame.name in skipped for frame in before),
                         len(frames), data.record.published.get(name), has_labels, labelled,
                         data.space.classes)
    report.pixels, report.images = (np.zeros(len(data.space.classes), np.int64) for _ in range(2))
    if report.published not in (None, report.listed):
        report.problems.append((COUNT, "", f"{name} has {report.listed} frames; published are "
                                           f"{report.published}"))
    for twice, times in collections.Counter(frame.name for frame in before).items():
        if times > 1:
            report.problems.append((TWICE, twice, f"{twice} is listed {times} times"))
    found = each_result(lambda frame: check_frame(data, frame, labelled), frames, workers)
    for problems, size, counts in progress(found):
        report.problems += problems
        if size:
            report.sizes[size] += 1
        if counts is not None:
            report.pixels += counts
            report.images += counts > 0
    return report


def check_frame(data, frame, labelled=True):
    """(problems, size, counts) of one frame.

    problems: [(kind, name, message)].  size: (H, W) of the image.  counts: (C,) pixels of each
    class.  size and counts are None where the file could not be read.
    """
    problems, size, counts = [], None, None
    try:
        size = data.read_image(frame).shape[:2]
    except InputError as error:
        problems.append((UNREADABLE, frame.name, str(error)))
    if not labelled:
        return problems, size, counts
    try:
        counts = data.count_label(frame)
    except InputError as error:
        kind = IDS if isinstance(error, UnknownIds) else UNREADABLE
        problems.append((kind, frame.name, str(error)))
    if not any(kind == UNREADABLE for kind, _, _ in problems):
        try:
            data.check(frame)
        except SizesDiffer as error:
            problems.append((SIZES, frame.name, str(error)))
    return problems, size, counts
