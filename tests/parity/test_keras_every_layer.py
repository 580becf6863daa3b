"""Every public layer of live Keras 3, and of Keras 2.14 by its names, is supported or refused for a stated reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import keras
from keras_json import build, layer
from regtorch.keras.layers import LAYERS
from regtorch.keras.layers.refused import REFUSED

ELSEWHERE = {"InputLayer"}  # part of the graph
# The classes in keras.layers, keras.layers.experimental and keras.layers.experimental.preprocessing.
OF_KERAS_2 = set((Path(__file__).parent / "layers-keras-2.14.txt").read_text().split())


def public() -> dict[str, type]:
    """Keras's layers; of several names for one class, the first."""
    found: dict[type, str] = {}
    for name in sorted(dir(keras.layers)):
        value: Any = getattr(keras.layers, name)
        if isinstance(value, type) and issubclass(value, keras.layers.Layer):
            own = value.__name__
            found[value] = own if own in LAYERS or own in REFUSED or value not in found else found[value]
            found[value] = found[value] if hasattr(keras.layers, found[value]) else name
    return {name: value for value, name in found.items()}


def test_each_is_supported_or_refused():
    assert (public().keys() | OF_KERAS_2) - LAYERS.keys() - REFUSED.keys() - ELSEWHERE == set()
    assert LAYERS.keys() & REFUSED.keys() == set()


def test_none_that_is_refused_is_unknown_to_keras():
    assert REFUSED.keys() - public().keys() - OF_KERAS_2 == set()


@pytest.mark.parametrize("name", REFUSED)
def test_the_message_says_why(name: str):
    with pytest.raises(ValueError, match=rf"layer 'it' \({name}\) is not supported: ") as error:
        build(layer(name))
    assert REFUSED[name] in str(error.value)
