"""A net of keras.applications beside ours, in float64 and with small images; for a process of its own.

Keras's float type and backend are the process's, and the memory of hundreds of millions of weights goes back when it
ends.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Difference", "applications", "compared", "prepare"]


class Difference(NamedTuple):
    """The largest |ours - Keras's| over the largest |Keras's|.

    Attributes:
        trained: outputs in training mode.
        weights: each variable after that step of SGD, the worst.
        with_top: outputs in evaluation after the step.
        without_top: those of the net that ends before its head.
    """

    trained: float
    weights: float
    with_top: float
    without_top: float


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
    random_initializers.random.truncated_normal = _truncated  # Keras's takes most of the time


def compared(name: str) -> Difference:
    """Train both nets for a step, then evaluate them, with their top and without.

    Weights drawn as they are make deep nets chaotic: in evaluation, with means of 0 and variances of 1, EfficientNetV2M
    makes 1e12 times as much of a difference. So batch norms take this batch's statistics in the step, and evaluate with
    them. Drop rates are 0.
    """
    import keras
    import regtorch as rt

    keras.utils.set_random_seed(0)
    theirs = _made(name, top=True)
    ours = _converted(theirs)
    x = 255 * torch.rand(2 if name.startswith("ConvNeXt") else 4, *theirs.input_shape[1:], dtype=torch.float64)
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
    optimizer.zero_grad()
    weights = max(map(_difference, rt.keras.get_weights(ours), (v.numpy() for v in theirs.weights)))
    with_top = _evaluated(theirs, ours, x)
    del ours, optimizer
    bare = _made(name, top=False)
    bare.set_weights([v.numpy() for v in theirs.weights[: len(bare.weights)]])
    del theirs
    return Difference(_difference(trained, expected), weights, with_top, _evaluated(bare, _converted(bare), x))


def _made(name: str, top: bool) -> Any:
    """Keras's net, with no zeros and ones among its weights."""
    import keras
    from keras.src.applications import nasnet

    size = 67 if name.startswith("NASNet") else 128 if name.startswith(("Inception", "Xception")) else 64
    size = 32 if name.startswith("ConvNeXt") else size
    settings: dict[str, Any] = {"weights": None, "include_top": top, "input_shape": (size, size, 3)}
    settings |= {"classifier_activation": None} if top else {}
    if name == "NASNetMobile":  # refused with torch, whose uneven "same" average pools are wrong; here none is uneven
        shape = {"penultimate_filters": 1056, "num_blocks": 4, "stem_block_filters": 32, "skip_reduction": False}
        theirs: Any = nasnet.NASNet(**shape, filter_multiplier=2, classes=1000, default_size=224, **settings)
    else:
        theirs = getattr(keras.applications, name)(**settings)
    rng = np.random.default_rng(0)
    for v in theirs.weights:
        if len(v.shape) == 1 and "float" in v.dtype and not v.path.endswith("moving_variance"):
            v.assign(v.numpy() + 0.1 * abs(rng.standard_normal(v.shape)))
    for layer in theirs._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
        for rate in ("rate", "drop_path_rate"):
            if hasattr(layer, rate):
                setattr(layer, rate, 0.0)
    return theirs


def _converted(theirs: Any) -> Any:
    import regtorch as rt

    config = re.sub(r'(?<="kernel_initializer": ){.*?"config": {.*?}.*?}', '"zeros"', theirs.to_json())  # drawn fast
    ours, _ = rt.keras.from_config(config)
    return rt.keras.load_weights(ours, [v.numpy() for v in theirs.weights])


def _evaluated(theirs: Any, ours: Any, x: Tensor) -> float:
    with torch.no_grad():
        expected, y = theirs(x, training=False), ours.eval()(x.movedim(-1, 1))
    return _difference(y.movedim(1, -1) if y.ndim == 4 else y, expected)


def _loss(y: Tensor) -> Tensor:
    """Another weight for each class, so that a wrong order shows."""
    return (y * torch.linspace(-1, 2, y.shape[-1], dtype=y.dtype)).mean() + y.square().mean()


def _difference(ours: Any, theirs: Any) -> float:
    a, b = (torch.as_tensor(value).detach() for value in (ours, theirs))
    assert a.shape == b.shape
    assert a.isfinite().all()
    apart, largest = (a - b).abs().max(), b.abs().max()
    return float(apart / largest if largest > 0 else apart)


def _truncated(
    shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Uniform numbers of the same deviation."""
    return torch.empty(shape, dtype=torch.float64).uniform_(mean - 3**0.5 * stddev, mean + 3**0.5 * stddev)
