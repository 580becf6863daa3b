"""Which array of a file belongs to which variable of a net, as Keras itself maps them.

Keras 3 numbers a net's layers within each class ("layers/conv2d_1/vars/0"), whatever their names. Keras 2's HDF5 files
and Keras 3's `model.h5` list the layers that have weights, in the net's order; in a nested net the weights that train
come first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from posixpath import normpath
from typing import Any

from torch import nn

from regtorch.checks import shown
from regtorch.keras.calls import Source
from regtorch.keras.files.h5 import H5
from regtorch.keras.net import KerasNet
from regtorch.keras.net_variables import NetVariable, net_variables
from regtorch.keras.own_modules import is_own, parts_in
from regtorch.select.weight import modules_of

__all__ = ["Match", "by_attributes", "legacy_group", "listed", "matched", "paths"]

Match = tuple[NetVariable, str]  # a variable of the net and the path of its array

_UNTIL_2_14 = "_layer_checkpoint_dependencies"  # its name for "layers"
# State that a net may lack: of random generators, the batches that Normalization has adapted to, and metrics.
_IGNORED = re.compile(
    r"/seed_generator(_[0-9]+)?/vars/|/_random_generator/|/normalization(_[0-9]+)?/vars/2$|/metrics/[^/]+/vars/"
)
_PRIVATE = re.compile(r"/_(\w+_dense)/")  # attributes of attention layers, which Keras 3 has as properties too
_OWN = (
    "; a module of one's own holds the weights of Keras's layer in Keras's order, as parameters and then buffers "
    "(other buffers have persistent=False), and the layers in it as attributes of the same names, in the same "
    "order, and in lists as classes of the same names"
)


def matched(net: KerasNet, file: H5) -> list[Match]:
    """The variables of a net from `from_config` with the paths of their arrays, whose shapes fit.

    Raises:
        ValueError: the file has other arrays than the net.
    """
    group = legacy_group(file)
    return _fitted(list(_by_path(net, file) if group is None else _by_layer(net, file, group)), file)


def _fitted(pairs: list[Match], file: H5) -> list[Match]:
    for entry, path in pairs:
        try:
            entry.fit(tuple(file.arrays[path].shape))
        except ValueError as error:
            message = str(error).removeprefix("load_weights: ")
            raise ValueError(f"its weights are another net's: {message} in {shown(path)}") from None
    return pairs


def legacy_group(file: H5) -> str | None:
    """The group of weights in a file that lists its layers; None in Keras 3's own files."""
    return next((group for group in ("model_weights", "") if _lists(file, group)), None)


def _lists(file: H5, group: str) -> bool:
    return group in file.groups and any(file.has(group, name) for name in ("layer_names", "layer_names0"))


def paths(net: KerasNet, file_paths: Collection[str] = ()) -> Iterator[Match]:
    """The variables of a net and where Keras 3 stores them; with a file's paths where it has a module's own layers."""
    return _placed(net, _groups(net, file_paths))


def _placed(net: nn.Module, groups: Mapping[str, str]) -> Iterator[Match]:
    used = Counter[str]()
    for entry in net_variables(net):
        for part in entry.variable.groups:
            group = normpath(f"{groups[entry.layer]}/{part}")
            yield entry, f"{group}/vars/{used[group]}".lstrip("/")
            used[group] += 1


def _groups(net: nn.Module, file_paths: Collection[str] = (), *, own: bool = False) -> dict[str, str]:
    """The group of the Keras layer that each submodule is or belongs to.

    A module's `keras_parts` tell which of its submodules are Keras layers too, and their groups in its own. Those of a
    module of the user's are the attributes that the file has; with `own` so are those of every module without any.
    """
    groups: dict[str, str] = {}
    placed: dict[str, str] = {}
    for name, module in modules_of(net).items():
        group = groups[name] = placed.get(name, groups.get(name.rpartition(".")[0], ""))
        for child, part in _parts(module, group, file_paths, own=own).items():
            placed.setdefault(f"{name}.{child}".lstrip("."), f"{group}/{part}".lstrip("/"))
    return groups


def _parts(module: Any, group: str, file_paths: Collection[str], *, own: bool) -> Mapping[str, str]:
    """The groups of a module's submodules in its own, by their names, dotted for those in lists."""
    if file_paths and is_own(module):
        module.keras_parts = parts_in(module, group, file_paths)
    elif own and not hasattr(module, "keras_parts"):
        return parts_in(module, group, file_paths)
    return getattr(module, "keras_parts", {})


def by_attributes(model: nn.Module, file: H5) -> list[Match]:
    """The variables of a module of one's own, whose attributes have the names of a Keras net's, with their paths.

    Raises:
        ValueError: the file has other arrays than the module.
    """
    found = [path for path in file.arrays if not path.startswith("optimizer/")]
    layers = [path for path in found if not _IGNORED.search(f"/{path}")]
    renamed = {_of_all_versions(path): path for path in found}  # as the layers of a net of `from_config` name them
    pairs = [
        (entry, path if path in found else renamed.get(_of_all_versions(path), path))
        for entry, path in _placed(model, _groups(model, layers, own=True))
    ]
    _refuse_others([path for _, path in pairs], found, _OWN)
    return _fitted(pairs, file)


def _by_path(net: KerasNet, file: H5) -> Iterator[Match]:
    renamed = {_of_all_versions(path): path for path in file.arrays}
    found = {name: path for name, path in renamed.items() if name.startswith("layers/")}
    if not found and file.arrays and "layers" not in file.groups and _UNTIL_2_14 not in file.groups:
        raise ValueError(f"it has no layers of Keras; its arrays are {shown(sorted(file.arrays))}")
    wanted = {_of_all_versions(path): entry for entry, path in paths(net, found)}
    _refuse_others(wanted, found, _OWN if any(map(is_own, net.modules())) else "")
    for name, entry in wanted.items():
        yield entry, found[name]


def _refuse_others(wanted: Collection[str], found: Collection[str], hint: str) -> None:
    missing = [name for name in wanted if name not in found]
    surplus = [name for name in found if name not in wanted and not _IGNORED.search(f"/{name}")]
    if missing or surplus:
        parts = [f"{what} {_few(names)}" for what, names in (("lacks", missing), ("has besides", surplus)) if names]
        raise ValueError(f"its weights are another net's: it {', and it '.join(parts)}{hint}")


def _of_all_versions(path: str) -> str:
    return _PRIVATE.sub(r"/\1/", path.replace(_UNTIL_2_14, "layers"))


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(sorted(names)[:3]) + more


def listed(file: H5) -> list[str]:
    """The paths of all arrays in a file that lists its layers, in its order."""
    group = legacy_group(file) or ""
    return [path for name in file.names(group, "layer_names") for path in _arrays(file, group, name)]


def _by_layer(net: KerasNet, file: H5, group: str) -> Iterator[Match]:
    ours = [(source, entries) for source in net.layers if (entries := _trained_first(net, source))]
    theirs = [(name, arrays) for name in file.names(group, "layer_names") if (arrays := _arrays(file, group, name))]
    surplus = _arrays(file, group, "top_level_model_weights")
    if surplus:
        raise ValueError(f"its net has weights of its own, outside its layers: {_few(surplus)}")
    for (source, entries), (name, arrays) in zip(ours, theirs, strict=False):
        if len(entries) != len(arrays):
            raise ValueError(
                f"its weights are another net's: the layer {source.name!r} ({source.class_name}) takes "
                f"{len(entries)} arrays, and {name!r} in the file has {len(arrays)}"
            )
        yield from zip(entries, arrays, strict=True)
    if len(ours) != len(theirs):
        raise ValueError(
            f"its weights are another net's: the net has {len(ours)} layers with weights, the file {len(theirs)}"
        )


def _trained_first(net: KerasNet, source: Source) -> list[NetVariable]:
    if source.module is None:
        return []
    entries = net_variables(net.get_submodule(source.module))
    for entry in entries:
        entry.layer = f"{source.module}.{entry.layer}".rstrip(".")
    return sorted(entries, key=lambda entry: not entry.tensor.requires_grad)


def _arrays(file: H5, group: str, layer: str) -> list[str]:
    path = f"{group}/{layer}".lstrip("/")
    if path not in file.groups:
        if layer == "top_level_model_weights":
            return []
        raise ValueError(f"it is damaged: it lists a layer {shown(layer)} and has no group for it")
    found = [f"{path}/{name}" for name in file.names(path, "weight_names")]
    missing = next((name for name in found if name not in file.arrays), None)
    if missing is not None:
        raise ValueError(f"it is damaged: it lists an array {shown(missing)} that it does not have")
    return found
