"""Read files of runs defensively: regular files only, up to a size limit."""

import io
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

__all__ = ["is_there", "opened", "read_own_yaml", "read_text", "read_yaml", "read_yaml_node"]

_MOST = 2**28  # bytes
_MOST_YAML, _DEEPEST, _MOST_ALIASES = 2**20, 50, 30
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def is_there(path: Path) -> bool:
    """Whether anything of this name exists; `is_file` is also False for what cannot be read."""
    return os.path.lexists(path)


def opened(path: Path) -> BinaryIO:
    """A regular file, opened for reading; does not block on pipes.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a regular file.
    """
    # Opening a pipe would block until another process writes into it.
    file = open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")  # noqa: SIM115 (it is returned)
    mode = os.fstat(file.fileno()).st_mode
    if not stat.S_ISREG(mode):
        file.close()
        kind = next((words for is_kind, words in _KINDS.items() if is_kind(mode)), "something else")
        raise ValueError(f"expected a regular file, received {kind}")
    return file


def read_text(path: Path, most: int = _MOST, *, errors: str = "strict") -> str:
    """The text of a regular file of at most `most` bytes; does not block on pipes.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a regular file, too large, or not UTF-8.
    """
    with opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"expected at most {most:,} bytes, received more")
    return content.decode("utf-8", errors)


def _yaml_text(path: Path, aliases: int = 0) -> str:
    """The text of a YAML file with few aliases, as many could expand beyond memory, without deep nesting or loops."""
    text = read_text(path, _MOST_YAML)
    within: list[str | None] = []  # anchors of the lists and mappings around an event
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.AliasEvent):
            aliases -= 1
            if aliases < 0:
                raise ValueError(f"expected no aliases, or fewer, received *{event.anchor}")
            if event.anchor in within:
                raise ValueError(f"expected no value within itself, received *{event.anchor}")
        if isinstance(event, yaml.CollectionStartEvent):
            within.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            within.pop()
        if len(within) > _DEEPEST:
            raise ValueError(f"expected lists in lists at most {_DEEPEST} deep, received more")
    return text


def read_yaml_node(path: Path) -> Any:
    """Load a YAML file with OmegaConf; raises its and PyYAML's errors."""
    return OmegaConf.load(io.StringIO(_yaml_text(path)))


def read_own_yaml(path: Path) -> tuple[str, Any]:
    """The text of a user's YAML file, which may have some aliases, and what it holds.

    Raises:
        ValueError: it cannot be read, is not YAML or could expand beyond memory; the message names the file.
    """
    try:
        text = _yaml_text(path, _MOST_ALIASES)
        return text, yaml.load(text, _LOADER)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: expected YAML: {' '.join(str(error).split())}") from None


def read_yaml(path: Path, *, texts: bool = False) -> Any:
    """Load a YAML file as plain lists and mappings, {} if it is empty; `texts` without OmegaConf, ten times as fast.

    Raises:
        ValueError: it cannot be read or is not YAML; the message has one line and names the file.
    """
    try:
        if texts:
            loaded = yaml.load(_yaml_text(path), _LOADER)
            return {} if loaded is None else loaded
        return OmegaConf.to_container(read_yaml_node(path))
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise ValueError(f"{path}: expected a list or a mapping in YAML: {reason}") from None
