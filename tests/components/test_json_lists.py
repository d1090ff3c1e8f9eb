import io
import json

import pytest

from components.validate_data import json_lists as module
from components.validate_data.json_lists import JsonText, json_lists


def refuse(name, window):
    raise ValueError(name)


def read(text, names=("a", "b")):
    found = json_lists(JsonText(io.StringIO(text), refuse), names)
    return {key: list(elements) for key, elements in found}


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_lists_are_json_s_wherever_the_text_is_cut(monkeypatch, size):
    monkeypatch.setattr(module, "CHUNK", size)
    content = {"x": {"a": [0]}, "a": [12, {"k": [1.5, "]"]}, -3e4], "n": 123, "b": []}
    for indent in (None, 1):
        assert read(json.dumps(content, indent=indent)) == {"a": content["a"], "b": []}


def test_what_is_no_object_has_no_lists():
    assert read("[]") == {}
    assert read('{"a": 3}') == {}


@pytest.mark.parametrize("text", ["", "{", '{"a": [1', '{"a": [1,]}', '{"a" 1}', "{} {}", "{1: 2}"])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(json.JSONDecodeError):
        read(text)
