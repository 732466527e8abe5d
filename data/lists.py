"""List files: one name or path a line, with the line kept for messages."""
import os

from data.errors import InputError


def read_list(path, expected="one name a line"):
    """[(entry, "path:line")] of a text file in UTF-8. Blank lines may only end the file.

    expected: what such a file holds, for the message about an empty one. Raises InputError if it is
    missing, empty, not text, or has a blank line in the middle (pairs would slip).
    """
    try:
        # without the mark that Windows editors put in front
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
            raise InputError(
                "%s:%d: %s" %
                (path, number, "blank line inside the list" if not text else "not text"))
        entries.append((text, f"{path}:{number}"))
    return entries


def read_names(path):
    """Like read_list for names that become parts of paths: no folder that leads elsewhere is
    accepted."""
    entries = read_list(path)
    refuse_escapes(entries)
    return entries


def refuse_escapes(named):
    """Raises InputError for the first of [(name, where it is listed)] that leads out of the folder
    it is a part of."""
    for name, where in named:
        if os.path.isabs(name) or ".." in name.split("/"):
            raise InputError(f"{where}: {name!r} is not a name below the data set's folder")


def refuse_repeats(named, fix):
    """Raises InputError, with `fix`, if two of [(frame's name, where it is listed)] have one name:
    predictions go by it."""
    first = {}
    for name, where in named:
        if name in first:
            raise InputError(f"{first[name]} and {where}: two frames with the name {name}", fix)
        first[name] = where


def slice_split(text):
    """("train", slice(None, 54)) of "train[:54]". Only NAME, NAME[a:b], NAME[a:] and NAME[:b] with
    plain numbers."""
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
