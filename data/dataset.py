"""Data sets: DatasetSpec describes one, DataSet is an opened one.

A DatasetSpec, the data set's record, holds the place of the frames, the map from stored ids to
classes, and the way in which files are read.  data/records/ holds one module a data set;
data/registry.py opens them by name.
"""
import os
from dataclasses import dataclass, field, replace
from typing import Callable, Optional

import cv2
import numpy as np

from data import reading
from data.counting import count_windows, even_grid
from data.errors import InputError
from data.frame_lists import slice_split, without_skipped
from data.label_spaces import LabelSpace


class SizesDiffer(InputError):
    """An image and its label have different sizes."""


class UnknownIds(InputError):
    """A label holds ids that the data set's table lacks."""


_OUTSIDE = 254  # marks stored ids that the label map lacks; no label space is that large


@dataclass(frozen=True)
class Frame:
    """One image and its label, by their paths."""

    name: str                       # unique in its split; predictions are stored under it
    image: Optional[str] = None     # None where the data set draws its images (toy)
    label: Optional[str] = None     # None where they are drawn, and where there is no label
    line: str = ""                  # where the frame was listed: "train.txt:12"

    def __str__(self):
        return f"{self.line}: {self.name}" if self.line else self.name


def _no_splits(folder, options):
    return []


@dataclass(frozen=True)
class DatasetSpec:
    """The record of a data set: all that distinguishes it from others.

    name, folder: its name, and its folder below the data root.
    mean:         BGR, 0..255, to subtract from images.
    tables:       {label space name: {stored id: train id or 255}}; the first is the default.  A
                  stored id that the table lacks is an error.
    list_frames:  (folder, split name, options) -> list of Frame.
    splits:       names of the usual splits.
    unlabelled:   the usual splits without labels, which serve as targets.
    whole:        splits that together hold every frame once; empty where `splits` do.
    options:      {option: default} of a data set that has variants.
    other_splits: (folder, options) -> [(split name, options)] that the folder may have beside the
                  usual splits.
    published:    {split name: number of frames in the published data set}, where it is known.
    read_bytes:   path -> bytes of an encoded image, for a data set whose images are not files.
                  Its images and labels have one size already.
    read_image:   frame -> image, for a data set that is drawn instead of read from files.
    read_pair:    frame -> (image, label), likewise.
    open_space:   (folder, options) -> (LabelSpace, table, mean), for a data set with a class table
                  of its own.
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
    other_splits: Callable = _no_splits
    published: dict = field(default_factory=dict)
    read_bytes: Optional[Callable] = None
    read_image: Optional[Callable] = None
    read_pair: Optional[Callable] = None
    open_space: Optional[Callable] = None


class DataSet:
    """An opened data set: record, folder, label space and options.  open_dataset makes one.

    Attributes: name, folder, space (LabelSpace), table ({stored id: train id or 255}), mean (3
    floats, BGR), record (DatasetSpec), options ({name: value}).
    """

    def __init__(self, record: DatasetSpec, folder: str, space: LabelSpace, table: dict, mean=None,
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
        """The frames of a split, which may carry a slice: "train[:54]".

        Frames that the folder's skip.txt names are removed before the slice is taken; their number
        is written to stderr.  Raises InputError if no frame is left.
        """
        name, part = slice_split(split)
        listed = without_skipped(self.listed(name), self.folder, name)
        frames = listed[part]
        if not frames:
            raise InputError(f"{self.name}: split {split!r} has no frames ({len(listed)} before "
                             "the slice)")
        return frames

    def listed(self, name):
        """All frames of a split without a slice, those that skip.txt names included.

        Raises InputError for an unknown split and for a data set whose folder is missing.
        """
        try:
            return self.record.list_frames(self.folder, name, self.options)
        except InputError as error:
            raise self._explained(error, name) from None

    def _explained(self, error, split):
        """The InputError of list_frames with the repair that a reader needs."""
        drawn_or_anywhere = self.record.read_image is not None or "path" in self.record.options
        if not drawn_or_anywhere and not os.path.isdir(self.folder):
            return InputError(
                f"{self.folder}: no such folder; the data set {self.name} is expected there",
                "docs/datasets.md says where to get the data set; --data-root or DATA_ROOT names "
                "the folder around it")
        if error.fix is None and split not in self.record.splits:
            return InputError(error.what, f"the usual splits of {self.name} are "
                                          f"{', '.join(self.record.splits)}")
        return error

    def has_labels(self, split):
        """Whether a split, a slice of it or a part such as test/berlin comes with labels.

        Reads the record alone, not the disk.
        """
        return slice_split(split)[0].partition("/")[0] not in self.record.unlabelled

    def read_image(self, frame):
        """(H, W, 3) uint8, BGR. Raises InputError naming the file and its line."""
        with _naming(frame):
            return (self.record.read_image or self._image_of)(frame)

    def read_label(self, frame):
        """(H, W) uint8 train ids, 255 ignored.

        Raises InputError naming the file, its line and ids that the table lacks.
        """
        with _naming(frame):
            if self.record.read_pair is not None:
                return self.record.read_pair(frame)[1]
            return self._label_of(frame)

    def read_ids(self, frame):
        """(H, W) uint8 or uint16: the ids in the label's file, before the label map.

        Raises InputError as read_label does, except for ids that the table lacks.
        """
        with _naming(frame):
            path = _label_path(frame)
            return reading.decode_ids(path, self._bytes(path))

    def count_label(self, frame):
        """(C,) int64: pixels of each class in the label, without mapping it first.

        Raises InputError as read_label does.
        """
        return self._counts(frame)[0]

    def count_windows(self, frame, window):
        """(windows, C) int64: count_label in each of the label's even_windows.

        window: (height, width) in pixels.
        """
        return self._counts(frame, window)

    def read_pair(self, frame):
        """(image, label) as read_image and read_label return them.

        Raises InputError if their sizes differ.
        """
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
        """Raises InputError unless both files exist and have one size; nothing is decoded.

        labelled: False checks the image alone; the label need not exist.
        """
        if self.record.read_pair is not None:
            return
        with _naming(frame):
            label = _label_path(frame) if labelled else None
            if self.record.read_bytes is not None:
                return  # sizes were compared when the pairs were packed
            if not labelled:
                if not os.path.isfile(frame.image):
                    raise InputError(f"{frame.image}: no such file")
                return
            _same_size(frame, reading.image_size(frame.image), reading.label_size(label))

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
                self._label_of(frame)  # raises UnknownIds with the ids
            return counts[:, :classes]

    def _countable(self, frame):
        """(ids (H, W) uint8, bins (256,)): the label as it is stored, and the bin of each id.

        The bins are mapped instead of the pixels.
        """
        if self.record.read_pair is not None:
            return self.record.read_pair(frame)[1], self._mapped_bins
        ids = self.read_ids(frame)
        if ids.dtype == np.uint8:
            return ids, self._stored_bins
        return self._label_of(frame), self._mapped_bins

    def _label_of(self, frame):
        ids = self.read_ids(frame)
        # No table reaches beyond 255, so the fast 8-bit lookup serves 16-bit labels too.
        label = cv2.LUT(ids if ids.dtype == np.uint8 else np.minimum(ids, 255).astype(np.uint8),
                        self._train_ids)
        outside = label == _OUTSIDE if ids.dtype == np.uint8 else (label == _OUTSIDE) | (ids > 255)
        if outside.any():
            unknown = np.unique(ids[outside])
            values = "label values" if len(unknown) > 1 else "label value"
            raise UnknownIds(f"{frame.label}: {values} {', '.join(map(str, unknown[:8]))} outside "
                             f"the {self.space.name} table of {self.name}")
        return label


def unlabelled(frames):
    """The frames without their labels' paths, so that no label of a target can be opened."""
    return [replace(frame, label=None) for frame in frames]


class _naming:
    """Puts a frame's list file and line in front of an InputError raised inside."""

    def __init__(self, frame):
        self.frame = frame

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        line = self.frame.line
        if isinstance(error, InputError) and line and not error.what.startswith(line):
            raise type(error)(f"{line}: {error.what}", error.fix) from None
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
    """(256,) uint8 for cv2.LUT: the train id of each stored id, _OUTSIDE where there is none."""
    train_ids = np.full(256, _OUTSIDE, np.uint8)
    for stored, train in table.items():
        train_ids[stored] = train
    return train_ids


def _bins(train_ids, classes):
    """(256,) intp: the bin of each id: its class, `classes` if ignored, classes + 1 if unknown.

    A few bins are counted faster than 256.
    """
    return np.minimum(train_ids, classes).astype(np.intp) + (train_ids == _OUTSIDE)
