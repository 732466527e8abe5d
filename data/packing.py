"""Writes a split as LMDB (format: data/packed.py), so that it can be stopped and gone on with."""
import os
from dataclasses import replace

import cv2
import lmdb
import numpy as np

from data import packed, reading
from data.errors import InputError
from data.lists import refuse_repeats
from data.parallel import each_result
from data.record import unlabelled

BATCH = 64  # frames a transaction: what an interruption costs at most
_FIRST_MAP = 1 << 26  # bytes; doubled as often as it is full


def pack(data, name, split, folder, labelled=True, workers=None,
         progress=lambda items, what, total: items):
    """Packs a split of a DataSet into `folder`, or goes on where an earlier call stopped; returns
    packed.Meta.

    name, split: as the user gave them, recorded. labelled: False packs images alone. progress:
    wraps an iterable, with what is done and the number of items. Every pair is decoded before it is
    written, and all are compared with the originals at the end. Raises InputError for a folder that
    holds something else, and for bad frames.
    """
    frames = data.frames(split)
    refuse_repeats(((frame.name, str(frame)) for frame in frames), "list each frame once")
    labelled = labelled and (frames[0].label is not None or data.record.read_pair is not None)
    if not labelled:
        frames = unlabelled(frames)
    meta = packed.Meta(name, split, data.space, data.mean, tuple(frame.name for frame in frames),
                       labelled, False)
    _begin_or_go_on(folder, meta)
    places = [
        os.path.join(folder, part)
        for part in ((packed.IMAGES, packed.LABELS) if labelled else (packed.IMAGES, ))
    ]
    environments = [_open(place) for place in places]
    try:
        done = min(_entries(environment) for environment in environments)
        encoded = each_result(lambda frame: encode(data, frame, labelled), frames[done:], workers)
        batch = []
        for index, values in enumerate(progress(encoded, "packing", len(frames) - done), done):
            batch.append((packed.key_of(index), values))
            if len(batch) == BATCH:
                _write(environments, batch, places)
                batch = []
        _write(environments, batch, places)
    finally:
        for environment in environments:
            environment.close()
    try:
        verify(data, frames, folder, meta, workers, progress)
    finally:
        packed.close_all()
    meta = replace(meta, complete=True)
    _write_meta(folder, meta)
    return meta


def encode(data, frame, labelled):
    """[image Datum, label Datum] of a frame, serialised. The image keeps its file's bytes, so that
    nothing is lost.

    Raises InputError for files that cannot be read, and for a pair of different sizes."""
    if labelled:
        image, label = data.read_pair(frame)
    else:
        image, label = data.read_image(frame), None
    stored = data.encoded_image(frame)
    values = [packed.datum_of(_png(image) if stored is None else stored, image.shape)]
    return values if label is None else values + [packed.datum_of(_png(label), label.shape)]


def verify(data, frames, folder, meta, workers=None, progress=lambda items, what, total: items):
    """Raises InputError unless every frame read from the LMDB equals the original, pixel for pixel,
    and nothing else is there."""
    for part in (packed.IMAGES, packed.LABELS)[:1 + meta.labelled]:
        environment = _open(os.path.join(folder, part))
        try:
            entries = _entries(environment)
        finally:
            environment.close()
        if entries != len(frames):
            raise InputError(f"{os.path.join(folder, part)}: {entries} entries; expected "
                             f"{len(frames)}", _AGAIN % folder)
    numbered = list(enumerate(frames))
    for index, same in enumerate(
            progress(
                each_result(lambda pair: _equal(data, pair[1], folder, pair[0], meta), numbered,
                            workers), "verifying", len(frames))):
        if not same:
            raise InputError(f"{folder}: entry {index} differs from {frames[index].name}",
                             _AGAIN % folder)


_MAKE_ROOM = "make room and run the same command again: it goes on where it stopped"
_AGAIN = "the data set or the LMDB changed; remove %s and pack it again"


def _equal(data, frame, folder, index, meta):
    key = packed.key_of(index).decode()
    def entry(part, decode):
        path = os.path.join(folder, part, key)
        return decode(path, packed.read_entry(path))
    image = entry(packed.IMAGES, reading.decode_image)
    if not meta.labelled:
        return np.array_equal(image, data.read_image(frame))
    originals = data.read_pair(frame)
    return np.array_equal(image, originals[0]) and np.array_equal(
        entry(packed.LABELS, reading.decode_ids), originals[1])


def _begin_or_go_on(folder, meta):
    """Writes meta.json into a new folder, or makes sure that the one there is of the same
    packing."""
    if os.path.exists(os.path.join(folder, packed.META)):
        found = packed.read_meta(folder)
        for field in ("dataset", "split", "labelled", "names", "mean"):
            if getattr(found, field) != getattr(meta, field):
                shown = "" if field == "names" else f": {getattr(found, field)!r} there, {getattr(meta, field)!r} now"
                raise InputError(f"{folder} holds another packing; its {field} differ{shown}",
                                 "name another folder")
        if found.space.name != meta.space.name or found.space.classes != meta.space.classes:
            raise InputError(
                f"{folder} holds another packing; its labels are of {found.space.name}",
                "name another folder")
        return
    if os.path.isdir(folder) and os.listdir(folder):
        raise InputError(f"{folder} is not empty and not an LMDB packing", "name another folder")
    _write_meta(folder, meta)


def _write_meta(folder, meta):
    """Writes meta.json whole or not at all; the folder is made when missing."""
    path = os.path.join(folder, packed.META)
    try:
        os.makedirs(folder, exist_ok=True)
        with open(path + ".part", "w", encoding="utf-8") as file:
            file.write(meta.to_json())
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".part", path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})", _MAKE_ROOM) from None


def _open(place):
    packed.close_all()  # LMDB opens a database once a process
    try:
        os.makedirs(place, exist_ok=True)
        size = os.path.getsize(os.path.join(place, "data.mdb")) if os.path.exists(
            os.path.join(place, "data.mdb")) else 0
        return lmdb.open(place, map_size=max(_FIRST_MAP, size))
    except (lmdb.Error, OSError) as error:
        raise InputError(f"{place}: {error}") from None


def _entries(environment):
    return environment.stat()["entries"]


def _write(environments, batch, places):
    """Puts [(key, one value a database)] into each database, a transaction a database."""
    for part, environment in enumerate(environments):
        while True:
            try:
                with environment.begin(write=True) as transaction:
                    for key, values in batch:
                        transaction.put(key, values[part])
                break
            except lmdb.MapFullError:
                environment.set_mapsize(2 * environment.info()["map_size"])
            except lmdb.Error as error:
                raise InputError(f"{places[part]}: cannot be written ({error})",
                                 _MAKE_ROOM) from None


def _png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()
