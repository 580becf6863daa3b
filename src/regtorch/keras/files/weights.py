"""Load weights from arrays or from Keras's files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from regtorch.checks import flag
from regtorch.keras.build import on_meta
from regtorch.keras.files.saved import Saved, saved
from regtorch.keras.files.weights_by_path import Match, by_attributes, legacy_group, listed, matched
from regtorch.keras.net import KerasNet
from regtorch.keras.net_variables import assign, load_arrays
from regtorch.keras.read import MODELS

__all__ = ["fill", "load_weights"]


def load_weights(
    model: nn.Module, arrays: Sequence[Any] | Mapping[str, Any] | str | os.PathLike[str], *, finite: bool = True
) -> nn.Module:
    """Load Keras's weights, a file's or those of `model.get_weights()`, into a torch net with the same layers.

    Converted are Dense kernels (in, out), convolution kernels (height, width, in, out), transposed and depthwise ones,
    and the order of a flattened map, which Keras keeps channels last. BatchNorm takes gamma, beta, moving mean and
    moving variance. Weights carry no settings: a torch BatchNorm needs Keras's eps=1e-3. In a net not built by
    `from_config`, a Linear or BatchNorm1d that follows a convolution in the order of modules and has k times its
    channels as inputs is assumed to take its flattened map; nets from `from_config` have Keras's order.

    Args:
        model: a net of linear, convolution, embedding and norm layers, defined in Keras's order.
        arrays: the path of a `.keras`, `.h5` or `.weights.h5` file, whose arrays are found by their paths (h5py reads
            them); or an array for each variable, layer by layer: NumPy arrays, tensors or nested lists, or the result
            of `numpy.load` on a file from `numpy.savez(file, *model.get_weights())`. Names in a dict that end in a
            Keras variable's ("conv/kernel") must match the variable at that position.
        finite: refuse non-finite numbers; False loads them unchanged.

    Returns:
        The same net.

    Raises:
        TypeError: a module owns parameters that Keras has no variables for, or computes a weight from others; `arrays`
            is neither a path nor a list.
        FileNotFoundError: there is no file at the path.
        ModuleNotFoundError: h5py is not installed.
        ValueError: the number of arrays, a name or a shape does not match, or a number is not finite, overflows the
            net's dtype, or is a negative variance; the message names the layer. The file is of another kind or
            damaged. Nothing is loaded then.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(2, 1)
        >>> _ = rt.keras.load_weights(net, [[[1.0], [2.0]], [3.0]])
        >>> net(torch.tensor([[1.0, 1.0]])).item()
        6.0
    """
    flag("load_weights", "finite", finite)
    if not isinstance(arrays, str | os.PathLike):
        load_arrays(model, arrays, finite=finite)
        return model
    with saved("load_weights", arrays) as given:
        if isinstance(model, KerasNet):
            fill(matched(model, given.file), given, finite=finite)
        else:
            _load_into_own(model, given, finite=finite)
    return model


def fill(pairs: Sequence[Match], given: Saved, *, finite: bool) -> None:
    """Give variables of a net the arrays of a file.

    Raises:
        ValueError: a number is not allowed.
    """
    assign([(entry, (path, given.file.read(path))) for entry, path in pairs], finite=finite)


def _load_into_own(model: nn.Module, given: Saved, *, finite: bool) -> None:
    """Load a file into a net that `from_config` has not built.

    The order is that of Keras's `get_weights()`, or where the file does not say it, the attributes' names tell.
    """
    if given.config is not None and given.config.get("class_name") in MODELS:
        _, net = on_meta(given.config, logits=False, version=given.major, custom_objects=None)
        order = [path for _, path in matched(net, given.file)]
    elif legacy_group(given.file) is not None:
        order = listed(given.file)
    else:
        fill(by_attributes(model, given.file), given, finite=finite)
        return
    load_arrays(model, [given.file.read(path) for path in order], finite=finite)
