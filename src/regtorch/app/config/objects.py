"""Objects made from a config: each is of its kind, and errors name the setting."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from regtorch.app.config.instantiate import instantiate
from regtorch.app.ground.errors import RunError, is_out_of_memory, is_told, one_line, root_cause

__all__ = ["make", "named"]

_ARGUMENT = re.compile(r"(?:[^:]+: )?(\w+)(?:: |( must be ))")  # as `regtorch.checks` begins its messages


def make(node: Any, key: str, *kinds: type) -> Any:
    """Make what a node of the config describes."""
    with named(key, node):
        thing = instantiate(node)
    if not isinstance(thing, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise RunError(f"{key}: expected {expected}, received {thing!r}; choose another {key}._target_")
    return thing


@contextmanager
def named(key: str, node: Any = ()) -> Iterator[None]:
    """Put the key of a node, or of the argument that its error names first, before what a class says of its arguments."""
    try:
        yield
    except Exception as error:
        cause = root_cause(error)
        told = type(cause) is RuntimeError or (is_told(cause) and not isinstance(cause, RunError | RuntimeError))
        if is_out_of_memory(cause) or not told:
            raise
        text = one_line(cause)
        found = _ARGUMENT.match(text)
        if found is None or found[1] not in node:
            raise RunError(f"{key}: {text}") from error
        raise RunError(f"{key}.{found[1]}: {'expected ' * bool(found[2])}{text[found.end() :]}") from error
