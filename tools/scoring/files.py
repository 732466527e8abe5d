"""Writing output files so that nobody ever sees half of one."""
import contextlib
import os

import cv2

from data.errors import InputError


@contextlib.contextmanager
def write_aside(path):
    """Gives the name of a file beside `path` to write to; it replaces `path` when the block succeeds.

    The folder is made when missing; the ending stays, because encoders go by it.  Raises
    InputError when it cannot be written.
    """
    path = os.fspath(path)
    folder, base = os.path.split(path)
    stem, ending = os.path.splitext(base)
    aside = os.path.join(folder, ".%s.%d.part%s" % (stem, os.getpid(), ending))
    try:
        if folder:
            os.makedirs(folder, exist_ok=True)
        yield aside
        os.replace(aside, path)
    except OSError as problem:
        raise InputError("cannot write %s: %s" % (path, problem.strerror or problem))
    finally:
        if os.path.exists(aside):
            os.remove(aside)


def write_text(path, text):
    """Writes a text file (UTF-8) whole or not at all."""
    with write_aside(path) as aside, open(aside, "w", encoding="utf-8") as stream:
        stream.write(text)


def write_image(path, image):
    """Writes an image (uint8, grey or BGR) in the format its ending names, whole or not at all."""
    ending = os.path.splitext(path)[1]
    done, encoded = cv2.imencode(ending, image)
    if not done:
        raise InputError("cannot encode %s" % path)
    with write_aside(path) as aside, open(aside, "wb") as stream:
        stream.write(encoded.tobytes())


def require_empty(folder, flag):
    """Raises InputError, naming `flag`, when the folder holds something already: two runs must not mix in it."""
    if os.path.exists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise InputError("%s %s exists and is not an empty folder" % (flag, folder), "remove it or name another")
