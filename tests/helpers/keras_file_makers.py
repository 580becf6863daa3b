"""Write files of Keras that are damaged, of another kind, or made to harm."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import regtorch as rt

Make = Callable[[Path], Any]
DENSE = "layers/dense/vars"


class Runs:
    """A pickle that would leave a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch it-ran",)


def net() -> rt.keras.Loaded | Any:
    layers = [
        {"class_name": "InputLayer", "config": {"batch_shape": [None, 3], "name": "input"}},
        {"class_name": "Dense", "config": {"units": 4, "name": "first"}},
        {"class_name": "Dense", "config": {"units": 2, "name": "second"}},
    ]
    return rt.keras.from_config({"class_name": "Sequential", "config": {"name": "net", "layers": layers}})[0]


def good(path: Path) -> dict[str, bytes]:
    """Write a good file; its members."""
    rt.keras.save(net(), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(change: Callable[[zipfile.ZipFile], None], **replaced: bytes | None) -> Make:
    """A good file with other members (named without their endings), and then changed."""

    def make(path: Path) -> None:
        members = good(path)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                content = replaced.get(name.partition(".")[0], content)
                if content is not None:
                    archive.writestr(name, content)
            change(archive)

    return make


def configured(**changes: Any) -> Make:
    """A good file with other settings of its first layer."""

    def make(path: Path) -> None:
        config = json.loads(good(path)["config.json"])
        layer = config["config"]["layers"][1]
        layer["class_name"] = changes.pop("class_name", layer["class_name"])
        layer["config"] |= changes.get("config", {})
        version = json.dumps({"keras_version": changes.get("version", "3.15.1")}).encode()
        zipped(nothing, config=json.dumps(config).encode(), metadata=version)(path)

    return make


def nothing(archive: zipfile.ZipFile) -> None:
    pass


def added(name: str, content: bytes = b"x", **settings: Any) -> Make:
    return zipped(lambda archive: archive.writestr(name, content, **settings))


def weighted(change: Callable[[Any], None]) -> Make:
    """A good file whose HDF5 file is changed."""

    def make(path: Path) -> None:
        import h5py

        content = io.BytesIO(good(path)["model.weights.h5"])
        with h5py.File(content, "r+") as file:
            change(file)
        zipped(nothing, model=content.getvalue())(path)

    return make


def replaced(name: str, value: Any = None, **settings: Any) -> Make:
    """A good file with another array."""

    def change(file: Any) -> None:
        del file[name]
        if settings:
            file.create_dataset(name, **settings)
        elif value is not None:
            file[name] = value

    return weighted(change)


def linked(link: Callable[[Any], Any]) -> Make:
    def change(file: Any) -> None:
        import h5py

        del file[f"{DENSE}/0"]
        file[f"{DENSE}/0"] = link(h5py)

    return weighted(change)


def virtual(file: Any) -> None:
    import h5py

    del file[f"{DENSE}/0"]
    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 4))
    file.create_virtual_dataset(f"{DENSE}/0", layout)


def cycle(file: Any) -> None:
    file[f"{DENSE}/again"] = file["layers"]


def encrypted(path: Path) -> None:
    good(path)
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + flags] |= 1
            at = content.find(mark, at + 1)
    path.write_bytes(content)


def changed(change: Callable[[bytes], bytes]) -> Make:
    def make(path: Path) -> None:
        good(path)
        path.write_bytes(change(path.read_bytes()))

    return make


def contains(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


def npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


def folder(*names: str) -> Make:
    def make(path: Path) -> None:
        path.mkdir()
        for name in names:
            (path / name).write_bytes(b"x")

    return make


def hdf5(path: Path, change: Callable[[Any], None]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        change(file)


def write_legacy(file: Any, **attributes: Any) -> None:
    """A `model.h5` of Keras 2, written by hand."""
    config = {"class_name": "Sequential", "config": json.loads(json.dumps(dict(net().config["config"])))}
    file.attrs["model_config"] = json.dumps(config)
    file.attrs["keras_version"] = "2.14.0"
    weights = file.create_group("model_weights")
    weights.attrs["layer_names"] = [b"first", b"second"]
    for name, sizes in (("first", (3, 4)), ("second", (4, 2))):
        group = weights.create_group(name)
        group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
        group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = np.ones(sizes, "f4"), np.zeros(sizes[1], "f4")
    for key, value in attributes.items():
        file.attrs[key] = value


def legacy(change: Callable[[Any], None] = lambda file: None, **attributes: Any) -> Make:
    def make(path: Path) -> None:
        hdf5(path, lambda file: (write_legacy(file, **attributes), change(file)))

    return make


def exchange(file: Any, name: str, value: Any) -> None:
    del file[name]
    file[name] = value


def third_layer(file: Any) -> None:
    weights = file["model_weights"]
    weights.attrs.create("layer_names", [b"first", b"second", b"third"])
    group = weights.create_group("third")
    group.attrs["weight_names"] = [b"a"]
    group["a"] = np.zeros(3)


def top_level(file: Any) -> None:
    group = file["model_weights"].create_group("top_level_model_weights")
    group.attrs["weight_names"] = [b"a"]
    group["a"] = np.zeros(3)
