"""A net of keras.applications beside ours, in float64 and with small images; for a process of its own.

Keras's float type and backend are the process's, and the memory of hundreds of millions of weights goes back when it
ends. `python tests/parity/keras_applications.py [NAMES]` writes the differences down for docs/keras_layers.md.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from regtorch.keras.build import on_meta

__all__ = ["Difference", "applications", "compared", "prepare"]


class Difference(NamedTuple):
    """The largest |ours - Keras's| over the largest |Keras's|.

    Attributes:
        with_top: outputs in evaluation.
        without_top: those of the net that ends before its head.
        trained: outputs in training mode.
        weights: each variable after that step of SGD, the worst.
    """

    with_top: float
    without_top: float
    trained: float
    weights: float


def applications() -> list[str]:
    """The names of the 40 nets."""
    import keras

    return sorted(name for name, make in vars(keras.applications).items() if inspect.isfunction(make))


def prepare() -> None:
    """Set Keras to float64 on one thread."""
    os.environ["KERAS_BACKEND"] = "torch"
    from keras.src.backend.common import dtypes
    from keras.src.initializers import random_initializers

    import keras

    torch.set_num_threads(1)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    # Outside TensorFlow Keras 3 multiplies float64 matrices in float32, to be like JAX; here it must not.
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    for name in ("uniform", "truncated_normal"):  # drawing takes most of the time
        setattr(random_initializers.random, name, _zeros)


def compared(name: str) -> Difference:
    """Evaluate both nets, with their top and without, and train them for a step.

    With batch norms of mean 0 and variance 1, deep nets of random weights are chaotic: EfficientNetV2M makes 1e12 times
    as much of a difference. So batch norms first take the batch's statistics. Drop rates are 0.
    """
    import keras
    import regtorch as rt

    keras.utils.set_random_seed(0)
    theirs = _made(name, top=True)
    x = 255 * torch.rand(2 if name.startswith("ConvNeXt") else 4, *theirs.input_shape[1:], dtype=torch.float64)
    with torch.no_grad():
        theirs(x, training=True)
    bare = _made(name, top=False)
    for v, value in zip(bare.weights, _values(theirs), strict=False):
        v.assign(value)
    without_top = _evaluated(bare, _converted(bare), x)
    del bare
    ours = _converted(theirs)
    with_top = _evaluated(theirs, ours, x)
    rule = keras.optimizers.SGD(0.01)
    optimizer = rt.keras.optimizer(rule, [w for w in ours.parameters() if w.requires_grad])
    expected = theirs(x, training=True)
    _loss(expected).backward()
    variables = theirs.trainable_variables
    rule.apply([v.value.grad for v in variables], variables)
    for v in variables:
        v.value.grad = None
    trained = ours.train()(x.movedim(-1, 1))
    _loss(trained).backward()
    optimizer.step()
    weights = max(map(_difference, rt.keras.get_weights(ours), _values(theirs)))
    return Difference(with_top, without_top, _difference(trained, expected), weights)


def _made(name: str, top: bool) -> Any:
    """Keras's net; with its top, no weight is 0."""
    from keras.src.applications import nasnet

    import keras

    size = 67 if name.startswith("NASNet") else 128 if name.startswith(("Inception", "Xception")) else 64
    size = 32 if name.startswith("ConvNeXt") else size
    settings: dict[str, Any] = {"weights": None, "include_top": top, "input_shape": (size, size, 3)}
    settings |= {"classifier_activation": None} if top else {}
    if name == "NASNetMobile":  # refused with torch, whose uneven "same" average pools are wrong; here none is uneven
        shape = {"penultimate_filters": 1056, "num_blocks": 4, "stem_block_filters": 32, "skip_reduction": False}
        theirs: Any = nasnet.NASNet(**shape, filter_multiplier=2, classes=1000, default_size=224, **settings)
    else:
        theirs = getattr(keras.applications, name)(**settings)
    for v in theirs.weights if top else ():
        fans = v.shape[:2] if v.path.endswith("depthwise_kernel") else v.shape[:-1]
        limit = (6 / math.prod(fans)) ** 0.5 if len(v.shape) > 1 else 0.2
        value = v.value.detach()
        if not value.is_floating_point() or v.path.endswith("variance"):
            continue
        value += torch.empty_like(value).uniform_(-limit, limit)
    for layer in theirs._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
        for rate in ("rate", "drop_path_rate"):
            if hasattr(layer, rate):
                setattr(layer, rate, 0.0)
    return theirs


def _converted(theirs: Any) -> Any:
    import regtorch as rt

    _, ours = on_meta(theirs.to_json(), logits=False, version=None, custom_objects=None)  # no weights are drawn
    return rt.keras.load_weights(ours.to_empty(device="cpu"), _values(theirs))


def _values(theirs: Any) -> list[Tensor]:
    return [v.value.detach() for v in theirs.weights]


def _evaluated(theirs: Any, ours: Any, x: Tensor) -> float:
    with torch.no_grad():
        expected, y = theirs(x, training=False), ours.eval()(x.movedim(-1, 1))
    return _difference(y.movedim(1, -1) if y.ndim == 4 else y, expected)


def _loss(y: Tensor) -> Tensor:
    """Another weight for each class, so that a wrong order shows."""
    return (y * torch.linspace(-1, 2, y.shape[-1], dtype=y.dtype)).mean() + y.square().mean()


def _difference(ours: Any, theirs: Any) -> float:
    a, b = (torch.as_tensor(value).detach().double() for value in (ours, theirs))
    assert a.shape == b.shape
    assert a.isfinite().all()
    apart, largest = (torch.linalg.vector_norm(x, torch.inf) for x in (a - b, b))
    return float(apart / largest if largest > 0 else apart)


def _zeros(shape: Sequence[int], *settings: Any, **others: Any) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


if __name__ == "__main__":
    prepare()
    FILE = Path(__file__).with_suffix(".json")
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for net in sys.argv[1:] or applications():
        found[net] = compared(net)
        print(net, found[net], flush=True)
        rows = [f"{json.dumps(name)}: {json.dumps(found[name])}" for name in applications() if name in found]
        FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
