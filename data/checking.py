"""What is wrong with a split: every frame opened, every label counted."""
import collections
from dataclasses import dataclass, field

import numpy as np

from data.errors import InputError
from data.parallel import each_result
from data.record import SizesDiffer, UnknownIds
from data.skipping import read_skipped

COUNT, TWICE, UNREADABLE, SIZES, IDS = ("count differs from the published one", "listed twice",
                                        "unreadable file", "sizes differ",
                                        "label values out of range")


@dataclass
class SplitReport:
    """Findings about one split.

    listed: frames of the split before skip.txt; skipped: those it takes out; opened: frames looked
    at; published: the number that Record.published has, or None.
    problems: list of (kind, frame name or "", message). pixels: (C,) int64, of each class; images:
    (C,) int64, that contain it; sizes: {(H, W): images}. has_labels: whether the split comes with
    labels; labelled: whether they were opened.
    """

    split: str
    listed: int
    skipped: int
    opened: int
    published: int
    has_labels: bool
    labelled: bool
    classes: tuple
    problems: list = field(default_factory=list)
    sizes: collections.Counter = field(default_factory=collections.Counter)
    pixels: np.ndarray = None
    images: np.ndarray = None

    @property
    def shares(self):
        """(C,) float64: each class's share of the labelled pixels; nan without labels."""
        total = self.pixels.sum()
        return self.pixels / total if total else np.full(len(self.pixels), np.nan)


def check_split(data, split, labelled=True, workers=None, progress=iter):
    """The SplitReport of a split of a DataSet, opened on all cores.

    labelled: False opens images alone, as is done anyway in a split that comes without labels.
    progress: wraps the iterable of looked-at frames. Raises InputError only for what leaves nothing
    to look at: no such split, no frames in it, a damaged list.
    """
    skipped = read_skipped(data.folder)
    name = split.partition("[")[0]
    frames = data.frames(split)
    before = data.listed(name)
    has_labels = data.has_labels(name) and (frames[0].label is not None
                                            or data.record.read_pair is not None)
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
    found = each_result(lambda frame: look(data, frame, labelled), frames, workers)
    for problems, size, counts in progress(found):
        report.problems += problems
        if size:
            report.sizes[size] += 1
        if counts is not None:
            report.pixels += counts
            report.images += counts > 0
    return report


def look(data, frame, labelled=True):
    """(problems, size, counts) of one frame: [(kind, name, message)], (H, W) or None, pixels a
    class (C,) or None."""
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
        problems.append(
            (IDS if isinstance(error, UnknownIds) else UNREADABLE, frame.name, str(error)))
    if not any(kind == UNREADABLE for kind, _, _ in problems):
        try:
            data.check(frame)
        except SizesDiffer as error:
            problems.append((SIZES, frame.name, str(error)))
    return problems, size, counts
