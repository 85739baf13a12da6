"""Files of a model that nobody here wrote are refused before anything is allocated or built."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest

from intent_tasks.core.input_version import INPUT_VERSION
from intent_tasks.core.vocabulary import COLUMNS, FIRST_CODE
from intent_tasks.definition import EVENT_TYPES, HORIZONS_DAYS
from intent_tasks.errors import BadInput
from intent_tasks.models import arrays, config

RATES = {str(h): 0.25 for h in HORIZONS_DAYS}


def saved(**values):
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **values)
    return file.getvalue()


def archive(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, content in members:
            made.writestr(name, content)
    return file.getvalue()


def array(header, content=b"", version=(1, 0)):
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text + content


def header(dtype="'<f4'", shape="(3,)", order="False"):
    return f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}"


def test_arrays_are_read_as_they_were_saved():
    values = {"b": np.arange(6.0).reshape(2, 3), "a": np.float32([1, 2]), "t": np.array("text")}
    values["f"] = np.asfortranarray(values["b"])
    found = arrays.read("w.npz", saved(**values))
    assert list(found) == sorted(values)
    for name, value in values.items():
        np.testing.assert_array_equal(found[name], value)


HOSTILE = {
    "nothing": b"",
    "no archive": b"weights",
    "cut": saved(w=np.zeros(100))[:-60],
    "objects": saved(w=np.array([{}], object)),
    "compressed": archive([("w.npy", b"0" * 2**20)], zipfile.ZIP_DEFLATED),
    "twice": archive([("w.npy", array(header(), b"0" * 12)), ("x.npy", b"")]),
    "no array": archive([("w.txt", b"")]),
    "larger than it is": archive([("w.npy", array(header(shape="(200_000, 200_000)")))]),
    "negative": archive([("w.npy", array(header(shape="(-3, -1)"), b"0" * 12))]),
    "empty texts": archive([("w.npy", array(header("'<U0'", "(10**12,)")))]),
    "no bytes each": archive([("w.npy", array(header("'<U0'", "(1000000000000,)")))]),
    "structured": archive([("w.npy", array(header("[('a', '<f4')]"), b"0" * 12))]),
    "code": archive([("w.npy", array("__import__('os').abort()"))]),
    "nested": archive([("w.npy", array("(" * 5000))]),
    "open text": archive([("w.npy", array("'''"))]),
    "another version": archive([("w.npy", array(header(), b"0" * 12, (9, 9)))]),
    "surplus": archive([("w.npy", array(header(), b"0" * 13))]),
    "many": archive([(f"{n}.npy", b"") for n in range(arrays.MAX_ARRAYS + 1)]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_archive_that_is_none_of_ours_is_refused(name):
    with pytest.raises(BadInput, match="holds no readable arrays"):
        arrays.read("w.npz", HOSTILE[name])


def test_any_change_of_a_byte_is_read_or_refused():
    content, rng = saved(a=np.arange(5.0), b=np.float32([[1], [2]])), np.random.default_rng(1)
    refused = 0
    for _ in range(1500):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        try:
            arrays.read("w.npz", bytes(changed))
        except BadInput:
            refused += 1
    assert refused > 1000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_number_are_refused(value):
    with pytest.raises(BadInput, match=r"w in w\.npz"):
        arrays.require_finite({"w": np.array([1, value])}, "w.npz")


def configured(**changes):
    size = {"events": 128, "steps": 32, "width": 32, "depth": 1}
    built = {"encoder": "gru", "size": size, "vocabulary_sizes": {"brand": 9}}
    found = {"architecture": built | {"mixed_precision": False}}
    found |= {"base_rates": RATES, "thresholds": RATES, "input_version": INPUT_VERSION}
    found |= {"blend": {"share": 0.5, "shift": 0.1, "boosters": 2}}
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = found
        for parent in parents:
            place = place[parent]
        place[last] = value
    return {config.CONFIG: json.dumps(found).encode()}


def test_a_configuration_is_read():
    assert config.read_served(configured()).architecture.size.width == 32


@pytest.mark.parametrize("changes", [
    {"architecture__size__width": 200_000}, {"architecture__size__width": 0},
    {"architecture__size__depth": 10**6}, {"architecture__size__steps": 10**9},
    {"architecture__size__events": -1}, {"architecture__size__width": 32.0},
    {"architecture__size__width": True}, {"architecture__size__width": "32"},
    {"architecture__size__more": 1}, {"architecture__vocabulary_sizes": {"brand": 10**9}},
    {"architecture__vocabulary_sizes": {str(n): 2 for n in range(99)}}, {"architecture": []},
    {"base_rates": {"7": 0.2}}, {"base_rates": RATES | {"7": 1.5}},
    {"base_rates": RATES | {"7": float("nan")}}, {"thresholds": {}}, {"more": 1},
    {"blend__boosters": 10**6}, {"blend__shift": float("inf")}, {"blend__share": -0.1},
])  # fmt: skip
def test_a_configuration_out_of_bounds_is_refused(changes):
    with pytest.raises(BadInput, match=r"config\.json"):
        config.read_served(configured(**changes))


@pytest.mark.parametrize("content", [
    None, b"", b"[" * 50_000, b"null", b"\xff", b"[]", b" " * 70_000, b'{"architecture": {}}'
])  # fmt: skip
def test_a_configuration_that_is_none_is_refused(content):
    with pytest.raises(BadInput, match=r"config\.json"):
        config.read({} if content is None else {config.CONFIG: content})


@pytest.mark.parametrize("version", [None, 1, "1-of_another", {"deep": []}, "x" * 60_000])
def test_a_model_of_another_input_version_is_refused(version):
    with pytest.raises(BadInput, match=f"computes {INPUT_VERSION}.*Train again") as refused:
        config.read_served(configured(input_version=version))
    assert refused.value.exit_code == 78
    assert len(str(refused.value)) < 300


def vocabulary(**changes):
    found = {name: {"a": FIRST_CODE, "b": FIRST_CODE + 1} for name in COLUMNS}
    found["event_type"] = {name: FIRST_CODE + n for n, name in enumerate(EVENT_TYPES)}
    found["picture"] = {"2:AAAAAA==": FIRST_CODE}
    return found | changes


def test_the_codes_of_a_vocabulary_are_those_of_the_network():
    config.require_codes(vocabulary())


@pytest.mark.parametrize("change", [
    {"brand": {"a": 10**6}}, {"brand": {"a": -1}}, {"brand": {"a": 2, "b": 2}},
    {"brand": {str(n): FIRST_CODE + n for n in range(201)}}, {"other": {}},
    {"picture": {"2:x": FIRST_CODE}}, {"picture": {f"{'9' * 30}:AAAA": FIRST_CODE}},
    {"picture": {"p": FIRST_CODE}}, {"picture": {"2:" + "AAAA" * 99: FIRST_CODE}},
])  # fmt: skip
def test_a_vocabulary_with_codes_of_nothing_is_refused(change):
    with pytest.raises(BadInput, match=r"vocabulary\.json"):
        config.require_codes(vocabulary(**change))


@pytest.mark.parametrize("content", [b"[]", b'{"brand": 1}', b'{"brand": {"a": "2"}}', b"{"])
def test_a_vocabulary_that_is_none_is_refused(content):
    with pytest.raises(BadInput, match=r"vocabulary\.json"):
        config.read_vocabulary({config.VOCABULARY: content})
