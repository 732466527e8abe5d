"""Protocol buffer files looked at without loading them: a caffemodel has half a gigabyte."""
import os

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def is_whole_message(path):
    """True when the file is a sequence of whole fields, as a truncated one almost never is."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        while file.tell() < size:
            kind = _varint(file)
            if kind is None:
                return False
            kind &= 7
            if kind == VARINT:
                if _varint(file) is None:
                    return False
            elif kind in (FIXED64, FIXED32):
                file.seek(8 if kind == FIXED64 else 4, os.SEEK_CUR)
            elif kind == BYTES:
                length = _varint(file)
                if length is None:
                    return False
                file.seek(length, os.SEEK_CUR)
            else:
                return False
        return size > 0 and file.tell() == size


def append_string(path, number, text):
    """Gives string field `number` of a message file a new value.

    A later value of a field replaces an earlier one, so that appending is enough.
    """
    value = text.encode()
    with open(path, "ab") as file:
        file.write(_encoded(number << 3 | BYTES) + _encoded(len(value)) + value)


def _varint(file):
    value = shift = 0
    while shift < 64:
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
        shift += 7
    return None


def _encoded(value):
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
