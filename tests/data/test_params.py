"""data/params.py: a param_str is read strictly."""
import pytest

from data.errors import InputError
from data.params import (
    boolean,
    check_params,
    choice,
    integer,
    list_of,
    mapping,
    number,
    parse_params,
    text,
)

REQUIRED = {"weight": number(minimum=0), "images": integer(minimum=1)}
OPTIONAL = {
    "objective": (choice("confusion", "reversal"), "confusion"), "mean": (list_of(number(),
                                                                                  3), None),
    "mirror": (boolean(), True), "name": (text(), "x"), "source": (mapping(), None)
}


def parse(param_str):
    return parse_params("SomeLayer", param_str, REQUIRED, OPTIONAL)


def test_defaults_are_filled_in():
    assert parse('{"weight": 0.5, "images": 2}') == {
        "weight": 0.5, "images": 2, "objective": "confusion", "mean": None, "mirror": True,
        "name": "x", "source": None
    }


def test_given_values_win():
    values = parse('{"weight": 1, "images": 2, "mean": [1, 2.5, 3], "mirror": false, "source": '
                   '{"a": 1}}')
    assert (values["mean"], values["mirror"], values["source"]) == ([1, 2.5, 3], False, {"a": 1})


@pytest.mark.parametrize("param_str, words", [
    ('{"weight": 1}', 'lacks the key "images"'),
    ('{"weight": 1, "images": 2, "weigth": 3}', 'unknown key "weigth", did you mean "weight"'),
    ('{"weight": 1, "images": 2, "weight": 3}', "twice"),
    ('{"weight": -1, "images": 2}', '"weight" must be a number >= 0, found -1'),
    ('{"weight": "1", "images": 2}', "must be a number"),
    ('{"weight": true, "images": 2}', "must be a number"),
    ('{"weight": 1e999, "images": 2}', "must be a number"),
    ('{"weight": 1' + "0" * 400 + ', "images": 2}', "must be a number"),
    ('{"weight": NaN, "images": 2}', "not valid JSON"),
    ('{"weight": 1, "images": 2.0}', "must be an integer >= 1"),
    ('{"weight": 1, "images": true}', "must be an integer"),
    ('{"weight": 1, "images": 0}', "must be an integer >= 1, found 0"),
    ('{"weight": 1, "images": 2, "objective": "confuse"}',
     'must be one of "confusion", "reversal"'),
    ('{"weight": 1, "images": 2, "objective": ["confusion"]}', "must be one of"),
    ('{"weight": 1, "images": 2, "mean": [1, 2]}', "a list of length 3"),
    ('{"weight": 1, "images": 2, "mean": [1, 2, "3"]}', "a list of length 3"),
    ('{"weight": 1, "images": 2, "mirror": 1}', "true or false"),
    ('{"weight": 1, "images": 2, "name": ""}', "a string that is not empty"),
    ('{"weight": 1, "images": 2, "source": []}', "an object"),
    ("weight: 1", "not valid JSON"),
    ("[1]", "must be a JSON object, found [1]"),
    ("[" * 100000, "not valid JSON"),
    ("", 'lacks the key "weight"'),
])
def test_refused_with_the_layer_and_its_keys(param_str, words):
    with pytest.raises(InputError) as caught:
        parse(param_str)
    assert words in caught.value.what
    assert caught.value.what.startswith("SomeLayer: param_str")
    for key in list(REQUIRED) + list(OPTIONAL):
        assert key in caught.value.fix


def test_objects_inside_name_their_place():
    with pytest.raises(InputError, match="source.*unknown key \"split\""):
        check_params('SomeLayer: "source"', {"split": "train"}, {"dataset": text()}, {})


def test_a_layer_without_keys_says_so():
    with pytest.raises(InputError, match="takes no keys"):
        parse_params("SomeLayer", '{"a": 1}', {}, {})
