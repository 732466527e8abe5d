"""One edit of a protocol buffer file that needs no loading of it."""

BYTES = 2


def append_string(path, number, text):
    """Gives string field `number` of a message file a new value.

    A later value of a field replaces an earlier one, so that appending is enough: a
    solverstate of half a gigabyte need not be read and written again.
    """
    value = text.encode()
    with open(path, "ab") as file:
        file.write(_varint(number << 3 | BYTES) + _varint(len(value)) + value)


def _varint(value):
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
