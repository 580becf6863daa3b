"""Write and load checkpoints, which may come from strangers: tensors and plain values, and nothing that runs code."""

import pickletools
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from regtorch.app.ground.errors import RunError, one_line
from regtorch.app.ground.reading import opened

__all__ = ["check_checkpoint", "load_checkpoint", "save_checkpoint"]

_MOST_PICKLED = 2**27  # bytes of the structure around the tensors; a path of 10,000 members has some ten millions
_PLAIN = re.compile(
    r"collections\.(OrderedDict|Counter|defaultdict)|_codecs\.encode|(__builtin__|builtins)\.(set|complex)"
    r"|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2|torch\.nn\.parameter\.Parameter"
    r"|torch\.serialization\._get_layout|torch\.(storage\.)?\w*Storage|torch\.(Size|device|Tensor)"
    r"|torch\.(bool|[a-z]*(int|float)\d\w*|complex\d+)"
)
"""What rebuilds tensors and plain values; of these, torch calls those that it trusts."""


def save_checkpoint(content: Any, path: Path) -> None:
    """Write a checkpoint.

    Raises:
        OSError: it cannot be written; torch alone raises a RuntimeError that does not say why.
    """
    with path.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_checkpoint(path: Path, *, mapped: bool = False) -> Any:
    """The content of a checkpoint, on the CPU.

    Args:
        path: the file.
        mapped: the file is mapped into memory, and its tensors are read when they are used.

    Raises:
        RunError: it cannot be read, is damaged or would run code.
    """
    try:
        check_checkpoint(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch raises whatever the content leads it to
        raise RunError(f"{path} is no checkpoint that can be loaded: {one_line(error)[:300]}") from error


def check_checkpoint(path: Path) -> None:
    """Refuse a checkpoint that is damaged, compressed or would run code, before anything in it is loaded.

    Raises:
        OSError: it cannot be read.
        ValueError: it is refused; the message says why, without the path.
    """
    with opened(path) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise ValueError(f"expected a file of torch.save, which is a zip file: {error}") from None
        with archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("expected members without compression, as torch.save writes them")
            structure = [member for member in members if member.filename.endswith("data.pkl")]
            if len(structure) != 1 or structure[0].file_size > _MOST_PICKLED:
                raise ValueError(f"expected one data.pkl of at most {_MOST_PICKLED:,} bytes")
            try:
                damaged = archive.testzip()
                pickled = archive.read(structure[0])
            except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, zlib.error) as error:
                raise ValueError(f"it is damaged: {error}") from None
            if damaged is not None:
                raise ValueError(f"it is damaged: the checksum of {damaged} is wrong")
    called = next((name for name in _globals(pickled) if not _PLAIN.fullmatch(name)), None)
    if called is not None:
        raise ValueError(
            f"loading it would run {called[:100]}; only tensors and plain values are loaded, and nothing was run"
        )


def _globals(pickled: bytes) -> list[str]:
    """The names of what a pickle imports."""
    found, texts = [], ["", ""]
    try:
        for operation, argument, _ in pickletools.genops(pickled):
            if operation.name in ("GLOBAL", "INST"):
                found.append(str(argument).replace(" ", ".", 1))
            elif operation.name == "STACK_GLOBAL":
                found.append(".".join(texts[-2:]))
            elif isinstance(argument, str):
                texts = [texts[-1], argument]
    except ValueError as error:
        raise ValueError(f"its pickle is damaged: {error}") from None
    return found
