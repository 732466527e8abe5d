"""A data set is a record: where its frames are, how its ids map to classes, and how its files are
read."""
import os
from dataclasses import dataclass, field, replace
from typing import Callable, Optional

import cv2
import numpy as np

from data import reading
from data.counting import count_windows, even_grid
from data.errors import InputError
from data.label_spaces import LabelSpace
from data.lists import slice_split
from data.skipping import without_skipped


class SizesDiffer(InputError):
    """An image and its label have different sizes."""


class UnknownIds(InputError):
    """A label holds ids that the data set's table lacks."""


_OUTSIDE = 254  # marks stored ids that the label map does not know; no label space is that large


@dataclass(frozen=True)
class Frame:
    """One image and its label: paths, or None where the data set draws them (toy) or there is no
    label.

    line: where the frame was listed ("train.txt:12"), or "".
    """

    name: str
    image: Optional[str] = None
    label: Optional[str] = None
    line: str = ""

    def __str__(self):
        return f"{self.line}: {self.name}" if self.line else self.name


@dataclass(frozen=True)
class Record:
    """What is particular to a data set. One module in data/records/ holds one or more of them.

    name, folder: its name, and its folder below the data root.
    mean:         BGR, 0..255, to subtract from images.
    tables:       {label space name: {stored id: train id or 255}}; the first is the default. A stored id that the table
                  lacks is an error.
    list_frames:  (folder, split name, options) -> list of Frame.
    splits:       names of the usual splits.
    unlabelled:   those of them that come without labels: targets.
    whole:        the splits that show every frame once, where `splits` shows some twice or may name what is not there.
    options:      {option: default} of a data set that has variants.
    other_splits: (folder, options) -> [(split name, options)] that the folder may have beside the
    usual splits of these options.
    published:    {split name: how many frames it is published with}, where that is known.
    read_bytes:   path -> bytes, for a data set whose encoded images are not files. Their pairs have one size already.
    read_image, read_pair: frame -> image, (image, label), for a data set that is drawn instead of
    read from files.
    open_space:   (folder, options) -> (LabelSpace, table, mean), for a data set that brings its own class table.
    """

    name: str
    folder: str
    mean: tuple
    tables: dict
    list_frames: Callable
    splits: tuple = ()
    unlabelled: tuple = ()
    whole: tuple = ()
    options: dict = field(default_factory=dict)
    other_splits: Callable = lambda folder, options: []
    published: dict = field(default_factory=dict)
    read_bytes: Optional[Callable] = None
    read_image: Optional[Callable] = None
    read_pair: Optional[Callable] = None
    open_space: Optional[Callable] = None


class DataSet:
    """An opened record: its folder, label space and options are chosen. data.registry.open_dataset
    makes one.

    .name, .folder, .space (LabelSpace), .table ({stored id: train id or 255}), .mean (3 floats,
    BGR), .record, .options
    """

    def __init__(self, record: Record, folder: str, space: LabelSpace, table: dict, mean=None,
                 options=None):
        self.name = record.name
        self.folder = folder
        self.space = space
        self.mean = tuple(float(value) for value in (record.mean if mean is None else mean))
        self.record = record
        self.options = dict(options or {})
        self.table = table
        self._train_ids = _lookup(table)
        self._stored_bins = _bins(self._train_ids, len(space.classes))
        self._mapped_bins = _bins(np.arange(256), len(space.classes))

    def frames(self, split):
        """The frames of a split, which may carry a slice: "train[:54]". Raises InputError if there
        are none.

        Frames that the folder's skip.txt names are left out before the slice is taken, and stderr
        says how many.
        """
        name, part = slice_split(split)
        listed = without_skipped(self.listed(name), self.folder, name)
        frames = listed[part]
        if not frames:
            raise InputError(f"{self.name}: split {split!r} has no frames ({len(listed)} before "
                             "the slice)")
        return frames

    def listed(self, name):
        """All frames of a split without a slice, those that skip.txt names included. Raises
        InputError for an unknown one."""
        try:
            return self.record.list_frames(self.folder, name, self.options)
        except InputError as error:
            drawn_or_anywhere = self.record.read_image is not None or "path" in self.record.options
            if not drawn_or_anywhere and not os.path.isdir(self.folder):
                error = InputError(f"{self.folder}: no such folder, where the data set {self.name} "
                                   "is expected",
                                   "docs/datasets.md says where it is obtained; --data-root or "
                                   "DATA_ROOT, the folder "
                                   "around it")
            elif error.fix is None and name not in self.record.splits:
                error = InputError(error.what, f"the usual splits of {self.name} are "
                                               f"{', '.join(self.record.splits)}")
            raise error from None

    def has_labels(self, split):
        """Whether a split, its slice or a part of it such as test/berlin comes with labels, as far
        as the record knows."""
        return slice_split(split)[0].partition("/")[0] not in self.record.unlabelled

    def read_image(self, frame):
        """(H, W, 3) uint8, BGR. Raises InputError naming the file and its line."""
        with _naming(frame):
            return self.record.read_image(frame) if self.record.read_image else self._image_of(
                frame)

    def read_label(self, frame):
        """(H, W) uint8 train ids, 255 ignored. Raises InputError naming the file, its line and the
        offending ids."""
        with _naming(frame):
            if self.record.read_pair is not None:
                return self.record.read_pair(frame)[1]
            return self._label_of(frame)

    def read_ids(self, frame):
        """(H, W) uint8 or uint16: the ids in the label's file, before the label map. Raises
        InputError as read_label."""
        with _naming(frame):
            path = _label_path(frame)
            return reading.decode_ids(path, self._bytes(path))

    def count_label(self, frame):
        """(C,) int64: the pixels of each class in read_label(frame), found faster. Raises
        InputError as it does."""
        return self._counts(frame)[0]

    def count_windows(self, frame, window):
        """(windows, C) int64: as count_label, in each of the label's even_windows of `window`
        (height, width) pixels."""
        return self._counts(frame, window)

    def read_pair(self, frame):
        """(image, label) as read_image and read_label give them. Raises InputError if their sizes
        differ."""
        with _naming(frame):
            if self.record.read_pair is not None:
                return self.record.read_pair(frame)
            image, label = self._image_of(frame), self._label_of(frame)
            _same_size(frame, image.shape[:2], label.shape)
            return image, label

    def encoded_image(self, frame):
        """The bytes of the frame's image file, or None where the image is drawn."""
        return None if self.record.read_image else self._bytes(frame.image)

    def check(self, frame, labelled=True):
        """What can be known without decoding: the files exist and have the same size. InputError
        otherwise.

        With labelled=False the label is not looked at, not even for its existence.
        """
        if self.record.read_pair is not None:
            return
        with _naming(frame):
            label = _label_path(frame) if labelled else None
            if self.record.read_bytes is not None:
                return  # its pairs were compared when they were written
            if not labelled:
                if not os.path.isfile(frame.image):
                    raise InputError(f"{frame.image}: no such file")
                return
            _same_size(frame, reading.image_size(frame.image), reading.image_size(label))

    def _bytes(self, path):
        return (self.record.read_bytes or reading.read_bytes)(path)

    def _image_of(self, frame):
        return reading.decode_image(frame.image, self._bytes(frame.image))

    def _counts(self, frame, window=None):
        """(windows, C) int64; without a window the whole label is one."""
        classes = len(self.space.classes)
        with _naming(frame):
            ids, bins = self._countable(frame)
            whole, counts = count_windows(ids, even_grid(ids.shape, tuple(window or ids.shape)),
                                          bins, classes + 2)
            if whole[classes + 1]:
                self._label_of(frame)  # says which
            return counts[:, :classes]

    def _countable(self, frame):
        """(ids, bins): (H, W) uint8 and what each id counts as, so that only what is counted need
        be mapped."""
        if self.record.read_pair is not None:
            return self.record.read_pair(frame)[1], self._mapped_bins
        ids = self.read_ids(frame)
        return (ids, self._stored_bins) if ids.dtype == np.uint8 else (self._label_of(frame),
                                                                       self._mapped_bins)

    def _label_of(self, frame):
        ids = self.read_ids(frame)
        # No table reaches beyond 255, so that the fast 8-bit lookup does for 16-bit labels too.
        label = cv2.LUT(ids if ids.dtype == np.uint8 else np.minimum(ids, 255).astype(np.uint8),
                        self._train_ids)
        outside = label == _OUTSIDE if ids.dtype == np.uint8 else (label == _OUTSIDE) | (ids > 255)
        if outside.any():
            unknown = np.unique(ids[outside])
            raise UnknownIds("%s: label value%s %s outside the %s table of %s" %
                             (frame.label, "s" if len(unknown) > 1 else "", ", ".join(
                                 map(str, unknown[:8])), self.space.name, self.name))
        return label


def unlabelled(frames):
    """The same frames without their labels: what a target's frames become before anything else sees
    them."""
    return [replace(frame, label=None) for frame in frames]


class _naming:
    """Puts a frame's list file and line in front of an InputError raised inside."""

    def __init__(self, frame):
        self.frame = frame

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(
                error,
                InputError) and self.frame.line and not error.what.startswith(self.frame.line):
            raise type(error)(f"{self.frame.line}: {error.what}", error.fix) from None
        return False


def _label_path(frame):
    if frame.label is None:
        raise InputError(f"{frame.name} has no label")
    return frame.label


def _same_size(frame, image, label):
    if tuple(image) != tuple(label):
        raise SizesDiffer(f"{frame.image} is {image[0]} x {image[1]} (height x width) but its "
                          f"label {frame.label} is {label[0]} x {label[1]}")


def _lookup(table):
    """uint8 array of train ids: 256 entries for cv2.LUT, stored ids that the table lacks marked."""
    train_ids = np.full(256, _OUTSIDE, np.uint8)
    for stored, train in table.items():
        train_ids[stored] = train
    return train_ids


def _bins(train_ids, classes):
    """(256,) intp: classes as they are, `classes` for what is ignored and classes + 1 for what the
    label map does not know.

    Few bins are counted faster than 256.
    """
    return np.minimum(train_ids, classes).astype(np.intp) + (train_ids == _OUTSIDE)
