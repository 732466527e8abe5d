"""Frames of a split: from a list file, or whatever a folder holds."""
import os

from data.errors import InputError
from data.lists import read_names
from data.skipping import SKIP_FILE

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")


def split_names(folder, split, image_folder, ending):
    """[(name, where)] of a split: the lines of <folder>/<split>.txt; without that file, "all" is
    every file of <folder>/<image_folder>. Names are without the ending. Raises InputError where
    there is neither."""
    list_file = os.path.join(folder, split + ".txt")
    if split == "all" and not os.path.exists(list_file):
        return [(name[:-len(ending)], "")
                for name in files_of(os.path.join(folder, image_folder), (ending, ))]
    if not os.path.exists(list_file):
        raise InputError(f"{list_file}: no such list file",
                         'write one name a line, without %s, or use the split "all"' % ending)
    return read_names(list_file)


def listed_splits(ending):
    """A Record's other_splits where each file NAME + `ending` in the data set's folder lists a
    split."""
    def other_splits(folder, options):
        return [(name[:-len(ending)], options) for name in sorted(os.listdir(folder))
                if name.endswith(ending) and name != SKIP_FILE]
    return other_splits


def files_of(folder, endings=IMAGE_ENDINGS, below=False):
    """Names of the files with those endings, sorted; with below=True also those in subfolders, as
    relative paths.

    Raises InputError if the folder cannot be read or has none.
    """
    def stop(error):
        raise InputError(f"{error.filename}: cannot be listed ({error.strerror})") from None

    names = []
    for place, folders, files in os.walk(folder, onerror=stop):
        if not below:
            folders.clear()
        names += [
            os.path.relpath(os.path.join(place, name), folder) for name in files
            if name.lower().endswith(endings)
        ]
    if not names:
        raise InputError(f"{folder}: no {' or '.join(endings)} file in it")
    return sorted(names)
