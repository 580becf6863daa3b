"""Write nets back to Keras's files."""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.extras import needed_by
from regtorch.keras.files.archive import CONFIG, METADATA, WEIGHTS
from regtorch.keras.files.flags import config_with_flags
from regtorch.keras.files.load import Loaded
from regtorch.keras.files.optimizer_state import settings_for
from regtorch.keras.files.weights_by_path import paths
from regtorch.keras.layers import LAYERS
from regtorch.keras.net import KerasNet
from regtorch.keras.optimizers import KerasOptimizer
from regtorch.keras.origin import with_layer_modules
from regtorch.keras.read import version_of
from regtorch.keras.structure import changed

__all__ = ["save"]

_WRITTEN_AS = "3.15.1"  # the Keras whose form the files have
_KEYS = ("module", "class_name", "config", "registered_name", "build_config", "compile_config")


def save(net: nn.Module, path: str | os.PathLike[str], *, optimizer: KerasOptimizer | None = None) -> None:
    """Write a net from `from_config` or `load` to a file that Keras 3 reads.

    A `.keras` file has the config that the net was built from and its weights as they are now, so that
    `keras.models.load_model(path)` gives the same outputs; `logits=True` changes nothing in it. A `.weights.h5` file
    has the weights, for `model.load_weights(path)`.

    The layers' flags `trainable` are written as they are now. The rules are those of the config, whatever was bound.

    Args:
        net: the net.
        path: where to write; the file's name ends in `.keras` or `.weights.h5`. It is replaced as a whole.
        optimizer: the one of `load`, whose state is written too; Keras then compiles the net as it was. None: Keras
            does not compile it.

    Raises:
        TypeError: the net is not one of `from_config` or `load`, or the optimizer is none of `rt.keras`.
        FileNotFoundError: there is no folder to write to.
        ValueError: a layer or a setting of the net was replaced since it was built; the name has another ending; it
            ends in `.keras`, and the net's config is of Keras 2, which Keras 3 does not read; or the net was compiled
            in Keras with another optimizer than the one given.
        ModuleNotFoundError: h5py is not installed.

    Example:
        >>> import tempfile, regtorch as rt
        >>> layers = [{"class_name": "Dense", "config": {"units": 2, "batch_shape": [None, 3]}}]
        >>> net, _ = rt.keras.from_config({"class_name": "Sequential", "config": {"layers": layers}})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rt.keras.save(net, f"{folder}/model.keras")
        ...     again = rt.keras.load(f"{folder}/model.keras").net
        >>> (again.get_parameter("dense_0.weight") == net.get_parameter("dense_0.weight")).all().item()
        True
    """
    if isinstance(net, Loaded):
        raise TypeError("save: net must be the net alone, received what load gives; give loaded.net")
    if optimizer is not None and not isinstance(optimizer, KerasOptimizer):
        kind = type(optimizer)
        raise TypeError(
            f"save: optimizer must be one of rt.keras, as load gives it, received {kind.__module__}.{kind.__name__}; "
            "leave it out, and compile in Keras"
        )
    if not isinstance(net, KerasNet) or not net.config:
        raise TypeError(
            f"save: net must be a whole net of rt.keras.from_config or rt.keras.load, received {type(net).__name__}; "
            "give rt.keras.get_weights(net) to model.set_weights in Keras"
        )
    edited = changed(net, net.built_as)
    if edited:
        raise ValueError(
            f"save: {edited}, so that the config which the net came with, and which the file would have, is another "
            "net's; save it with torch.save(net.state_dict(), path), or build the new net in Keras and give its "
            "set_weights rt.keras.get_weights(net)"
        )
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"save: there is no folder {target.parent}")
    if not target.name.endswith((".keras", ".weights.h5")):
        raise ValueError(f"save: the name must end in .keras or .weights.h5, received {target.name!r}")
    if target.suffix == ".keras" and version_of(net.config) == 2:
        raise ValueError(
            "save: the net's config is of Keras 2, and Keras 3 does not read those of most nets; build the net in "
            "Keras 3, and give it the weights: rt.keras.save(net, 'model.weights.h5') and model.load_weights"
        )
    arrays = [(place, entry.to_keras()) for entry, place in paths(net)]
    training = None
    if optimizer is not None:
        training = {**net.config.get("compile_config", {}), "optimizer": settings_for(net, optimizer)}
        state = optimizer.keras_state(net)
        arrays += [(f"optimizer/vars/{i}", torch.as_tensor(value)) for i, value in enumerate(state)]
    weights = _hdf5(arrays)
    _replace(target, _zip(net, training, weights) if target.suffix == ".keras" else weights)


def _hdf5(arrays: Iterable[tuple[str, Tensor]]) -> bytes:
    with needed_by("rt.keras.save"):
        import h5py
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for place, value in arrays:
            array = value.contiguous().cpu()
            if array.dtype == torch.bfloat16:  # as Keras stores it
                file.create_dataset(place, data=array.view(torch.int16).numpy().view("V2")).attrs["dtype"] = "bfloat16"
            else:
                file[place] = array.numpy()
    return content.getvalue()


def _zip(net: KerasNet, training: Mapping[str, Any] | None, weights: bytes) -> bytes:
    config = {
        **with_layer_modules(config_with_flags(net), {*LAYERS, "InputLayer"}, layer=True),
        "compile_config": training,
    }
    config = {key: part for key, part in config.items() if key in _KEYS}
    metadata = {"keras_version": _WRITTEN_AS, "date_saved": f"{datetime.now():%Y-%m-%d@%H:%M:%S}"}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(METADATA, json.dumps(metadata))
        archive.writestr(CONFIG, json.dumps(config))
        archive.writestr(WEIGHTS, weights)
    return content.getvalue()


def _replace(target: Path, content: bytes) -> None:
    """Write a file beside the target and rename it, so that there is never half a file."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
