"""Which frames a split has: its list file or folder, its slice, and skip.txt.

A list file holds one name or path a line; every entry keeps its line ("train.txt:12") for messages.
skip.txt in a data set's folder names frames to leave out, one a line.  Every command reports how
many frames skip.txt removed.
"""
import functools
import os
import sys

from data.errors import InputError
from data.folders import files_of, is_hidden

SKIP_FILE = "skip.txt"


def read_list(path, expected="one name a line"):
    """[(entry, "path:line")] of a text file in UTF-8.  Blank lines may only end the file.

    expected: what such a file holds, for the message about an empty one.  Raises InputError if the
    file is missing, empty, not text, or has a blank line in the middle, because then the lines of
    two lists would no longer belong together.
    """
    try:
        # utf-8-sig: without the mark that Windows editors put in front
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except FileNotFoundError:
        raise InputError(f"{path}: no such list file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder where a list file is expected") from None
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not a readable text file ({error})") from None
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise InputError(f"{path}: empty; expected {expected}")
    entries = []
    for number, text in enumerate(lines, 1):
        if not text or "\0" in text:
            problem = "not text" if text else "blank line inside the list"
            raise InputError(f"{path}:{number}: {problem}")
        entries.append((text, f"{path}:{number}"))
    return entries


def read_names(path):
    """read_list for names that become parts of paths.

    Raises InputError for a name that leads out of the data set's folder.
    """
    entries = read_list(path)
    refuse_escapes(entries)
    return entries


def refuse_escapes(named):
    """Raises InputError for the first of [(name, where it is listed)] that leads out of its folder.
    """
    for name, where in named:
        if os.path.isabs(name) or ".." in name.split("/"):
            raise InputError(f"{where}: {name!r} is not a name below the data set's folder")


def refuse_repeats(named, fix):
    """Raises InputError, with `fix`, if two of [(frame's name, where it is listed)] have one name.

    Predictions are stored under a frame's name.
    """
    first = {}
    for name, where in named:
        if name in first:
            raise InputError(f"{first[name]} and {where}: two frames with the name {name}", fix)
        first[name] = where


def slice_split(text):
    """("train", slice(None, 54)) of "train[:54]".

    Accepted are NAME, NAME[a:b], NAME[a:] and NAME[:b] with plain numbers; InputError otherwise.
    """
    name, bracket, rest = text.partition("[")
    # no path holds a zero byte
    if not name or "\0" in name or (bracket and not rest.endswith("]")):
        raise _bad_split(text)
    if not bracket:
        return name, slice(None)
    first, colon, last = rest[:-1].partition(":")
    if not colon or any(part and not (part.isascii() and part.isdigit()) for part in (first, last)):
        raise _bad_split(text)
    return name, slice(int(first) if first else None, int(last) if last else None)


def _bad_split(text):
    return InputError(f"split {text!r}: expected NAME, NAME[FIRST:LAST], NAME[FIRST:] or "
                      "NAME[:LAST]")


def split_names(folder, split, image_folder, ending):
    """[(name without ending, where it is listed)] of the split's list file, FOLDER/SPLIT.txt.

    Without that file, "all" is every file of FOLDER/IMAGE_FOLDER with this ending; any other split
    raises InputError.
    """
    list_file = os.path.join(folder, split + ".txt")
    if split == "all" and not os.path.exists(list_file):
        return [(name[:-len(ending)], "")
                for name in files_of(os.path.join(folder, image_folder), (ending,))]
    if not os.path.exists(list_file):
        raise InputError(f"{list_file}: no such list file",
                         f'write one name a line, without {ending}, or use the split "all"')
    return read_names(list_file)


def listed_splits(ending):
    """`other_splits` of a DatasetSpec whose folder holds a list file NAME + `ending` a split."""
    return functools.partial(_splits_with, ending)


def _splits_with(ending, folder, options):
    return [(name[:-len(ending)], options) for name in sorted(os.listdir(folder))
            if name.endswith(ending) and name != SKIP_FILE and not is_hidden(name)]


def read_skipped(folder):
    """{name: "path:line"} of FOLDER/skip.txt; empty without that file.

    Raises InputError if the file is damaged.
    """
    path = os.path.join(folder, SKIP_FILE)
    return dict(read_list(path)) if os.path.lexists(path) else {}


def without_skipped(frames, folder, split):
    """The frames of `split` that skip.txt does not name.

    Their number is written to stderr, once a process.
    """
    skipped = read_skipped(folder)
    kept = [frame for frame in frames if frame.name not in skipped]
    if len(kept) < len(frames):
        _report(f"{os.path.join(folder, SKIP_FILE)} removes {len(frames) - len(kept)} of "
                f"{len(frames)} frames from {split}")
    return kept


def names_without_frame(data, splits):
    """[(name, "path:line")] in the skip.txt of a DataSet that no split has a frame of.

    Looks at `splits` and at all others that are on the disk.
    """
    unknown = read_skipped(data.folder)
    looked_at = [(split, data.options) for split in (*splits, *data.record.splits)]
    for split, options in looked_at + data.record.other_splits(data.folder, data.options):
        if not unknown:
            break
        try:
            frames = data.record.list_frames(data.folder, split, options)
        except InputError:  # not on the disk: a user need not have every usual split
            continue
        for frame in frames:
            unknown.pop(frame.name, None)
    return list(unknown.items())


@functools.lru_cache(maxsize=None)
def _report(message):
    sys.stderr.write(message + "\n")
