"""What Keras saved in a file: a config, weights, and how the net was compiled."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regtorch.checks import shown
from regtorch.keras.files.archive import CONFIG, METADATA, WEIGHTS, members
from regtorch.keras.files.h5 import H5, opened
from regtorch.keras.files.kind import file_at, kind_of
from regtorch.keras.read import parsed

__all__ = ["Saved", "saved"]

_NEWEST = (3, 15)  # the Keras whose files were read in tests


@dataclass(frozen=True)
class Saved:
    """A file of Keras.

    Attributes:
        file: the open HDF5 file with the weights.
        config: the net's config; None in a file of weights.
        training: how the net was compiled, as `compile_config` has it; None if it was not.
        version: Keras's version, such as "3.15.1"; "" if the file does not say.
    """

    file: H5
    config: Mapping[str, Any] | None
    training: Mapping[str, Any] | None
    version: str

    @property
    def major(self) -> int | None:
        """The version of Keras to follow, 2 or 3; None if the file does not say."""
        match = re.match(r"[0-9]{1,9}", self.version)
        return None if match is None else 2 if int(match[0]) < 3 else 3

    @property
    def is_newer(self) -> bool:
        """Whether a newer Keras wrote the file than the tests know."""
        match = re.match(r"([0-9]{1,9})\.([0-9]{1,9})", self.version)
        return match is not None and (int(match[1]), int(match[2])) > _NEWEST


@contextmanager
def saved(who: str, path: str | os.PathLike[str]) -> Iterator[Saved]:
    """Open a `.keras`, `.h5` or `.weights.h5` file; errors about it name it.

    Raises:
        TypeError: `path` is not a path.
        FileNotFoundError: there is no file.
        ValueError: it is another kind of file, damaged, or what is done with it fails.
    """
    found = file_at(who, path)
    try:
        with _zip(found) if kind_of(found) == "zip" else _hdf5(found) as result:
            yield result
    except ValueError as error:
        message = re.sub(r"^(from_config|load_weights|optimizer|loss|metric): ", "", str(error))
        raise type(error)(f"{who}: {found}: {message}") from error


@contextmanager
def _zip(path: Path) -> Iterator[Saved]:
    with members(path) as content:
        config = _json(content[CONFIG], CONFIG)
        metadata = _json(content[METADATA], METADATA) if METADATA in content else {}
        version = str(metadata.get("keras_version") or "")
        training = _training(config.get("compile_config"), "compile_config")
        with opened(content.pop(WEIGHTS)) as file:
            yield Saved(file, config, training, version)


@contextmanager
def _hdf5(path: Path) -> Iterator[Saved]:
    with opened(path) as file:
        config, training = file.text("model_config"), file.text("training_config")
        version = file.text("keras_version") or ""
        yield Saved(
            file,
            None if config is None else _json(config, "model_config"),
            None if training is None else _as_compile_config(_json(training, "training_config")),
            version,
        )


def _json(text: str | bytes, name: str) -> dict[str, Any]:
    result = parsed(name, text, "the file is damaged; get a complete copy")
    if not isinstance(result, dict):
        raise ValueError(f"{name} in it must be a JSON object, received {shown(result)}")
    return result


def _as_compile_config(training: dict[str, Any]) -> Mapping[str, Any]:
    """The `training_config` of an HDF5 file under the names of `compile_config`."""
    optimizer = training.pop("optimizer_config", None)
    return {**training, "optimizer": optimizer}


def _training(value: Any, name: str) -> Mapping[str, Any] | None:
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"{name} in it must be a JSON object, received {shown(value)}")
    return value or None
