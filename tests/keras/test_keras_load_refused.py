"""What `load_weights` refuses: the message names the array, and nothing is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import regtorch as rt

NAN, INF = float("nan"), float("inf")


def net(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), rt.keras.BatchNorm(3)).to(dtype)


def arrays() -> list[Any]:
    return [np.ones((2, 3)), *[np.ones(3) for _ in range(5)]]


def changed(index: int, value: float, dtype: str = "float64") -> list[Any]:
    given = [a.astype(dtype) for a in arrays()]
    given[index].flat[1] = value
    return given


def check(given: Any, error: type[Exception], message: str, dtype: torch.dtype = torch.float32, **options: Any) -> None:
    model = net(dtype)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(error, match=message):
        rt.keras.load_weights(model, given, **options)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("index", range(6))
def test_numbers_that_are_not_finite(value: float, index: int):
    names = ["kernel of 0", "bias of 0", "gamma of 1", "beta of 1", "moving_mean of 1", "moving_variance of 1"]
    check(changed(index, value), ValueError, rf"the {names[index]} \(\w+\) has 1 non-finite number: {value}")
    check([a.tolist() for a in changed(index, value)], ValueError, "has 1 non-finite number")


@pytest.mark.parametrize(("value", "dtype"), [(1e39, torch.float32), (-70_000.0, torch.float16)])
def test_numbers_beyond_the_nets_dtype(value: float, dtype: torch.dtype):
    check(changed(0, value), ValueError, rf"the kernel of 0 .*{str(value)[-2:]}.* overflows .*{dtype}", dtype)


def test_finite_false_loads_non_finite_numbers():
    model = rt.keras.load_weights(net(), changed(0, NAN), finite=False)
    assert model.get_submodule("0").weight.isnan().sum() == 1
    check(arrays(), TypeError, "finite must be True or False, received 'no'", finite="no")


def test_negative_variances():
    rt.keras.load_weights(net(), changed(5, -1e-9))  # Keras 3 rounds below 0; epsilon keeps the root real
    check(changed(5, -0.1), ValueError, "the moving_variance of 1 .* must be above 0, received -0.1; .* order")


def test_a_path(tmp_path: Path):
    check(
        b"weights.npz", TypeError, r"arrays must be .* model.get_weights\(\) gives, .* received the path .*numpy.load"
    )
    np.savez(tmp_path / "weights.npz", *arrays())
    check(tmp_path / "weights.npz", ValueError, r"a NumPy archive; give numpy.load\(path\) to rt.keras.load_weights")


@pytest.mark.parametrize("given", [None, 3, {1, 2}, nn.Linear(2, 3), object()])
def test_not_a_list_of_arrays(given: Any):
    check(given, TypeError, rf"arrays must be .* model.get_weights\(\) gives, .* received .*{type(given).__name__}")


def test_arrays_of_numpy_savez_are_ordered_by_number(tmp_path: Path):
    model = nn.Sequential(*[nn.PReLU(2) for _ in range(12)])
    given = [np.full(2, float(i)) for i in range(12)]
    np.savez(tmp_path / "w.npz", *given)
    for saved in (np.load(tmp_path / "w.npz"), {f"arr_{i}": given[i] for i in (10, 11, *range(10))}):
        rt.keras.load_weights(model, saved)
        assert [m.weight.tolist() for m in model] == [[float(i)] * 2 for i in range(12)]
    with pytest.raises(ValueError, match="the arrays arr_0, arr_1, … must be numbered without a gap; arr_3 is missing"):
        rt.keras.load_weights(model, {f"arr_{i}": given[i] for i in range(12) if i != 3})


def named(*names: str) -> dict[str, Any]:
    return dict(zip(names, arrays(), strict=True))


@pytest.mark.parametrize("end", ["", ":0"])
def test_names_must_match_the_variables_at_their_positions(end: str):
    names = ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"]
    rt.keras.load_weights(net(), named(*[f"net/{name}{end}" for name in names]))
    rt.keras.load_weights(net(), named(*"abcdef"))
    names[2:4] = names[3], names[2]
    message = rf"received the array 'net/beta{end}' for the gamma of 1 \(BatchNorm\); .* order"
    check(named(*[f"net/{name}{end}" for name in names]), ValueError, message)


def test_a_state_dict():
    check(net().state_dict(), ValueError, "'0.weight'.* a state_dict, which has torch's layout; use .*load_state_dict")
    square = nn.Linear(2, 2, bias=False)
    with pytest.raises(ValueError, match="'weight'.* a state_dict"):
        rt.keras.load_weights(square, square.state_dict())


def test_a_deeply_nested_list():
    deep: Any = 1.0
    for _ in range(500):
        deep = [deep]
    check([deep, *arrays()[1:]], ValueError, r"expected an array for the kernel of 0 \(Linear\), received list")
