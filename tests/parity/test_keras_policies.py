"""Nets whose layers have another dtype than their inputs, as `set_dtype_policy` without `set_floatx` makes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import regtorch as rt

keras = pytest.importorskip("keras")
L = keras.layers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's


@pytest.fixture
def policy(request: pytest.FixtureRequest) -> Iterator[str]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "float32", "float64"], indirect=True)
def test_inputs_are_cast_to_the_layers_dtype(policy: str):
    inner = keras.Sequential([keras.Input((4,)), L.Dense(5, activation="relu")])
    theirs = keras.Sequential([keras.Input((6, 6, 2)), L.Conv2D(4, 3), L.GlobalMaxPooling2D(), inner, L.Dense(3)])
    ours, _ = rt.keras.from_config(theirs.to_json())
    weights = [np.asarray(w, dtype="float32") for w in theirs.get_weights()]
    rt.keras.load_weights(ours, weights)
    assert {p.dtype for p in ours.parameters()} == {getattr(torch, policy)}
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 6, 6, 2)).astype("float32"))
    expected = theirs(x)
    output = ours(x.movedim(-1, 1))
    assert output.dtype == expected.dtype
    within = 1e-6 if policy in ("float32", "float64") else 2e-2  # Keras multiplies float64 in float32
    torch.testing.assert_close(output, expected, rtol=within, atol=within)


@pytest.mark.parametrize("policy", ["float16", "float64"], indirect=True)
def test_nets_without_weights_compute_in_their_dtype(policy: str):
    theirs = keras.Sequential([keras.Input((4,)), L.ReLU()])
    ours, _ = rt.keras.from_config(theirs.to_json())
    x = torch.randn(3, 4)
    assert ours(x).dtype == theirs(x).dtype == getattr(torch, policy)


def test_several_policies_in_one_net_are_refused():
    theirs = keras.Sequential([keras.Input((4,)), L.Dense(5, dtype="float64"), L.Dense(3)])
    with pytest.raises(ValueError, match=r"an input of torch\.float32 to a layer of torch\.float64 is not supported"):
        rt.keras.from_config(theirs.to_json())
