"""The groups and arrays of an HDF5 file, each checked before it is read."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regtorch.checks import shown
from regtorch.extras import needed_by

__all__ = ["H5", "opened"]

_MOST_OBJECTS, _DEEPEST = 200_000, 100
_UNCOMPRESS = "write it again without that (h5repack -f NONE -l CONTI)"


class H5:
    """An open HDF5 file.

    Attributes:
        arrays: the datasets by path.
        groups: the groups by path; "" is the root.
    """

    def __init__(self, file: Any, size: int) -> None:
        self.arrays: dict[str, Any] = {}
        self.groups: dict[str, Any] = {}
        self._size = size
        self._walk(file)

    def _walk(self, file: Any) -> None:
        import h5py
        from h5py import h5o  # pyright: ignore[reportAttributeAccessIssue]  # its stubs lack it

        seen, pending = set(), [("", file)]
        while pending:
            path, item = pending.pop()
            address = h5o.get_info(item.id).addr
            if address in seen:
                raise ValueError(f"it is refused: {shown(path)} is a second name of another group or array")
            seen.add(address)
            if len(seen) + len(pending) > _MOST_OBJECTS or path.count("/") > _DEEPEST:
                raise ValueError(f"it is refused: it has more than {_MOST_OBJECTS:,} objects or {_DEEPEST} levels")
            if isinstance(item, h5py.Dataset):
                self._check(path, item)
                self.arrays[path] = item
                continue
            if not isinstance(item, h5py.Group):
                raise ValueError(f"it is refused: {shown(path)} is neither a group nor an array")
            self.groups[path] = item
            for name in item:
                inner = f"{path}/{name}".lstrip("/")
                kind = item.get(name, getlink=True)
                if not isinstance(kind, h5py.HardLink):
                    words = "a link to another file" if isinstance(kind, h5py.ExternalLink) else "a link"
                    raise ValueError(f"it is refused: {shown(inner)} is {words}, expected a group or an array")
                pending.append((inner, item[name]))

    def _check(self, path: str, array: Any) -> None:
        if array.shape is None or not (array.dtype.kind in "fiub" or str(array.dtype) == "|V2"):
            raise ValueError(f"the array {shown(path)} is of {array.dtype}, expected numbers")
        if array.is_virtual or array.external:
            raise ValueError(f"it is refused: the array {shown(path)} lies in other files")
        if array.id.get_create_plist().get_nfilters():
            raise ValueError(f"the array {shown(path)} is compressed, which Keras's are not; {_UNCOMPRESS}")
        declared, stored = math.prod(array.shape) * array.dtype.itemsize, array.id.get_storage_size()
        if not declared <= stored <= self._size or math.prod(array.chunks or ()) * array.dtype.itemsize > self._size:
            raise ValueError(
                f"it is refused: the array {shown(path)} of shape {array.shape} states {declared:,} bytes, "
                f"and {min(stored, self._size):,} are stored"
            )

    def read(self, path: str) -> Tensor:
        """An array as a tensor of its own dtype."""
        with _told():
            value = self.arrays[path][...]  # an array even of one number
        value = value.astype(value.dtype.newbyteorder("="), copy=False)
        if value.dtype.kind == "V":  # as Keras stores bfloat16
            return torch.from_numpy(value.view("i2")).view(torch.bfloat16)
        return torch.from_numpy(value)

    def text(self, name: str) -> str | None:
        """A text among the file's attributes; None if there is none."""
        value = self._attribute("", name)
        value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if value is not None and not isinstance(value, str):
            raise ValueError(f"its attribute {name} must be text, received {type(value).__name__}")
        return value

    def names(self, path: str, name: str) -> list[str]:
        """A list of names among a group's attributes, which Keras cuts into several if it is long."""
        value = self._attribute(path, name)
        parts = [] if value is None else [value]
        while (value := self._attribute(path, f"{name}{len(parts)}")) is not None:
            parts.append(value)
        texts = [item for part in parts for item in (part.tolist() if hasattr(part, "tolist") else [part])]
        texts = [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in texts]
        wrong = next((item for item in texts if not isinstance(item, str)), None)
        if wrong is not None:
            raise ValueError(f"the attribute {name} of {shown(path)} must be a list of names, received {shown(wrong)}")
        return texts

    def has(self, path: str, name: str) -> bool:
        """Whether a group has an attribute."""
        return name in self.groups[path].attrs

    def _attribute(self, path: str, name: str) -> Any:
        with _told():
            attributes = self.groups[path].attrs
            if name not in attributes:
                return None
            stated = attributes.get_id(name)
            size = math.prod(stated.shape) * stated.dtype.itemsize
            if size > self._size:
                raise ValueError(f"it is refused: the attribute {name} of {shown(path)} states {size:,} bytes")
            return attributes[name]


@contextmanager
def opened(source: Path | bytes) -> Iterator[H5]:
    """Open an HDF5 file, or its content.

    Raises:
        ModuleNotFoundError: h5py is not installed.
        ValueError: it is damaged, or has something in it that Keras does not write.
    """
    with needed_by("rt.keras.load"):
        import h5py
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    with _told():
        file = h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r")
    with file:
        with _told():
            found = H5(file, size)
        yield found


@contextmanager
def _told() -> Iterator[None]:
    """Say that the file is damaged where HDF5 fails."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, UnicodeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"its HDF5 data is cut off or damaged ({first}); get a complete copy") from error
