"""Tell Keras's files from others, by their content."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

__all__ = ["Kind", "file_at", "kind_of"]

Kind = Literal["zip", "hdf5"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_SAVE = 'write the net in Keras with model.save("model.keras") and load that'
_TORCH = "open a state dict with torch.load(path, weights_only=True) and model.load_state_dict"
_SAVED_MODEL = (
    "a TensorFlow SavedModel, which is not supported; in TensorFlow and Keras 2 open it with "
    'tf.keras.models.load_model(folder) and write it with model.save("model.keras")'
)
_CHECKPOINT = (
    "a TensorFlow checkpoint, which is not supported; in Keras load it with model.load_weights and write it with "
    'model.save_weights("model.weights.h5")'
)
_FOLDERS = {
    "saved_model.pb": _SAVED_MODEL,
    "saved_model.pbtxt": _SAVED_MODEL,
    "keras_metadata.pb": _SAVED_MODEL,
    "checkpoint": _CHECKPOINT,
    "config.json": f"an unpacked .keras file; give the .keras file itself, or {_SAVE}",
}
_SHARDS = (
    "the list of weights that lie in several files, which is not supported; in Keras load it with model.load_weights "
    'and write one file with model.save_weights("model.weights.h5")'
)
_PACKED = "an archive; unpack it, and give the file in it"
_ONNX = f"an ONNX file, which is not supported; {_SAVE}"
_STARTS = {
    b"version https://git-lfs": "a git-lfs pointer, not the file itself; fetch that with `git lfs pull`",
    b"<!": "a web page; download the file itself",
    b"<html": "a web page; download the file itself",
    b"{": "JSON text; give a net's config to rt.keras.from_config",
    **dict.fromkeys((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!"), _PACKED),
    b"\x93NUMPY": "a NumPy array; give weights as a list to rt.keras.load_weights",
    **{
        b"\x80" + bytes([protocol]): f"a pickle, which can run any code and is never opened; {_SAVE}, or, if torch "
        f"wrote it, {_TORCH}"
        for protocol in range(2, 6)
    },
}
_SUFFIXES = {
    ".onnx": _ONNX,
    ".pb": _SAVED_MODEL,
    ".tflite": f"a TensorFlow Lite file, which is not supported; {_SAVE}",
    ".index": _CHECKPOINT,
    ".data-00000-of-00001": _CHECKPOINT,
    ".tar": _PACKED,
    ".json": "JSON text; give a net's config to rt.keras.from_config",
}


def file_at(who: str, path: str | bytes | os.PathLike[str]) -> Path:
    """The path of a regular file.

    Raises:
        TypeError: it is not a path.
        FileNotFoundError: there is no file.
        ValueError: it is a folder, or a pipe or device.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{who}: path must be a file's path, received {type(path).__name__}; {_SAVE}")
    found = Path(path)
    if found.is_dir():
        kind = next((words for name, words in _FOLDERS.items() if (found / name).exists()), f"a folder; {_SAVE}")
        raise ValueError(f"{who}: {found} is {kind}")
    if not found.exists():
        if found.with_name(f"{found.name}.index").exists():
            raise ValueError(f"{who}: {found} is {_CHECKPOINT}")
        raise FileNotFoundError(f"{who}: there is no file {found}")
    if not found.is_file():
        raise ValueError(f"{who}: {found} is a pipe or a device, expected a file")
    return found


def kind_of(path: Path) -> Kind:
    """The container of Keras's file.

    Raises:
        ValueError: it is another program's file.
    """
    with path.open("rb") as file:
        start = file.read(64)
        if start.startswith(b"PK\x03\x04"):
            return "zip"
        if start.startswith(_HDF5) or _after_user_block(file.read(2**16), len(start)):
            return "hdf5"
    if not start:
        raise ValueError("it is empty; get a complete copy")
    if start[4:8] == b"TFL3":
        raise ValueError(f"it is {_SUFFIXES['.tflite']}")
    words = _SHARDS if path.name.endswith(".weights.json") else None
    words = words or next((words for head, words in _STARTS.items() if start.lower().startswith(head.lower())), None)
    words = words or next((words for end, words in _SUFFIXES.items() if path.name.endswith(end)), None)
    if not any(start):
        words = "filled with zeros, so that its download was cut off; get a complete copy"
    raise ValueError(f"it is {words or f'neither a zip nor an HDF5 file, or its start is damaged; {_SAVE}'}")


def _after_user_block(content: bytes, read: int) -> bool:
    return any(content[at - read :].startswith(_HDF5) for at in (512, 1024, 2048, 4096))
