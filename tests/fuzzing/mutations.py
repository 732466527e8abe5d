"""Changing file contents at random.

`draw` is a random.Random: the same one gives the same change.
"""
import json
import re
import struct
import zlib

from google.protobuf import text_format

NUMBERS = ("0", "-1", "1", "2", "7", "255", "256", "65536", "2147483647", "2147483648",
           "-2147483648", "9223372036854775808", "1e38", "1e-45", "-0.0", "nan", "inf", "-inf",
           "0.5", "1e400", "0x10", "")
WORDS = ("", "x", "..", "../../x", "/", "/etc/passwd", "a b", "a\\000b", "\\377", "%s%n", "TRAIN",
         "TEST", "GPU", "true", "null", "[]", "{}", "{", "}", '"', "'", "#", ":", "\u00e9",
         "x" * 300, "[" * 2000, "os", "__class__")
_NUMBER = re.compile(r"(?<![\w.])-?\d+\.?\d*(?:e-?\d+)?")
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[\w.+-]+|[^\s\w]')


def text(draw, content):
    """One to three changes of a text: numbers, tokens, lines, characters."""
    changed = content.decode("utf-8", "surrogateescape")
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        changed = draw.choice(
            (_number, _number, _token, _token, _exchange, _line, _characters))(draw, changed)
    return changed.encode("utf-8", "surrogateescape")


def _replace(string, match, new):
    return string[:match.start()] + new + string[match.end():]


def _number(draw, string):
    found = list(_NUMBER.finditer(string))
    return _replace(string, draw.choice(found), draw.choice(NUMBERS)) if found else string


def _token(draw, string):
    found = list(_TOKEN.finditer(string))
    if not found:
        return string
    match = draw.choice(found)
    new = draw.choice(WORDS + NUMBERS)
    if match.group().startswith('"') and draw.random() < 0.8:
        new = '"' + new.replace('"', "") + '"'
    return _replace(string, match, new)


def _exchange(draw, string):
    """One token becomes another one of the same file: names, types, fields in the wrong place."""
    found = list(_TOKEN.finditer(string))
    if not found:
        return string
    match = draw.choice(found)
    alike = [other for other in found if other.group()[0].isalpha() == match.group()[0].isalpha()]
    return _replace(string, match, draw.choice(alike).group())


def _line(draw, string):
    lines = string.split("\n")
    at, to = draw.randrange(len(lines)), draw.randrange(len(lines))
    kind = draw.randrange(4)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(to, lines[at])
    elif kind == 2:
        lines[at], lines[to] = lines[to], lines[at]
    else:
        lines.insert(to, draw.choice(WORDS))
    return "\n".join(lines)


def _characters(draw, string):
    changed = octets(draw, string.encode("utf-8", "surrogateescape"))
    return changed.decode("utf-8", "surrogateescape")


def json_text(draw, content):
    """A mutation of JSON: the text, or one value, so that half of the files are still JSON."""
    if draw.random() < 0.4:
        return text(draw, content)
    tree = json.loads(content)
    node = tree
    while True:
        key = draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if not isinstance(node[key], (dict, list)) or not node[key] or draw.random() < 0.1:
            break
        node = node[key]
    if draw.random() < 0.2:
        del node[key]
    else:
        node[key] = _value(draw, node[key])
    return json.dumps(tree).encode()


def _value(draw, old):
    """Something else: near the old value, or of any other kind."""
    if isinstance(old, (int, float)) and draw.random() < 0.6:
        return draw.choice((old * 0.9, old * 2, -old, old + 1, 1 - old, old / 7))
    return draw.choice(
        (0, 1, -1, 10**40, 1e308, 0.5, float("nan"), float("inf"), None, True, "", "x", "../../x",
         [], {}, [old], {"x": old}, "toy", "camvid", "source_val[1:]"))


def octets(draw, content):
    """A change of bytes: bits flipped, a part deleted, doubled or put in, or an end cut off."""
    data = bytearray(content)
    at = draw.randrange(len(data) + 1)
    length = draw.choice((1, 1, 2, 4, 8, 64))
    kind = draw.randrange(6)
    if kind == 0:
        del data[at:]
    elif kind == 1:
        del data[at:at + length]
    elif kind == 2:
        data[at:at] = data[at:at + length]
    elif kind == 3:
        data[at:at] = bytes(draw.randrange(256) for _ in range(length))
    else:
        for _ in range(length if data else 0):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(data)


def png(draw, content):
    """Bytes of a PNG changed, in half of the cases with the checksums put right again."""
    changed = octets(draw, content)
    return with_checksums(changed) if draw.random() < 0.5 else changed


def with_checksums(data):
    fixed, at = bytearray(data), 8
    while at + 12 <= len(fixed):
        end = at + 8 + struct.unpack(">I", fixed[at:at + 4])[0]
        if end + 4 > len(fixed):
            break
        fixed[end:end + 4] = struct.pack(">I", zlib.crc32(bytes(fixed[at + 4:end])))
        at = end + 4
    return bytes(fixed)


def prototxt(message_class):
    """A mutation of prototxts: the text, or fields of the message, so that half can be parsed."""
    def change(draw, content):
        if draw.random() < 0.5:
            return text(draw, content)
        message = text_format.Parse(content.decode(), message_class())
        for _ in range(draw.choice((1, 1, 2))):
            _field(draw, message)
        return text_format.MessageToString(message).encode()
    return change


def protobuf(message_class):
    """A mutation of binary messages: raw bytes, or one field of the decoded message."""
    def change(draw, content):
        if draw.random() < 0.4:
            return octets(draw, content)
        message = message_class()
        message.ParseFromString(content)
        for _ in range(draw.choice((1, 1, 2))):
            _field(draw, message)
        return message.SerializeToString()
    return change


def _field(draw, message):
    """Changes one field, at any depth."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = draw.choice(fields)
    repeated = field.label == field.LABEL_REPEATED
    if field.message_type is not None:
        inner = draw.choice(value) if repeated else value
        if draw.random() < 0.85:
            _field(draw, inner)
        elif not repeated:
            message.ClearField(field.name)
        elif draw.random() < 0.5:
            value.add().CopyFrom(inner)
        else:
            del value[draw.randrange(len(value))]
        return
    new = _scalar(draw, field)
    if not repeated:
        setattr(message, field.name, new)
    elif draw.random() < 0.5:
        value[draw.randrange(len(value))] = new
    elif draw.random() < 0.5:
        value.append(new)
    else:
        del value[draw.randrange(len(value)):]


def _scalar(draw, field):
    if field.cpp_type == field.CPPTYPE_STRING:
        return draw.choice(("", "x", "data", "label", "final", "conv1_1", "pool1", "ReLU",
                            "Convolution", "Pooling", "Eltwise", "Softmax", "InnerProduct",
                            "bilinear", "/etc/passwd", "../x", "x" * 300))
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return draw.choice((0.0, -1.0, 1e38, float("nan"), float("inf")))
    if field.cpp_type == field.CPPTYPE_ENUM:
        return draw.choice(field.enum_type.values).number
    if field.cpp_type == field.CPPTYPE_BOOL:
        return draw.random() < 0.5
    return draw.choice((0, 1, 2, 3, 64, 100000, 2147483647))
