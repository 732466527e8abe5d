"""Lists the files of a folder: one rule for links, hidden files and files of other formats.

- A link to a file or folder counts as the file or folder. A link to a folder around it has no end,
  and is left out.
- Hidden files are left out: names that begin with a dot (`._x.jpg` of macOS,
  `.ipynb_checkpoints`), `__MACOSX` and `@eaDir`.
- Pictures of formats that are not read (WebP, BMP, TIFF, GIF and others) are left out.
Whatever is left out is named on stderr, with its number, once a process.
"""
import functools
import os
import sys
from collections import Counter, namedtuple

from data.errors import InputError

#: Pictures that reading.py decodes.
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")
#: Endings of pictures that it does not, and their formats.
OTHER_FORMATS = {".webp": "WebP", ".bmp": "BMP", ".dib": "BMP", ".tif": "TIFF", ".tiff": "TIFF",
                 ".gif": "GIF", ".heic": "HEIC", ".heif": "HEIF", ".avif": "AVIF",
                 ".jp2": "JPEG 2000", ".jxl": "JPEG XL", ".ppm": "PPM", ".pgm": "PGM",
                 ".exr": "OpenEXR", ".psd": "Photoshop", ".dng": "raw", ".cr2": "raw",
                 ".nef": "raw", ".arw": "raw", ".svg": "SVG"}
#: Names, besides those with a dot in front, that systems make for themselves.
_SYSTEM_NAMES = ("__macosx", "@eadir")
_NAMED = 3  # examples in a message

#: files: [(path from the folder, whole path)] sorted; hidden: paths of hidden files with a wanted
#: ending; other: {format: number} of pictures that are not read; odd: [(path, why)] left out.
Listing = namedtuple("Listing", "files hidden other odd")


def is_hidden(name):
    """True for a file or folder that a user does not see or a system made for itself."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def list_folder(folder, endings, below=False, without=None):
    """The Listing of `folder`, for files with one of `endings` in lower case.

    below: subfolders too.  without: a folder whose files are left out, wherever it is.  Raises
    InputError if the folder, or one inside, cannot be read.
    """
    listing = Listing([], [], Counter(), [])
    _walk(folder, "", (), listing, tuple(endings), below,
          None if without is None else os.path.realpath(without))
    listing.files.sort()
    return listing


def files_of(folder, endings=IMAGE_ENDINGS, below=False):
    """Names of the files with those endings, sorted; what was left out is reported.

    below: also those in subfolders, as relative paths.  Raises InputError if the folder cannot be
    read or holds none.
    """
    listing = list_folder(folder, endings, below)
    left_out = report_left_out(folder, listing)
    if not listing.files:
        raise InputError(f"{folder}: no {' or '.join(endings)} file in it"
                         + (f"; left out: {left_out}" if left_out else ""))
    return [name for name, _ in listing.files]


def report_left_out(folder, listing):
    """Writes to stderr, once a process, what `listing` leaves out; returns that text."""
    parts = []
    if listing.other:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(listing.other.items()))
        parts.append(f"{kinds} {_plural('picture', sum(listing.other.values()))} (only PNG and "
                     "JPEG are read)")
    if listing.hidden:
        parts.append(f"{len(listing.hidden)} hidden {_plural('file', len(listing.hidden))} "
                     f"({_some(listing.hidden)})")
    parts += [f"{path} ({why})" for path, why in listing.odd]
    text = "; ".join(parts)
    if text:
        _report(f"left out of {folder}: {text}")
    return text


@functools.lru_cache(maxsize=None)
def _report(message):
    sys.stderr.write(message + "\n")


def _walk(top, inside, parents, listing, endings, below, without):
    """Adds the files of TOP/INSIDE; parents: (device, inode) of the folders it is inside of."""
    place = os.path.join(top, inside) if inside else top
    try:
        status = os.stat(place)
        with os.scandir(place) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{place}: cannot be listed ({reason})") from None
    parents += ((status.st_dev, status.st_ino),)
    for entry in entries:
        name = os.path.join(inside, entry.name)
        try:
            folder = entry.is_dir()
            own = (entry.stat().st_dev, entry.stat().st_ino) if folder else None
        except OSError as error:
            listing.odd.append((entry.path, f"cannot be read: {error.strerror}"))
            continue
        if is_hidden(entry.name):
            if below or not folder:
                listing.hidden.extend(_hidden_files(top, name, folder, endings))
        elif folder and below:
            if without is not None and os.path.realpath(entry.path) == without:
                listing.odd.append((entry.path, "the folder of the results"))
            elif own in parents:
                listing.odd.append((entry.path, "a link to a folder around it"))
            else:
                _walk(top, name, parents, listing, endings, True, without)
        elif not folder:
            _add(entry, name, listing, endings)


def _add(entry, name, listing, endings):
    """Sorts the file `entry` into the listing."""
    lower = entry.name.lower()
    if lower.endswith(endings):
        # a broken link is listed: reading it raises an error with its path
        if entry.is_file() or not os.path.exists(entry.path):
            listing.files.append((name, entry.path))
        else:
            listing.odd.append((entry.path, "not a regular file"))
    elif os.path.splitext(lower)[1] in OTHER_FORMATS:
        listing.other[OTHER_FORMATS[os.path.splitext(lower)[1]]] += 1
    elif entry.is_symlink() and not os.path.exists(entry.path):
        listing.odd.append((entry.path, "a broken link"))


def _hidden_files(top, name, folder, endings):
    """Paths from `top` of the files with those endings that are, or are below, a hidden `name`."""
    if not folder:
        return [name] if name.lower().endswith(endings) else []
    return [os.path.relpath(os.path.join(place, file), top)
            for place, _, files in os.walk(os.path.join(top, name)) for file in sorted(files)
            if file.lower().endswith(endings)]


def _some(names):
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _plural(word, number):
    return word if number == 1 else word + "s"
