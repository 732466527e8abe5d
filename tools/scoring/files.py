"""Pictures as output files, and folders for them."""
import os

import cv2

from data.errors import InputError
from tools.runtime.files import write_aside
from tools.runtime.outputs import require_folder


def write_image(path, image):
    """Writes an image (uint8, grey or BGR) in the format its ending names, whole or not at all."""
    ending = os.path.splitext(path)[1]
    done, encoded = cv2.imencode(ending, image)
    if not done:
        raise InputError("cannot encode %s" % path)
    with write_aside(path) as aside, open(aside, "wb") as stream:
        stream.write(encoded.tobytes())


def folder_name(title):
    """A title as the name of one folder: a title that is a path, or ../x, must not lead out of the folder it is kept in."""
    parts = [part for part in title.split(os.sep) if part not in ("", os.curdir, os.pardir)]
    return "_".join(parts) or "_"


def require_empty(folder, flag):
    """Raises InputError, naming `flag`, when the folder cannot be written to or holds something: two runs must not mix in it."""
    require_folder(folder, flag)
    if os.path.isdir(folder) and os.listdir(folder):
        raise InputError("%s %s is not an empty folder" % (flag, folder), "remove it or name another")
