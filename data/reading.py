"""Reads images and stored class ids from files, completely or not at all.

Decoders are forgiving: some return half a picture for half a file, expand palettes to colours, or
turn 16-bit colours into zeros.  The functions here return exactly the values in the file, or raise
InputError with the file's name.

Orientation: an image is turned upright as its EXIF data say (JPEG's APP1 part, PNG's eXIf part).
A label has no orientation: one whose EXIF data turn it is refused.
Size: a picture is decoded when the memory for it is there, however many pixels it has.
"""
import collections
import io
import os
import warnings
import zlib

import cv2
import numpy as np
from PIL import Image

from data.errors import InputError
from data.file_kinds import kind_of
from data.machine_memory import machine_memory

# Pillow's own limit of pixels does not ask for the memory; _require_memory does.
Image.MAX_IMAGE_PIXELS = None

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _RGBA = 0, 2, 6  # PNG colour types
_ORIENTATION = 0x0112  # EXIF tag: 1 upright, 2 to 8 turned or mirrored
_TURNS = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM,
          5: Image.TRANSPOSE, 6: Image.ROTATE_270, 7: Image.TRANSVERSE, 8: Image.ROTATE_90}
_ON_ITS_SIDE = (5, 6, 7, 8)
_STRICT = ("a PNG picture", "a JPEG picture")  # formats that Pillow decodes here
#: Bytes a pixel while a picture is decoded: 4 in Pillow, 3 as RGB, 3 turned, 3 as BGR.
_BYTES_A_PIXEL = 13
#: Bytes that are taken without asking how much memory there is.
_ALWAYS_THERE = 1 << 26


def read_image(path):
    """decode_image of the file `path`; raises InputError also if it is missing."""
    return decode_image(path, read_bytes(path))


def read_ids(path):
    """decode_ids of the file `path`; raises InputError also if it is missing."""
    return decode_ids(path, read_bytes(path))


def decode_image(path, data):
    """The picture in the bytes `data` as (H, W, 3) uint8, BGR, 0..255, upright by its EXIF data.

    PNG and JPEG.  path: the file that held the bytes, for messages.  Raises InputError if they are
    of another format, truncated, damaged, deeper than 8 bits, or too large for the memory.
    """
    png = _read_png_parts(path, data)
    if png is not None and png.depth == 16:
        raise InputError(f"{path}: a 16-bit picture; images have to be 8-bit")
    picture = _decode(path, data)
    if picture.mode.startswith("I") or picture.mode == "F":
        raise InputError(f"{path}: pixels of mode {picture.mode}; images have to be 8-bit")
    exif = picture.info.get("exif") if png is None else png.exif
    turn = _TURNS.get(_orientation(exif))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about transparency, which is left out
            picture = picture.convert("RGB")
        if turn is not None:
            picture = picture.transpose(turn)
        return cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR)
    except MemoryError:
        raise _too_large(path, picture.size) from None


def require_whole(path):
    """(H, W) of a picture as OpenCV decodes it, once it has been decoded completely.

    Any depth, and any format of this OpenCV.  Raises InputError if the file is missing, is no such
    picture, is truncated or damaged, or is too large for the memory.
    """
    data = read_bytes(path)
    if kind_of(data) in _STRICT:        # OpenCV returns half a picture for half a file
        png = _read_png_parts(path, data)
        picture = _decode(path, data)
        exif = picture.info.get("exif") if png is None else png.exif
        size = picture.size[::-1]
        return size[::-1] if _orientation(exif) in _ON_ITS_SIDE else size
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        pixels = None
    if pixels is None:
        kind = kind_of(data)
        if kind is None or not kind.endswith("picture"):
            raise _not_readable(path, data, None)
        raise InputError(f"{path}: {kind} that OpenCV cannot decode: truncated, damaged, or of a "
                         "format that it does not know", _convert(path))
    return pixels.shape[:2]


def decode_ids(path, data):
    """The class ids in the bytes `data` of `path` as (H, W) uint8 or uint16, before any label map.

    The ids are the indices of a palette PNG (two indices may share a colour), the values of a grey
    PNG, the red channel of a 16-bit colour PNG (SYNTHIA).  Raises InputError for damaged files,
    for 8-bit colour pictures, which hold no ids, and for EXIF data that turn the label.
    """
    png = _read_png_parts(path, data)
    if png is None:
        kind = kind_of(data) or "no picture"
        raise InputError(f"{path}: {kind}; labels have to be PNG files (other formats blur the "
                         "ids)")
    _refuse_turned_label(path, png.exif)
    if png.depth == 16 and png.colour in (_RGB, _RGBA):
        _require_memory(path, png.size)
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:  # above 2 ** 30 pixels
            pixels = None
        if pixels is None:
            raise InputError(f"{path}: damaged PNG file")
        return pixels[:, :, 2]  # OpenCV's order is BGR
    picture = _decode(path, data)
    if picture.mode in ("RGB", "RGBA", "LA"):
        raise InputError(f"{path}: a colour picture ({picture.mode}), not class ids; labels are "
                         "grey, palette or SYNTHIA's 16-bit PNG")
    ids = np.asarray(picture)
    if png.depth < 8 and png.colour == _GREY and picture.mode == "L":
        # the decoder stretches 2- and 4-bit grey to 0..255
        ids = ids // (255 // (2 ** png.depth - 1))
    return ids.astype(np.uint16 if png.depth == 16 else np.uint8)


def image_size(path):
    """(H, W) of a PNG or JPEG as decode_image turns it, from its header; reads no pixels."""
    size, exif = _header(path)
    return size[::-1] if _orientation(exif) in _ON_ITS_SIDE else size


def label_size(path):
    """(H, W) of a label from its header; raises InputError as decode_ids does for turned ones."""
    size, exif = _header(path)
    _refuse_turned_label(path, exif)
    return size


def _header(path):
    """((H, W) as stored, EXIF bytes or None) of a PNG or JPEG."""
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            size, exif, png = picture.size, picture.info.get("exif"), picture.format == "PNG"
    except FileNotFoundError:
        raise _missing(path) from None
    except Exception as error:  # Pillow raises many kinds on hostile files
        raise _not_readable(path, read_bytes(path), error) from None
    return size[::-1], _find_png_exif(path) if png else exif


def _find_png_exif(path):
    """The EXIF bytes of a PNG file, which may be behind its pixels; None without."""
    with open(path, "rb") as file:
        file.seek(len(_PNG_SIGNATURE))
        while True:
            head = file.read(8)
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if len(head) < 8 or kind == b"IEND":
                return None
            if kind == b"eXIf":
                return file.read(length)
            file.seek(length + 4, os.SEEK_CUR)


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


def _not_readable(path, data, error):
    """InputError for a file that Pillow does not open or load; `error` is Pillow's exception."""
    kind = kind_of(data)
    if kind not in _STRICT:
        if kind is None:
            return InputError(f"{path}: no picture of a known format; expected PNG or JPEG")
        fix = _convert(path) if kind.endswith("picture") else None
        return InputError(f"{path}: {kind}; expected a PNG or JPEG picture", fix)
    # Pillow names the buffer with its address in memory where it does not know the format
    reason = "its header cannot be read" if " object at 0x" in str(error) else error
    return InputError(f"{path}: truncated or damaged image ({reason})")


def _convert(path):
    return f"convert it, or leave it out: convert {os.path.basename(path)} NAME.png"


def _decode(path, data):
    """A loaded Pillow picture.

    Pillow, unlike OpenCV, refuses truncated data and keeps palette indices.
    """
    try:
        picture = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
    except Exception as error:  # Pillow raises many kinds on hostile files
        raise _not_readable(path, data, error) from None
    _require_memory(path, picture.size)
    try:
        picture.load()
        return picture
    except MemoryError:
        raise _too_large(path, picture.size) from None
    except Exception as error:  # Pillow raises many kinds on hostile files
        raise _not_readable(path, data, error) from None


def _require_memory(path, size):
    """Raises InputError if decoding a picture of size (W, H) takes more memory than there is."""
    need = size[0] * size[1] * _BYTES_A_PIXEL
    if need > _ALWAYS_THERE and need > machine_memory():
        raise _too_large(path, size)


def _too_large(path, size):
    return InputError(f"{path}: {size[0]} x {size[1]} pixels take "
                      f"{size[0] * size[1] * _BYTES_A_PIXEL / 1e9:.1f} GB of memory to decode; "
                      f"this process may have {machine_memory() / 1e9:.1f} GB",
                      "make the picture smaller, or cut it into several")


def _orientation(exif):
    """The orientation, 1 to 8, in the bytes of EXIF data; 1 without any and where it is damaged."""
    if not exif:
        return 1
    tags = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other, damaged tags
            tags.load(exif)
            value = tags.get(_ORIENTATION, 1)
    except Exception:  # Pillow raises many kinds on hostile data; viewers show such files as stored
        return 1
    return value if value in _TURNS else 1


def _refuse_turned_label(path, exif):
    if _orientation(exif) != 1:
        raise InputError(f"{path}: its EXIF data turn the picture (orientation "
                         f"{_orientation(exif)}); a label is read as it is stored",
                         "turn the label itself and remove its EXIF data")


_PngParts = collections.namedtuple("_PngParts", "depth colour size exif")


def _read_png_parts(path, data):
    """_PngParts of a PNG: bits a channel, colour type, (W, H), EXIF bytes; None for another format.

    Compares the checksums of all chunks: a decoder stops once it has all pixels, and so overlooks a
    truncated or altered end.  Raises InputError for either.
    """
    if not data.startswith(_PNG_SIGNATURE):
        return None
    view, position, exif = memoryview(data), len(_PNG_SIGNATURE), None
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
        if kind == b"eXIf":
            exif = bytes(view[position + 8:end])
        if kind == b"IEND":
            size = (int.from_bytes(view[16:20], "big"), int.from_bytes(view[20:24], "big"))
            return _PngParts(data[24], data[25], size, exif)
        position = end + 4
    raise InputError(f"{path}: truncated PNG file ({len(data)} bytes, no end mark)")
