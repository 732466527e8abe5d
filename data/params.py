"""Strict reading of JSON objects with known keys: a Python layer's param_str, a statistics file, an
LMDB's meta.json.

    parse_params("DomainAdversarialLoss", '{"weight": 0.1, "source_images": 1}',
                 required={"weight": number(minimum=0), "source_images": integer(minimum=1)},
                 optional={"objective": (choice("confusion", "reversal"), "confusion")})

A missing or unknown key, a key given twice, a value of the wrong type or out of its range, NaN and
text that is not JSON each raise InputError with the layer's name and the list of its keys.
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
    # A whole number too large for a float is no use to any layer, and math.isfinite would raise on
    # it.
    return isinstance(
        value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def number(minimum=-math.inf, maximum=math.inf):
    """A finite number in [minimum, maximum]."""
    return Field("a number" + _range_words(minimum, maximum),
                 lambda value: _is_number(value) and minimum <= value <= maximum)


def integer(minimum=-math.inf, maximum=math.inf):
    """A whole number in [minimum, maximum], written without a decimal point."""
    return Field(
        "an integer" + _range_words(minimum, maximum), lambda value: isinstance(value, int) and
        not isinstance(value, bool) and minimum <= value <= maximum)


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
    many = "a list" if length is None else "a list of length {}".format(length)
    return Field(
        "{}, each item {}".format(many, field.expected),
        lambda value: isinstance(value, list) and length in
        (None, len(value)) and all(map(field.accepts, value)))


def mapping():
    """A JSON object; pass it to check_params for its own keys."""
    return Field("an object {...}", lambda value: isinstance(value, dict))


def parse_params(layer_name, param_str, required, optional):
    """Reads a layer's param_str into a dict that holds every key of `required` and `optional`.

    required: {key: Field}; optional: {key: (Field, default)}, the default taken as it is. An empty
    param_str reads as {}. Raises InputError as the module's text says.
    """
    return parse_object(layer_name + ": param_str", param_str or "{}", required, optional)


def parse_object(where, content, required, optional):
    """As parse_params, for JSON text from elsewhere; `where` names it in the messages."""
    try:
        given = json.loads(content, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError("{} is not valid JSON: {}".format(where, error),
                         _keys_in_words(required, optional)) from None
    return check_params(where, given, required, optional)


def check_params(where, given, required, optional):
    """As parse_params, for an object that is read already; `where` names it in the messages."""
    keys = _keys_in_words(required, optional)
    if not isinstance(given, dict):
        raise InputError("{} must be a JSON object, found {}".format(where, _shown(given)), keys)
    fields = dict(required)
    fields.update((key, field) for key, (field, _) in optional.items())
    for key in given:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = ", did you mean {}?".format(json.dumps(near[0])) if near else ""
            raise InputError("{} has the unknown key {}{}".format(where, _shown(key), hint), keys)
    for key in required:
        if key not in given:
            raise InputError("{} lacks the key {}".format(where, json.dumps(key)), keys)
    for key, value in given.items():
        if not fields[key].accepts(value):
            raise InputError(
                "{}: {} must be {}, found {}".format(where, json.dumps(key), fields[key].expected,
                                                     _shown(value)), keys)
    values = {key: default for key, (_, default) in optional.items()}
    values.update(given)
    return values


def _once(pairs):
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError("the key {} is given twice".format(
            _shown(next(k for k in keys if keys.count(k) > 1))))
    return values


def _no_constant(name):
    raise ValueError("{} is not a JSON number".format(name))


def _range_words(minimum, maximum):
    if math.isinf(minimum) and math.isinf(maximum):
        return ""
    if math.isinf(maximum):
        return " >= {}".format(minimum)
    if math.isinf(minimum):
        return " <= {}".format(maximum)
    return " from {} to {}".format(minimum, maximum)


def _shown(value):
    shown = json.dumps(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _keys_in_words(required, optional):
    words = ["{} ({})".format(key, field.expected) for key, field in required.items()]
    words += [
        "{} ({}; default {})".format(key, field.expected, _shown(default))
        for key, (field, default) in optional.items()
    ]
    return "its keys are: " + "; ".join(words) if words else "it takes no keys"
