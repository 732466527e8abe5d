"""Encoded images in LMDB: the format that data/lmdb_writer.py writes and data set `lmdb` reads.

    FOLDER/meta.json     what was packed, its classes and the frames' names, in order (Meta)
    FOLDER/images        LMDB of Caffe Datum: the image file's own bytes (PNG, JPEG), encoded = true
    FOLDER/labels        the same with the label as a grey PNG of train ids; absent without labels

In both, the key of frame n is n in eight digits.  The path FOLDER/images/00000012 stands for one
entry.
"""
import functools
import json
import os
from dataclasses import dataclass

import lmdb
import numpy as np

from data.errors import InputError
from data.files import require_utf8
from data.label_spaces import SPACES, LabelSpace
from data.params import boolean, check_params, integer, list_of, mapping, number, parse_object, text
from data.reading import read_bytes

META, IMAGES, LABELS = "meta.json", "images", "labels"
VERSION = 1
LARGEST_META = 1 << 26  # bytes; the names of 25,000 frames are 300,000


def key_of(index):
    """The key of frame number `index`: in eight digits LMDB's order is the list's."""
    return b"%08d" % index


@dataclass(frozen=True)
class Meta:
    """The content of meta.json."""

    dataset: str        # packed data set and split, as given on the command line
    split: str
    space: LabelSpace   # of the labels
    mean: tuple         # BGR
    names: tuple        # of the frames, in order
    labelled: bool      # whether there are labels
    complete: bool      # written and verified to the end

    def to_json(self):
        """The text of meta.json."""
        classes = [{"name": name, "colour": colour} for name, colour in
                   zip(self.space.classes, self.space.palette.tolist())]
        return json.dumps({
            "version": VERSION, "dataset": self.dataset, "split": self.split,
            "label_space": self.space.name, "classes": classes, "mean": list(self.mean),
            "labelled": self.labelled, "complete": self.complete, "names": list(self.names)},
            indent=1) + "\n"


def read_meta(folder):
    """The Meta of a folder.

    Raises InputError, naming file and key, for anything else than this format.
    """
    path = os.path.join(folder, META)
    if os.path.isfile(path) and os.path.getsize(path) > LARGEST_META:
        raise InputError(f"{path}: larger than {LARGEST_META} bytes")
    try:
        content = read_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None
    except InputError as error:
        raise InputError(error.what, "pack a data set: python3 tools/make_lmdb.py --dataset NAME "
                                     f"--split SPLIT --output {folder}") from None
    found = parse_object(path, content, {
        "version": integer(VERSION, VERSION), "dataset": text(), "split": text(),
        "label_space": text(), "classes": list_of(mapping()), "mean": list_of(number(0, 255), 3),
        "labelled": boolean(), "complete": boolean(), "names": list_of(text())}, {})
    rows = [check_params(f"{path}: class {index}", row,
                         {"name": text(), "colour": list_of(integer(0, 255), 3)}, {})
            for index, row in enumerate(found["classes"])]
    names = tuple(row["name"] for row in rows)
    if not 1 <= len(names) <= 250 or len(set(names)) < len(names):
        raise InputError(f"{path}: {len(names)} classes with {len(set(names))} names; 1 to 250 "
                         "different ones are expected")
    space = SPACES.get(found["label_space"])
    if space is None:
        space = LabelSpace(found["label_space"], names,
                           np.array([row["colour"] for row in rows], np.uint8))
    elif space.classes != names:
        raise InputError(f"{path}: the classes are not those of label space {space.name}",
                         "pack it again")
    return Meta(found["dataset"], found["split"], space, tuple(found["mean"]),
                tuple(found["names"]), found["labelled"], found["complete"])


def read_entry(path):
    """The encoded bytes of FOLDER/images/KEY or FOLDER/labels/KEY.

    The database stays open, read-only and without a lock file, until this process forks: LMDB must
    not be used on both sides of a fork.  Raises InputError naming the path.
    """
    from caffe.proto import caffe_pb2  # only here: reading from folders does not need Caffe
    from google.protobuf.message import DecodeError

    place, key = os.path.split(path)
    try:
        with _opened(place).begin(buffers=True) as transaction:
            value = transaction.get(key.encode())
            if value is None:
                raise InputError(f"{path}: no such entry")
            datum = caffe_pb2.Datum.FromString(bytes(value))
    except lmdb.Error as error:
        raise InputError(f"{path}: {error}") from None
    except DecodeError:
        raise InputError(f"{path}: not a Caffe Datum") from None
    if not datum.encoded or not datum.data:
        raise InputError(f"{path}: a Datum without an encoded image")
    return datum.data


def datum_of(encoded, shape):
    """Serialised Datum of the bytes of an image file with pixels of `shape` (H, W) or (H, W, 3)."""
    from caffe.proto import caffe_pb2

    return caffe_pb2.Datum(encoded=True, data=encoded, height=shape[0], width=shape[1],
                           channels=shape[2] if len(shape) == 3 else 1).SerializeToString()


@functools.lru_cache(maxsize=None)
def _opened(place):
    require_utf8(place, "LMDB")
    # Values are read whole, many pages each: the kernel's read-ahead helps them.
    environment = lmdb.open(place, readonly=True, lock=False, create=False, readahead=True)
    pages = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    # reading beyond the end of a truncated file would kill the process with a bus error
    if os.path.getsize(os.path.join(place, "data.mdb")) < pages:
        environment.close()
        raise InputError(f"{os.path.join(place, 'data.mdb')}: truncated, {pages} bytes are "
                         "expected", "pack it again")
    _environments.append(environment)
    return environment


_environments = []


def close_all():
    """Closes this process's databases; the next read opens them again."""
    while _environments:
        _environments.pop().close()
    _opened.cache_clear()


os.register_at_fork(before=close_all)
