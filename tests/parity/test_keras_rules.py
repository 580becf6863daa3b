"""Penalties and constraints against live Keras 3 (its torch backend): values, gradients, identifiers and configs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from hypothesis import given
from hypothesis import strategies as st

import keras
import regtorch as rt
from regtorch.keras.variables import variables

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's

R, C = keras.regularizers, keras.constraints
REGULARIZERS: dict[str, Callable[[], Any]] = {
    "L1": lambda: R.L1(0.3),
    "L2": lambda: R.L2(0.2),
    "L1L2": lambda: R.L1L2(0.3, 0.2),
    "rows": lambda: R.OrthogonalRegularizer(0.3, "rows"),
    "columns": lambda: R.OrthogonalRegularizer(0.3, "columns"),
}
CONSTRAINTS: dict[str, Callable[[Any], Any]] = {
    "MaxNorm": lambda axis: C.MaxNorm(1.1, axis),
    "UnitNorm": C.UnitNorm,
    "MinMaxNorm": lambda axis: C.MinMaxNorm(0.8, 1.2, 0.7, axis),
    "NonNeg": lambda axis: C.NonNeg(),
}
LAYERS: dict[str, tuple[torch.nn.Module, list[Any]]] = {
    "Dense": (torch.nn.Linear(7, 5), [0, 1, -1, [0, 1]]),
    "Conv1D": (torch.nn.Conv1d(3, 4, 5), [0, 1, 2, [0, 1]]),
    "Conv2D": (torch.nn.Conv2d(3, 4, (5, 2)), [0, 1, 2, 3, [0, 1, 2], [0, 1], (-1, 0)]),
    "Conv3D": (torch.nn.Conv3d(2, 3, 2), [0, [0, 1, 2, 3]]),
    "Conv2DTranspose": (torch.nn.ConvTranspose2d(3, 4, 2), [0, [0, 1, 3]]),
    "Embedding": (torch.nn.Embedding(6, 3), [0, 1]),
    "bias": (torch.nn.LayerNorm(6), [0]),
}
ALLOWED = {"float64": 1e-12, "float32": 1e-6}


def random(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parity("penalties: values and gradients", "Keras 3 (torch), {dtype}")
@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("name", REGULARIZERS)
def test_penalties(name: str, dtype: str, compare: Compare, floatx: Callable[[str], None]):
    floatx(dtype)
    theirs = REGULARIZERS[name]()
    ours = rt.keras.penalty(theirs)
    assert ours is not None
    within = ALLOWED[dtype]
    for seed, shape in enumerate([(7, 5), (2, 9), (12, 3)]):
        kernel = torch.tensor(random(shape, dtype, seed), requires_grad=True)
        weight = kernel.detach().T.contiguous().requires_grad_()
        value, expected = ours(weight), theirs(kernel)
        value.backward()
        expected.backward()
        compare(value, expected, within=within)
        compare(weight.grad.T, kernel.grad, within=within)
        compare(ours.grad(weight.detach()).T, kernel.grad, within=within)


@pytest.mark.parity("constraints: on every axis of every layer's kernel", "Keras 3 (torch), {dtype}")
@pytest.mark.parametrize("dtype", ALLOWED)
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints(name: str, layer: str, dtype: str, compare: Compare, floatx: Callable[[str], None]):
    floatx(dtype)
    module, axes = LAYERS[layer]
    variable = variables(module)[0]
    within = ALLOWED[dtype]
    for axis in axes:
        theirs = CONSTRAINTS[name](axis)
        ours = rt.keras.constraint(theirs, layer=module)
        assert ours is not None
        kernel = torch.tensor(random(variable.shape, dtype))
        weight = variable.to_torch(kernel, variable.read(module).shape).contiguous()
        expected = theirs(kernel)
        compare(variable.to_keras(ours(weight)), expected, within=within)
        compare(variable.to_keras(ours.project_(weight.clone())), expected, within=within)


def test_a_constraint_without_a_layer_is_keras_advice_for_kernels():
    for axis in (0, [0, 1], [0, 1, 2], [2, 0, 1], [0, 1, 2, 3]):
        rule = rt.keras.constraint({"class_name": "MaxNorm", "config": {"max_value": 3, "axis": axis}})
        assert rule == rt.MaxNorm(3.0, epsilon=1e-7)
    with pytest.raises(ValueError, match=r"axis=\[1\] has no known meaning without a layer; give layer="):
        rt.keras.constraint({"class_name": "UnitNorm", "config": {"axis": 1}})


@pytest.mark.parametrize(
    ("identifier", "rule"),
    [
        *(("l1", rt.L1(0.01)), ("L1", rt.L1(0.01)), ("l2", rt.L2(0.01)), ("L2", rt.L2(0.01))),
        *(("keras.regularizers.l1_l2", rt.L1L2(l1=0.01, l2=0.01)), ("keras.regularizers.L2", rt.L2(0.01))),
        *(("l1_l2", rt.L1L2(l1=0.01, l2=0.01)), ("L1L2", rt.L1L2()), ("l1l2", rt.L1L2()), (None, None)),
        ("orthogonal_regularizer", rt.Orthogonal(0.01, mode="columns")),
        ({"class_name": "OrthogonalRegularizer", "config": {"mode": "columns"}}, rt.Orthogonal(0.01, mode="rows")),
        ({"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.5}}, rt.L1L2(l1=0.0, l2=0.5)),
        (R.L2(0.5), rt.L2(0.5)),
        (rt.L2(0.7, select="all"), rt.L2(0.7, select="all")),
    ],
)
def test_identifiers_of_penalties(identifier: Any, rule: Any):
    assert rt.keras.penalty(identifier) == rule


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (("max_norm", "MaxNorm", "maxnorm"), rt.MaxNorm(2.0, epsilon=1e-7)),
        (("unit_norm", "UnitNorm", "unitnorm"), rt.UnitNorm(epsilon=1e-7)),
        (("min_max_norm", "MinMaxNorm"), rt.MinMaxNorm(0.0, 1.0, 1.0, epsilon=1e-7)),
        (("non_neg", "NonNeg", "nonneg"), rt.NonNeg()),
        ((None,), None),
    ],
)
def test_identifiers_of_constraints(names: Any, rule: Any):
    assert all(rt.keras.constraint(name) == rule for name in names)


STRENGTH = st.floats(0, 10, allow_nan=False)
RULES = st.one_of(
    STRENGTH.map(rt.L1),
    STRENGTH.map(rt.L2),
    st.builds(lambda a, b: rt.L1L2(l1=a, l2=b), STRENGTH, STRENGTH),
    st.builds(lambda s, m: rt.Orthogonal(s, mode=m), STRENGTH, st.sampled_from(["rows", "columns"])),
    STRENGTH.map(lambda s: rt.MaxNorm(s, epsilon=1e-7)),
    st.just(rt.UnitNorm(epsilon=1e-7)),
    st.just(rt.NonNeg()),
    st.builds(lambda a, r: rt.MinMaxNorm(a, a + 1, r, epsilon=1e-7), STRENGTH, st.floats(0, 1)),
)


@given(RULES)
def test_configs_go_there_and_back(rule: Any):
    config = rt.keras.serialize(rule)
    assert config is not None
    back = rt.keras.constraint if isinstance(rule, rt.Constraint) else rt.keras.penalty
    assert back(config) == rule
    module = C if isinstance(rule, rt.Constraint) else R
    theirs = module.get(config)
    for argument, value in theirs.get_config().items():  # Keras keeps some numbers in float32
        expected = config["config"][argument]
        assert value == (pytest.approx(expected, rel=1e-6) if isinstance(expected, float) else expected)
    assert type(back(theirs)) is type(rule)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: rt.keras.penalty("l3"),
            ValueError,
            "penalty: 'l3' is not supported; supported are L1, L2, L1L2",
        ),
        (lambda: rt.keras.penalty(0.01), TypeError, "penalty: expected a name or a Keras config, received 0.01"),
        (lambda: rt.keras.penalty({"config": {}}), ValueError, "a config needs a string class_name"),
        (lambda: rt.keras.penalty({"class_name": "L2", "config": {"l1": 1}}), ValueError, "L2 has no l1; it has l2"),
        (lambda: rt.keras.penalty({"class_name": "L2", "config": {"l2": -1}}), ValueError, "L2: lam must be a finite"),
        (lambda: rt.keras.constraint("radial_constraint"), ValueError, "'radial_constraint' is not supported; supp"),
        (
            lambda: rt.keras.constraint({"class_name": "MaxNorm", "config": {"axis": 2}}, layer=torch.nn.Linear(2, 2)),
            *(ValueError, r"axis must name dims of the kernel of shape \(2, 2\), received \[2\]"),
        ),
        (
            lambda: rt.keras.constraint("max_norm", layer=torch.nn.ReLU()),
            ValueError,
            "layer must be a module with a kernel, received ReLU",
        ),
        (
            lambda: rt.keras.penalty({"class_name": "L2", "config": {}, "registered_name": "mine>L2"}),
            *(ValueError, "'L2' is a user-defined class, which is not supported"),
        ),
        (
            lambda: rt.keras.constraint({"class_name": "MaxNorm", "config": {}, "module": "mine"}),
            *(ValueError, "'MaxNorm' is a user-defined class, which is not supported"),
        ),
        (lambda: rt.keras.serialize(rt.GroupLasso()), TypeError, "Keras has no GroupLasso; it has L1, L2"),
        (lambda: rt.keras.serialize(rt.MaxNorm()), ValueError, "Keras's MaxNorm has epsilon=1e-7"),
    ],
)
def test_errors(call: Callable[[], Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()
