"""Error messages of one or two lines for users."""

import errno
import os
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import torch
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from regtorch.app.ground.lines import tell
from regtorch.extras import EXTRAS, not_installed

__all__ = [
    "DIVERGED",
    "OPEN",
    "Diverged",
    "Failed",
    "RunError",
    "exit_code",
    "is_disk_full",
    "is_out_of_memory",
    "is_user_error",
    "message",
    "nearest",
    "one_line",
    "root_cause",
    "say",
    "sentence",
    "unknown_key",
    "unresolved",
    "usage",
]


DIVERGED = "diverged"
"""In the reason of every run that failed because its training diverged."""


class RunError(Exception):
    """A problem that the user can fix; the message explains how."""


class Failed(RunError):
    """A problem that shows only while the program works, and not in its input alone."""


class Diverged(Failed):
    """A loss, weight or optimizer state is no longer finite."""


def nearest(name: str, names: Iterable[str]) -> str:
    """'; did you mean ...?', or '' if no name is similar."""
    by_lower = {known.lower(): known for known in names}
    other = _OTHER_WORDS.get(name)
    close = [other] if other in by_lower else get_close_matches(str(name).lower(), list(by_lower), n=1)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


def sentence(text: str) -> str:
    """A text with a capital at the start and a full stop at the end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + "." * (bool(text) and not text.endswith((".", "!", "?")))


def root_cause(error: BaseException) -> BaseException:
    """The error that Hydra has wrapped."""
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    return error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or this machine ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    signs = ("DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "out of memory")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def is_disk_full(error: BaseException) -> bool:
    """Whether a disk has no space left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def message(error: BaseException, cfg: DictConfig | None = None) -> str:
    """The message of an error in one or two lines."""
    error = root_cause(error)
    if is_out_of_memory(error):
        size = OmegaConf.select(cfg, "data.batch_size") if cfg is not None else None
        now = f" (now {size})" if size is not None else ""
        return f"out of memory: lower data.batch_size{now}, or choose a smaller model or smaller images"
    if isinstance(error, ValueError) and "Expected more than 1 value per channel when training" in str(error):
        return "batch norm cannot train on a batch of one sample; raise data.batch_size"
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in EXTRAS:
        return not_installed(str(error.name), "this program")
    if isinstance(error, OSError) and is_disk_full(error):
        place = f"{_setting_of(error.filename, cfg)}{error.filename}: " if isinstance(error.filename, str) else ""
        return f"{place}{str(error.strerror).lower()}; free some space, or name another place"
    if isinstance(error, OSError) and isinstance(error.filename, str) and error.strerror:
        return f"{_setting_of(error.filename, cfg)}{error.filename}: {error.strerror.lower()}; name another place"
    if isinstance(error, InterpolationResolutionError) and error.full_key:
        return unresolved(error)
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}: expected a value, received none; give {error.full_key}=..."
    text = one_line(error)
    return text if text and is_user_error(error) else f"{type(error).__name__}{': ' * bool(text)}{text}"


def unresolved(error: OmegaConfBaseException) -> str:
    """The message of a reference that cannot be resolved; that of what it refers to, if it says what to do."""
    cause: BaseException | None = error
    while cause is not None and not type(cause).__module__.startswith("regtorch"):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return one_line(cause)
    return f"{error.full_key}: its interpolation failed: {one_line(error)}"


def _setting_of(place: str, cfg: DictConfig | None) -> str:
    """'key: ' of the setting that names a path or its temporary file, or ''."""
    plain: Any = {} if cfg is None else OmegaConf.to_container(cfg)  # as given
    found: dict[str, str] = {}

    def near(given: str) -> bool:
        return place.startswith((given, f"{os.path.dirname(given)}/.")) or given.startswith(f"{place}/")

    def look(key: str, node: Any) -> None:
        if isinstance(node, dict):
            for name, value in node.items():
                look(f"{key}.{name}" if key else str(name), value)
        elif isinstance(node, str) and os.path.isabs(node) and near(node):
            found[key] = node

    look("", plain)
    return f"{max(found, key=lambda key: len(found[key]))}: " if found else ""


def is_user_error(error: BaseException) -> bool:
    """Whether an error's message is meant for users and needs neither type nor traceback."""
    error = root_cause(error)
    ours = isinstance(error, RunError) or type(error).__module__.startswith("regtorch")
    ours |= type(error).__name__ == "MisconfigurationException"  # Lightning's; by name, to avoid the import
    return ours or (isinstance(error, ValueError | TypeError) and bool(str(error))) or is_out_of_memory(error)


def exit_code(error: BaseException) -> int:
    """The exit code of an error: 2 if the input was refused, 1 if the program failed."""
    error = root_cause(error)
    if isinstance(error, Failed) or is_out_of_memory(error):
        return 1
    kind = type(error)
    ours = kind.__module__.startswith("regtorch") or kind.__name__ == "MisconfigurationException"
    return 2 if ours or isinstance(error, HydraException | OmegaConfBaseException) else 1


def usage(error: BaseException) -> str | None:
    """The message of a wrong command line, or None for other errors."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        return _unknown_option(error)
    if isinstance(error, OverrideParseException):
        quotes = (
            """; a value with other signs goes in two pairs of quotes: key="'é'\"""" if "=" in error.override else ""
        )
        return f"cannot read {error.override!r}: expected group=option or key=value{quotes}"
    if isinstance(error, ConfigCompositionException) and isinstance(
        error.__cause__, ConfigKeyError | ConfigAttributeError
    ):
        return _unknown_key(error.__cause__)
    if isinstance(error, HydraException) and not isinstance(error, InstantiationException):
        if "Could not delete" in str(error):
            return f"~{str(error).split(chr(39))[1]}: nothing to remove; the key does not exist or is null"
        cause = f" {one_line(error.__cause__)}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
        return f"{one_line(error)}{cause}"
    return None


def one_line(error: BaseException) -> str:
    """An error's text in one line, without the pointers that Hydra and omegaconf add."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(" ".join(line.split()) for line in lines if line and not line.startswith(_NOISE))


_NOISE = ("See https://", "full_key:", "object_type=", "reference_type=")


def _unknown_option(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    options = sorted(error.options or [])
    if group and not options:  # one of a list
        return f"{group}: unknown option {option!r}"
    if not group:
        return f"unknown config {option!r}; each script has its own config, so omit --config-name"
    return f"{group}: expected one of {', '.join(options)}, received {option!r}{nearest(option, options)}"


def _unknown_key(error: OmegaConfBaseException) -> str:
    full, parent = str(error.full_key), error.parent_node
    keys = [str(key) for key in parent] if isinstance(parent, DictConfig) else []
    root: Any = OmegaConf.to_container(parent._get_root(), resolve=False) if isinstance(parent, DictConfig) else {}
    above = full.rpartition(".")[0]
    new = f" (a new argument needs +{full}=...)" if above in OPEN and full not in _MIXES else ""
    return f"{unknown_key(full, keys, root)}{new}"


def unknown_key(full: str, known: Iterable[str], root: Mapping[str, Any], where: str = "") -> str:
    """The message of a key that is not known.

    Args:
        full: the key.
        known: the keys that are known beside it.
        root: the config.
        where: the key is set, such as ' (in FILE)'.
    """
    above, _, last = full.rpartition(".")
    if full in _MIXES:
        return f"unknown key {full!r}{where}: only images with classes can be mixed, and this data has none"
    keys = [key for key in known if key != "hydra" and not key.startswith("_")]
    there = f"{above or 'the config'} has {', '.join(keys)}" if keys else f"{above} has a value and no keys"
    return f"unknown key {full!r}{where}{_elsewhere(root, above, last) or nearest(last, keys) or f'; {there}'}"


OPEN = ("data", "data.augment", "model.net", "optimizer", "trainer", "reg.penalty", "constraint.projection")
"""Where a new key is an argument of a class; elsewhere it would have no effect."""
_MIXES = ("data.mixup", "data.cutmix")
_OTHER_WORDS = {
    "lambda": "lam",
    "strength": "lam",
    "learning_rate": "lr",
    "epochs": "max_epochs",
    "num_epochs": "max_epochs",
    "batch": "batch_size",
}


def _elsewhere(root: Mapping[str, Any], above: str, name: str) -> str:
    """A hint to a key of that name, or of a synonym, in this or another group."""
    last = _OTHER_WORDS.get(name, name)
    groups = {group: node for group, node in root.items() if isinstance(node, dict)}
    found = [f"{group}.{last}" for group, node in groups.items() if last in node and above in ("", group)]
    found = [key for key in found if key != f"{above}.{name}"]
    return f"; did you mean {' or '.join(found)}?" if found else ""


def say(text: str, kind: str = "error") -> None:
    """Write a line to stderr, after flushing stdout."""
    sys.stdout.flush()
    tell(f"{kind}: {text}", sys.stderr)
