"""Reads images and stored class ids from files, completely or not at all.

Decoders are forgiving: some return half a picture for half a file, expand palettes to colours, or
turn 16-bit colours into zeros.  The functions here return exactly the values in the file, or raise
InputError with the file's name.
"""
import io
import warnings
import zlib

import cv2
import numpy as np
from PIL import Image

from data.errors import InputError

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _RGBA = 0, 2, 6  # PNG colour types


def read_image(path):
    """decode_image of the file `path`; raises InputError also if it is missing."""
    return decode_image(path, read_bytes(path))


def read_ids(path):
    """decode_ids of the file `path`; raises InputError also if it is missing."""
    return decode_ids(path, read_bytes(path))


def decode_image(path, data):
    """The picture in the bytes `data` as (H, W, 3) uint8, BGR, 0..255.

    PNG and JPEG; EXIF rotation is not applied.  path: the file that held the bytes, for messages.
    Raises InputError if they are truncated, damaged, or deeper than 8 bits.
    """
    if _png_depth(path, data) == 16:
        raise InputError(f"{path}: a 16-bit picture; images have to be 8-bit")
    picture = _decode(path, data)
    if picture.mode.startswith("I") or picture.mode == "F":
        raise InputError(f"{path}: pixels of mode {picture.mode}; images have to be 8-bit")
    return cv2.cvtColor(np.asarray(picture.convert("RGB")), cv2.COLOR_RGB2BGR)


def decode_ids(path, data):
    """The class ids in the bytes `data` of `path` as (H, W) uint8 or uint16, before any label map.

    The ids are the indices of a palette PNG (two indices may share a colour), the values of a grey
    PNG, the red channel of a 16-bit colour PNG (SYNTHIA).  Raises InputError for damaged files and
    for 8-bit colour pictures, which hold no ids.
    """
    depth = _png_depth(path, data)
    if depth is None:
        raise InputError(f"{path}: labels have to be PNG files (other formats blur the ids)")
    if depth == 16 and data[25] in (_RGB, _RGBA):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise InputError(f"{path}: damaged PNG file")
        return pixels[:, :, 2]  # OpenCV's order is BGR
    picture = _decode(path, data)
    if picture.mode in ("RGB", "RGBA", "LA"):
        raise InputError(f"{path}: a colour picture ({picture.mode}), not class ids; labels are "
                         "grey, palette or SYNTHIA's 16-bit PNG")
    ids = np.asarray(picture)
    if depth < 8 and data[25] == _GREY and picture.mode == "L":
        ids = ids // (255 // (2 ** depth - 1))  # the decoder stretches 2- and 4-bit grey to 0..255
    return ids.astype(np.uint16 if depth == 16 else np.uint8)


def image_size(path):
    """(H, W) of a PNG or JPEG from its header; the pixels are not read."""
    try:
        with Image.open(path) as picture:
            return picture.size[1], picture.size[0]
    except FileNotFoundError:
        raise _missing(path) from None
    except Exception as error:  # Pillow raises many kinds on hostile files
        raise InputError(f"{path}: not a readable image ({error})") from None


def read_bytes(path):
    """All bytes of a file. Raises InputError if it cannot be opened or is empty."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason})") from None
    if not data:
        raise InputError(f"{path}: empty file")
    return data


def _missing(path):
    return InputError(f"{path}: no such file")


def _decode(path, data):
    """A loaded Pillow picture.

    Pillow, unlike OpenCV, refuses truncated data and keeps palette indices.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
            picture.load()
            return picture
    except Exception as error:  # Pillow raises many kinds on hostile files
        raise InputError(f"{path}: truncated or damaged image ({error})") from None


def _png_depth(path, data):
    """Bits a channel of a PNG, or None for another format.

    Compares the checksums of all chunks: a decoder stops once it has all pixels, and so overlooks a
    truncated or altered end.  Raises InputError for either.
    """
    if not data.startswith(_PNG_SIGNATURE):
        return None
    view, position = memoryview(data), len(_PNG_SIGNATURE)
    while position + 12 <= len(data):
        length = int.from_bytes(view[position:position + 4], "big")
        end = position + 8 + length
        kind = bytes(view[position + 4:position + 8])
        if end + 4 > len(data):
            break
        if zlib.crc32(view[position + 4:end]) != int.from_bytes(view[end:end + 4], "big"):
            raise InputError(f"{path}: damaged PNG file (wrong checksum in its "
                             f"{kind.decode('latin-1')!r} part)")
        if position == len(_PNG_SIGNATURE) and (kind != b"IHDR" or length != 13):
            break
        if kind == b"IEND":
            return data[24]
        position = end + 4
    raise InputError(f"{path}: truncated PNG file ({len(data)} bytes, no end mark)")
