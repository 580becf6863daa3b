"""Modules of `custom_objects` keep what they hold, and are found in files by their attributes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_keras_own_classes import KERAS_3, own
from torch import Tensor, nn

import regtorch as rt
from keras_json import build, dense


class Scale(nn.Module):
    """A gain and a shift of its own, a count, and tensors that Keras does not know."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        (size,) = config["build_config"]["input_shape"][1:]
        self.gain = nn.Parameter(torch.full((size,), 3.0))
        self.tied = self.gain
        self.shift = nn.Parameter(torch.arange(size) * 1.0)
        self.register_buffer("count", torch.tensor(5.0))
        self.register_buffer("rate", torch.tensor(0.5), persistent=False)
        self.one = torch.tensor(1.0)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain * self.rate * self.one + self.shift + torch.zeros(1, device=x.device)


def mine(**config: Any) -> dict[str, Any]:
    return own({"class_name": "Scale", "config": {"name": "mine", **config}}, KERAS_3)


@pytest.mark.parametrize("before", [[], [dense()]])
def test_a_module_keeps_its_values_and_its_ties(before: list[Any]):
    net: Any
    net, rules = build(*before, mine(gain_regularizer="l2"), custom_objects={"Scale": Scale}, seed=1)
    size = 3 if before else 4
    assert rules == [rt.L2(0.01, select="name:mine.gain")]
    assert net.mine.tied is net.mine.gain
    x = torch.randn(2, size)
    torch.testing.assert_close(net.mine(x), 1.5 * x + torch.arange(size))
    names = [name for name, _ in net.mine.named_parameters()]
    assert (names, [tuple(w.shape) for w in rt.keras.get_weights(net)][-3:]) == (
        ["gain", "shift"],
        [(size,), (size,), ()],
    )


def test_an_initializer_in_the_config_draws_its_weight():
    net: Any
    net, _ = build(mine(shift_initializer="ones"), custom_objects={"Scale": Scale})
    assert net.mine.shift.tolist() == [1.0] * 4
    assert net.mine.gain.tolist() == [3.0] * 4


def test_a_module_in_place_of_a_function_is_copied_for_each_layer():
    module = Scale({"build_config": {"input_shape": [None, 4]}})
    net: Any
    net, _ = build(
        mine(), {**mine(), "config": {"name": "other", "trainable": False}}, custom_objects={"Scale": module}
    )
    assert net.mine is not net.other
    assert [p.requires_grad for p in (net.mine.gain, net.other.gain, module.gain)] == [True, False, True]
    torch.testing.assert_close(net.other.gain, module.gain, check_device=True)


def test_a_function_that_does_not_take_the_config():
    for function, error, said in [
        (lambda: Scale({}), TypeError, "raised TypeError: .* takes 0 positional arguments"),
        (torch.square, TypeError, "raised TypeError: square"),
        (lambda config: config["steps"], ValueError, "raised KeyError: 'steps'"),
        (lambda config: Scale, TypeError, "must return a module for the layer 'mine', got"),
    ]:
        with pytest.raises(error, match=rf"layer 'mine' \(Scale\): custom_objects\['Scale'\] .*{said}"):
            build(mine(), custom_objects={"Scale": function})
