"""A split that tools/make_lmdb.py has packed (data/lmdb_format.py): `lmdb:path=FOLDER`.

Its labels hold train ids already, in the label space that was chosen when they were packed.
"""
import os

from data.dataset import DatasetSpec, Frame
from data.errors import InputError
from data.frame_lists import refuse_escapes, refuse_repeats
from data.label_spaces import IGNORED
from data.lmdb_format import IMAGES, LABELS, META, key_of, read_entry, read_meta


def list_frames(folder, split, options):
    """All frames, in the order of the list that was packed; the split is "all"."""
    if split != "all":
        raise InputError(f'an LMDB has only the split "all", found {split!r}')
    meta = read_meta(folder)
    if not meta.complete:
        raise InputError(f"{folder}: its packing is not finished",
                         "run the same tools/make_lmdb.py command again")
    named = [(name, f"{os.path.join(folder, META)}: names[{index}]")
             for index, name in enumerate(meta.names)]
    refuse_escapes(named)  # predictions are stored under these names
    refuse_repeats(named, "pack it again: tools/make_lmdb.py")
    keys = [key_of(index).decode() for index in range(len(meta.names))]
    return [Frame(name, os.path.join(folder, IMAGES, key),
                  os.path.join(folder, LABELS, key) if meta.labelled else None)
            for name, key in zip(meta.names, keys)]


def open_space(folder, options):
    """(LabelSpace, table, mean) of the data set that was packed."""
    meta = read_meta(folder)
    table = {number: number for number in (*range(len(meta.space.classes)), IGNORED)}
    return meta.space, table, meta.mean


RECORDS = (
    DatasetSpec(
        name="lmdb", folder="lmdb", mean=(0, 0, 0), tables={}, splits=("all",),
        options={"path": "lmdb"}, list_frames=list_frames, open_space=open_space,
        read_bytes=read_entry),)
