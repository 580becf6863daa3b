"""`${found:...}` in a config: what the user's own data says of itself, before it is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from regtorch.app.ground.errors import RunError

if TYPE_CHECKING:
    from regtorch.app.data.csv_file import Columns

__all__ = ["found"]

_FOLDER, _CSV = "regtorch.data.ImageFolders", "regtorch.data.Csv"


def found(what: str, default: Any = None, *, _root_: DictConfig) -> Any:
    """The value of `${found:classes}`, `${found:shape,DEFAULT}` and `${found:outputs}`.

    classes: the number of classes; null if the targets are numbers.
    shape: the shape of a sample, DEFAULT for data that has none of its own to follow.
    outputs: the number of outputs that a net needs: `data.num_classes`, or 1 if it is null.
    """
    data = _root_.data
    given: Any = OmegaConf.to_container(data)  # as written: `resize` may refer to what is asked here
    target = given.get("_target_")
    if what == "outputs":
        return data.get("num_classes") or 1
    if what == "classes":
        return _classes(target, given)
    if what == "shape":
        return OmegaConf.create(list(_shape(target, given) or default))  # a plain list cannot be stored in a config
    raise RunError(f"${{found:...}}: expected classes, shape or outputs, received {what!r}")


def _classes(target: str, given: Mapping[str, Any]) -> int | None:
    if target == _CSV:
        return len(_columns(given).targets().classes) or None
    from regtorch.app.data.image_folder import looked_at  # late: --help needs none of it

    return len(looked_at(_place(given, "dir", "photos"), upright=given.get("upright") is True).classes)


def _shape(target: str, given: Mapping[str, Any]) -> list[int] | None:
    resize, size = given.get("resize"), given.get("size")
    if isinstance(resize, list):
        return resize
    if target == _CSV:
        return [_columns(given).inputs().values.shape[1]]
    if target != _FOLDER:
        return [3, *size] if isinstance(size, list) and len(size) == 2 else None
    from regtorch.app.data.image_folder import looked_at

    seen = looked_at(_place(given, "dir", "photos"), upright=given.get("upright") is True).looks
    if size is None:
        return [seen.channels, seen.height, seen.width]
    return [seen.channels, *(size if isinstance(size, list) else [size, size])]


def _columns(given: Mapping[str, Any]) -> "Columns":
    from regtorch.app.data.csv_file import Columns

    for key, example in (("file", "table.csv"), ("target", "COLUMN")):
        _given(given, key, example)
    keys = ("target", "delimiter", "on_missing")
    options = {key: given[key] for key in keys if key in given}
    return Columns(_place(given, "file", "table.csv"), ignore=tuple(given.get("ignore") or ()), **options)


def _place(given: Mapping[str, Any], key: str, example: str) -> Path:
    return Path(str(_given(given, key, example))).expanduser().absolute()


def _given(given: Mapping[str, Any], key: str, example: str) -> Any:
    value = given.get(key)
    if value in (None, "???"):
        raise RunError(f"data.{key}: expected a value, received none; give data.{key}={example}")
    return value
