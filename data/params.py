"""Reads JSON objects strictly: a layer's param_str, a statistics file, an LMDB's meta.json.

    parse_params("DomainAdversarialLoss", '{"weight": 0.1, "source_images": 1}',
                 required={"weight": number(minimum=0), "source_images": integer(minimum=1)},
                 optional={"objective": (choice("confusion", "reversal"), "confusion")})

InputError, with the layer's name and the list of its keys, is raised for a missing or unknown key,
a key given twice, a value of the wrong type or out of its range, NaN, and text that is not JSON.
"""
import collections
import difflib
import json
import math
import sys

from data.errors import InputError

Field = collections.namedtuple("Field", ["expected", "accepts"])
Field.__doc__ = "What one key may hold: `expected` in words, `accepts(value)` -> bool."


def _is_number(value):
    # A whole number too large for a float is refused; math.isfinite would raise on it.
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
            and abs(value) <= sys.float_info.max)


def number(minimum=-math.inf, maximum=math.inf):
    """A finite number in [minimum, maximum]."""
    return Field("a number" + _range_words(minimum, maximum),
                 lambda value: _is_number(value) and minimum <= value <= maximum)


def integer(minimum=-math.inf, maximum=math.inf):
    """A whole number in [minimum, maximum], written without a decimal point."""
    return Field("an integer" + _range_words(minimum, maximum),
                 lambda value: isinstance(value, int) and not isinstance(value, bool)
                 and minimum <= value <= maximum)


def boolean():
    """true or false."""
    return Field("true or false", lambda value: isinstance(value, bool))


def text():
    """A string that is not empty."""
    return Field("a string that is not empty", lambda value: isinstance(value, str) and value != "")


def choice(*values):
    """One of the given strings."""
    return Field("one of " + ", ".join(json.dumps(value) for value in values),
                 lambda value: isinstance(value, str) and value in values)


def list_of(field, length=None):
    """A list whose items all satisfy `field`; `length` fixes how many."""
    many = "a list" if length is None else f"a list of length {length}"
    return Field(f"{many}, each item {field.expected}",
                 lambda value: isinstance(value, list) and length in (None, len(value))
                 and all(map(field.accepts, value)))


def mapping():
    """A JSON object; pass it to check_params for its own keys."""
    return Field("an object {...}", lambda value: isinstance(value, dict))


def parse_params(layer_name, param_str, required, optional):
    """Reads a layer's param_str into a dict that holds every key of `required` and `optional`.

    required: {key: Field}; optional: {key: (Field, default)}, the default taken as it is.  An empty
    param_str counts as {}.  Raises InputError as described at the top of this module.
    """
    return parse_object(layer_name + ": param_str", param_str or "{}", required, optional)


def parse_object(where, content, required, optional):
    """parse_params for JSON text from elsewhere; `where` names it in the messages."""
    try:
        given = json.loads(content, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid JSON: {error}",
                         _keys_in_words(required, optional)) from None
    return check_params(where, given, required, optional)


def check_params(where, given, required, optional):
    """parse_params for an object that is decoded already; `where` names it in the messages."""
    keys = _keys_in_words(required, optional)
    if not isinstance(given, dict):
        raise InputError(f"{where} must be a JSON object, found {_shown(given)}", keys)
    fields = dict(required)
    fields.update((key, field) for key, (field, _) in optional.items())
    for key in given:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f", did you mean {json.dumps(near[0])}?" if near else ""
            raise InputError(f"{where} has the unknown key {_shown(key)}{hint}", keys)
    for key in required:
        if key not in given:
            raise InputError(f"{where} lacks the key {json.dumps(key)}", keys)
    for key, value in given.items():
        if not fields[key].accepts(value):
            raise InputError(f"{where}: {json.dumps(key)} must be {fields[key].expected}, found "
                             f"{_shown(value)}", keys)
    values = {key: default for key, (_, default) in optional.items()}
    values.update(given)
    return values


def _once(pairs):
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {_shown(twice)} is given twice")
    return values


def _no_constant(name):
    raise ValueError(f"{name} is not a JSON number")


def _range_words(minimum, maximum):
    if math.isinf(minimum) and math.isinf(maximum):
        return ""
    if math.isinf(maximum):
        return f" >= {minimum}"
    if math.isinf(minimum):
        return f" <= {maximum}"
    return f" from {minimum} to {maximum}"


def _shown(value):
    shown = json.dumps(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _keys_in_words(required, optional):
    words = [f"{key} ({field.expected})" for key, field in required.items()]
    words += [f"{key} ({field.expected}; default {_shown(default)})"
              for key, (field, default) in optional.items()]
    return "its keys are: " + "; ".join(words) if words else "it takes no keys"
