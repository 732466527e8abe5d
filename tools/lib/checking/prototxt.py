"""Reading a text-format protocol buffer strictly, with errors that can be acted on."""
import difflib
import os
import re

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from data.errors import InputError
from data.files import write_whole
from tools.lib.checking import forks

#: The longest prototxt that is read.  ResNet-152 takes 100 kB; this is not a text file of a net.
MAX_BYTES = 2 * 1024 * 1024

_NO_FIELD = re.compile(r'Message type "([\w.]+)" has no field named "([^"]*)"')
_TWICE = re.compile(r'should not have multiple "([^"]*)" fields')
_NO_VALUE = re.compile(r'Enum type "([\w.]+)" has no value named "?([^".]*)"?')


def did_you_mean(word, names, count=3):
    """'; did you mean "a" or "b"?', or '' when nothing in `names` resembles `word`."""
    by_lower = {str(name).lower(): str(name) for name in names}
    found = [f'"{by_lower[close]}"'
             for close in difflib.get_close_matches(str(word).lower(), by_lower, count, 0.6)]
    return f"; did you mean {' or '.join(found)}?" if found else ""


def read_bytes(path, kind, limit):
    """The bytes of a file that a user named; InputError when it cannot be read or is too long."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= limit:
                return file.read()
    except IsADirectoryError:
        raise InputError(f"{kind} {path} is a folder; expected a file") from None
    except FileNotFoundError:
        raise InputError(f"{kind} {path} does not exist{_neighbours(path)}") from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise InputError(f"{kind} {path} cannot be read: {reason}") from None
    raise InputError(f"{kind} {path} has {size} bytes; expected at most {limit}")


def _neighbours(path):
    folder, name = os.path.split(path)
    try:
        return did_you_mean(name, os.listdir(folder or "."))
    except (OSError, ValueError):
        return ""


def read_prototxt(path, message, kind):
    """Parses the file into `message` and returns it.

    kind: "solver" or "net", for the errors.  Errors name file, line and column, what
    was found and, for an unknown field or value, the nearest that exist.
    """
    data = read_bytes(path, kind, MAX_BYTES)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise InputError(f"{path}:{line}: not text: byte 0x{data[problem.start]:02x} is not "
                         f"UTF-8; expected a {kind} in protobuf text format") from None
    if not text.strip():
        raise InputError(f"{path} is empty; expected a {kind} in protobuf text format")
    return parse_prototxt(text, message, path)


def parse_prototxt(text, message, name):
    """As read_prototxt, from a string; `name` stands for the file in errors."""
    try:
        text_format.Parse(text, message)
        # a string with a lone surrogate parses and cannot be written again
        message.SerializeToString()
    except text_format.ParseError as problem:
        line, column = problem.GetLine(), problem.GetColumn()
        place = name if line is None else f"{name}:{line}:{column or 1}"
        detail = re.sub(r"^\d+:\d+ : ", "", str(problem))
        detail = re.sub(r"^'(.*)': ", r"\1: ", detail, flags=re.S)
        raise InputError(f"{place}: {_explain(detail, message.DESCRIPTOR)}") from None
    except (DecodeError, ValueError, UnicodeError, RecursionError) as problem:
        raise InputError(f"{name}: {_short(problem)}") from None
    return message


def _short(problem, limit=300):
    text = " ".join(str(problem).split())
    return text if len(text) <= limit else text[:limit] + " ..."


def _explain(detail, descriptor):
    """A parse error with the near names of an unknown field or enumeration value added."""
    detail = _short(detail)
    field = _NO_FIELD.search(detail)
    if field:
        owner = descriptor.file.pool.FindMessageTypeByName(field.group(1))
        names = [f.name for f in owner.fields]
        hint = (forks.of_field(field.group(2)) or did_you_mean(field.group(2), names)
                or f"; expected one of: {', '.join(sorted(names))}")
        return f'unknown field "{field.group(2)}" in {owner.name}{hint}'
    twice = _TWICE.search(detail)
    if twice:
        return f'"{twice.group(1)}" is given twice; expected once'
    value = _NO_VALUE.search(detail)
    if value:
        owner = descriptor.file.pool.FindEnumTypeByName(value.group(1))
        names = ", ".join(known.name for known in owner.values)
        return f'"{value.group(2).strip()}" is not a {owner.name}; expected one of: {names}'
    return detail


def write_prototxt(message, path):
    """Writes the message as canonical text for Caffe to read, whole or not at all."""
    write_whole(path, text_format.MessageToString(message))
