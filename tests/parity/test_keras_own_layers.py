"""Layers of one's own, in live Keras 3 and as modules of `custom_objects`: weights from files, and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from torch import Tensor, nn

import keras
import regtorch as rt

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras's
    pytest.mark.filterwarnings("ignore:.*HDF5 file via:UserWarning"),  # Keras's
]
L = keras.layers


@keras.saving.register_keras_serializable("mine")
class Block(L.Layer):
    """Own weights, layers as attributes, and a list of them."""

    def __init__(self, width: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.width = width
        self.up, self.norm, self.drop = L.Dense(width), L.LayerNormalization(), L.Dropout(0.0)
        self.towers = [L.Dense(width), L.LayerNormalization(), L.Dense(width)]

    def build(self, input_shape: Any) -> None:
        self.gain = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gain")
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.up.build(input_shape)
        for layer in (self.norm, *self.towers):
            layer.build((*input_shape[:-1], self.width))
        self.down = L.Dense(input_shape[-1])
        self.down.build((*input_shape[:-1], self.width))

    def call(self, x: Any) -> Any:
        y = self.drop(self.norm(self.up(x)))
        for layer in self.towers:
            y = layer(y)
        return x + self.gain * self.down(y)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


class TorchBlock(nn.Module):
    """The same in torch."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        size, width = config["build_config"]["input_shape"][-1], config["width"]
        self.gain = nn.Parameter(torch.ones(size))
        self.register_buffer("seen", torch.zeros(()))
        self.up, self.norm = nn.Linear(size, width), nn.LayerNorm(width, eps=1e-3)
        self.towers = nn.ModuleList([nn.Linear(width, width), nn.LayerNorm(width, eps=1e-3), nn.Linear(width, width)])
        self.down = nn.Linear(width, size)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.up(x))
        for layer in self.towers:
            y = layer(y)
        return x + self.gain * self.down(y)


class Subclassed(keras.Model):
    """A net that is a class."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = L.Dense(5), L.Dense(2)

    def call(self, x: Any) -> Any:
        return self.last(keras.ops.tanh(self.first(x)))


class Coder(keras.Model):
    """A net that is a class, of functional nets."""

    def __init__(self, encoder: Any, decoder: Any) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def call(self, x: Any) -> Any:
        return self.decoder(self.encoder(x))

    def get_config(self) -> dict[str, Any]:
        return {}


class TorchCoder(nn.Module):
    """The same in torch."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class Torch(nn.Module):
    """The same in torch."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.first = nn.Linear(5, 2), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).tanh())


@pytest.mark.parity("layers of one's own in {name}", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", ["model.keras", "model.h5", "net.weights.h5"])
def test_a_layer(name: str, compare: Compare, floatx: Callable[[str], None], tmp_path: Path):
    floatx("float64")
    model = keras.Sequential([keras.Input((4,)), Block(6), Block(3), L.Dense(2)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).standard_normal((6, 4))
    model.fit(x, x[:, :2], verbose=0)
    own = {"Block": TorchBlock}
    if name.endswith(".weights.h5"):
        model.save_weights(tmp_path / name)
        net, _ = rt.keras.from_config(model.to_json(), custom_objects=own)
        rt.keras.load_weights(net, tmp_path / name)
    else:
        model.save(tmp_path / name)
        net, _, optimizer, loss, _ = rt.keras.load(tmp_path / name, own)
        assert optimizer is not None
        assert loss is not None
        compare(net(torch.from_numpy(x)), model(x), within=1e-14)
        model.train_on_batch(x, x[:, :2])
        loss(net(torch.from_numpy(x)), torch.from_numpy(x[:, :2])).backward()
        optimizer.step()
        for left, right in zip(rt.keras.get_weights(net), model.get_weights(), strict=True):
            compare(left, right, within=1e-10)  # Adam's, of gradients near 0
    compare(net(torch.from_numpy(x)), model(x), within=1e-10)
    rt.keras.save(net, tmp_path / "back.weights.h5")
    if name != "model.h5":  # whose arrays are in order, so that nothing tells how Keras nests the layers
        again = keras.Sequential.from_config(model.get_config())  # not compiled
        again.load_weights(tmp_path / "back.weights.h5")
        compare(net(torch.from_numpy(x)), again(x), within=1e-14)


@pytest.mark.parametrize("name", ["model.keras", "net.weights.h5"])
def test_a_net_that_is_a_class(name: str, tmp_path: Path):
    model, x = Subclassed(), np.random.default_rng(0).standard_normal((6, 4)).astype("float32")
    expected = torch.as_tensor(model(x)).detach()
    model.save(tmp_path / name) if name == "model.keras" else model.save_weights(tmp_path / name)
    net = rt.keras.load_weights(Torch(), tmp_path / name)
    torch.testing.assert_close(net(torch.from_numpy(x)), expected)
    if name == "model.keras":
        with pytest.raises(
            ValueError, match=r"class_name='Subclassed'; a subclassed model has no config .*load_weights"
        ):
            rt.keras.load(tmp_path / name)


@pytest.mark.parametrize("name", ["model.keras", "net.weights.h5"])
def test_a_net_that_is_a_class_of_functional_nets(name: str, tmp_path: Path):
    """They are attributes in torch too, from their own configs."""
    start = keras.Input((3, 4))
    attended = L.MultiHeadAttention(2, 3)(start, start)
    encoder = keras.Model(start, L.Flatten()(L.BatchNormalization()(L.Dense(4)(L.Normalization()(attended)))))
    decoder = keras.Sequential([keras.Input((12,)), Block(6, name="block"), L.Dense(5), L.Dense(2)])
    model, x = Coder(encoder, decoder), np.random.default_rng(0).standard_normal((6, 3, 4)).astype("float32")
    expected = torch.as_tensor(model(x)).detach()
    model.save(tmp_path / name) if name == "model.keras" else model.save_weights(tmp_path / name)
    halves = [
        rt.keras.from_config(half.to_json(), custom_objects={"Block": TorchBlock})[0] for half in (encoder, decoder)
    ]
    net = rt.keras.load_weights(TorchCoder(*halves), tmp_path / name).eval()
    torch.testing.assert_close(net(torch.from_numpy(x)), expected)


class Inner(keras.Model):
    """A class in a class."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = L.Dense(6), L.Dense(4)

    def call(self, x: Any) -> Any:
        return self.down(self.up(x))


class Late(keras.Model):
    """Its attributes are before and after "layers" in the alphabet, which Keras's files tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.zeta, self.first, self.drop = L.Dense(4), L.Dense(4), L.Dropout(0.5)
        self.towers, self.branches = [L.Dense(4), [L.Dense(4)]], {"a": L.Dense(4)}
        self.norm, self.inner = L.LayerNormalization(), Inner()
        self.rest = keras.Sequential([keras.Input((4,)), L.Dense(3), L.Dense(4)])

    def call(self, x: Any) -> Any:
        x = self.towers[1][0](self.towers[0](self.drop(self.first(self.zeta(x)))))
        return self.rest(self.inner(self.norm(self.branches["a"](x))))


class TorchInner(nn.Module):
    """The same in torch."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(4, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x))


class TorchLate(nn.Module):
    """The same in torch."""

    def __init__(self, rest: nn.Module) -> None:
        super().__init__()
        self.zeta, self.first = nn.Linear(4, 4), nn.Linear(4, 4)
        self.towers = nn.ModuleList([nn.Linear(4, 4), nn.ModuleList([nn.Linear(4, 4)])])
        self.branches = nn.ModuleDict({"a": nn.Linear(4, 4)})
        self.norm, self.inner, self.rest = nn.LayerNorm(4, eps=1e-3), TorchInner(), rest

    def forward(self, x: Tensor) -> Tensor:
        towers: Any = self.towers
        x = towers[1][0](towers[0](self.first(self.zeta(x))))
        return self.rest(self.inner(self.norm(self.branches["a"](x))))


@pytest.mark.parametrize("of_keras", [False, True])
def test_attributes_after_layers_in_the_alphabet(of_keras: bool, tmp_path: Path):
    model, x = Late(), np.random.default_rng(0).standard_normal((6, 4)).astype("float32")
    model.compile("sgd", "mse", metrics=["mae"])
    model.fit(x, x, verbose=0)
    expected = torch.as_tensor(model(x)).detach()
    model.save_weights(tmp_path / "net.weights.h5")
    rest = (
        rt.keras.from_config(model.rest.to_json())[0] if of_keras else nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 4))
    )
    net = rt.keras.load_weights(TorchLate(rest), tmp_path / "net.weights.h5")
    torch.testing.assert_close(net(torch.from_numpy(x)), expected)
