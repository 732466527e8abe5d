"""Packs a split into LMDB (data/lmdb_format.py); an interrupted packing can be continued."""
import os
from dataclasses import replace

import cv2
import lmdb
import numpy as np

from data import lmdb_format, reading
from data.dataset import unlabelled
from data.errors import InputError
from data.files import require_utf8, write_whole
from data.frame_lists import refuse_repeats
from data.parallel import each_result

BATCH = 64  # frames a transaction, the most that an interruption loses
_FIRST_MAP = 1 << 26  # bytes; doubled whenever it is full


def pack(data, name, split, folder, labelled=True, workers=None,
         progress=lambda items, what, total: items):
    """Packs a split of a DataSet into `folder`, or continues an earlier call; returns the Meta.

    name, split: recorded as the user gave them.  labelled: False packs images alone.  progress:
    (iterable, words for the step, number of items) -> iterable.  Every pair is decoded before it is
    written, and all are compared with the originals at the end.  Raises InputError for a folder
    that holds something else, and for bad frames.
    """
    require_utf8(folder, "LMDB")
    frames = data.frames(split)
    refuse_repeats(((frame.name, str(frame)) for frame in frames), "list each frame once")
    labelled = labelled and (frames[0].label is not None or data.record.read_pair is not None)
    if not labelled:
        frames = unlabelled(frames)
    meta = lmdb_format.Meta(name, split, data.space, data.mean,
                            tuple(frame.name for frame in frames), labelled, complete=False)
    _begin_or_continue(folder, meta)
    places = [os.path.join(folder, part) for part in _parts(labelled)]
    environments = [_open(place) for place in places]
    try:
        done = min(_entries(environment) for environment in environments)
        encoded = each_result(lambda frame: encode(data, frame, labelled), frames[done:], workers)
        batch = []
        for index, values in enumerate(progress(encoded, "packing", len(frames) - done), done):
            batch.append((lmdb_format.key_of(index), values))
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
        lmdb_format.close_all()
    meta = replace(meta, complete=True)
    _write_meta(folder, meta)
    return meta


def encode(data, frame, labelled):
    """[image Datum, label Datum] of a frame, serialised; the image keeps its file's bytes.

    labelled: False gives the image's alone.  Raises InputError for files that cannot be read, and
    for a pair of different sizes.
    """
    if labelled:
        image, label = data.read_pair(frame)
    else:
        image, label = data.read_image(frame), None
    stored = data.encoded_image(frame)
    values = [lmdb_format.datum_of(_png(image) if stored is None else stored, image.shape)]
    if label is not None:
        values.append(lmdb_format.datum_of(_png(label), label.shape))
    return values


def verify(data, frames, folder, meta, workers=None, progress=lambda items, what, total: items):
    """Raises InputError unless the LMDB holds exactly these frames, pixel for pixel."""
    for part in _parts(meta.labelled):
        environment = _open(os.path.join(folder, part))
        try:
            entries = _entries(environment)
        finally:
            environment.close()
        if entries != len(frames):
            raise InputError(f"{os.path.join(folder, part)}: {entries} entries; expected "
                             f"{len(frames)}", _pack_again(folder))
    compared = each_result(lambda pair: _equal(data, pair[1], folder, pair[0], meta),
                           list(enumerate(frames)), workers)
    for index, same in enumerate(progress(compared, "verifying", len(frames))):
        if not same:
            raise InputError(f"{folder}: entry {index} differs from {frames[index].name}",
                             _pack_again(folder))


_MAKE_ROOM = "make room and run the same command again: it continues where it stopped"


def _pack_again(folder):
    return f"the data set or the LMDB changed; remove {folder} and pack it again"


def _parts(labelled):
    return (lmdb_format.IMAGES, lmdb_format.LABELS) if labelled else (lmdb_format.IMAGES,)


def _equal(data, frame, folder, index, meta):
    key = lmdb_format.key_of(index).decode()

    def entry(part, decode):
        path = os.path.join(folder, part, key)
        return decode(path, lmdb_format.read_entry(path))

    image = entry(lmdb_format.IMAGES, reading.decode_image)
    if not meta.labelled:
        return np.array_equal(image, data.read_image(frame))
    originals = data.read_pair(frame)
    return np.array_equal(image, originals[0]) and np.array_equal(
        entry(lmdb_format.LABELS, reading.decode_ids), originals[1])


def _begin_or_continue(folder, meta):
    """Writes meta.json into a new folder; raises InputError if one of another packing is there."""
    if os.path.exists(os.path.join(folder, lmdb_format.META)):
        found = lmdb_format.read_meta(folder)
        for field in ("dataset", "split", "labelled", "names", "mean"):
            if getattr(found, field) != getattr(meta, field):
                values = f": {getattr(found, field)!r} there, {getattr(meta, field)!r} now"
                raise InputError(f"{folder} holds another packing; its {field} differ"
                                 f"{'' if field == 'names' else values}", "name another folder")
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
    try:
        write_whole(os.path.join(folder, lmdb_format.META), meta.to_json())
    except InputError as error:
        raise InputError(error.what, _MAKE_ROOM) from None


def _open(place):
    lmdb_format.close_all()  # LMDB opens a database once a process
    try:
        os.makedirs(place, exist_ok=True)
        file = os.path.join(place, "data.mdb")
        size = os.path.getsize(file) if os.path.exists(file) else 0
        return lmdb.open(place, map_size=max(_FIRST_MAP, size))
    except (lmdb.Error, OSError) as error:
        raise InputError(f"{place}: {error}") from None


def _entries(environment):
    return environment.stat()["entries"]


def _write(environments, batch, places):
    """Puts [(key, [value for each database])] into the databases, one transaction each."""
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
