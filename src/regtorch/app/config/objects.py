"""Build objects from a config, with checked types and errors that name the setting."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from regtorch.app.config.instantiate import instantiate
from regtorch.app.ground.errors import RunError, is_out_of_memory, is_user_error, one_line, root_cause

__all__ = ["make", "named"]

_ARGUMENT = re.compile(r"(?:[^:]+: )?(\w+)(?:: |( must be ))")  # how messages of `regtorch.checks` begin


def make(node: Any, key: str, *kinds: type) -> Any:
    """Build the object of a node, which must be of one of some kinds; errors start with the node's key."""
    with named(key, node):
        thing = instantiate(node)
    if not isinstance(thing, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise RunError(f"{key}: expected {expected}, received {thing!r}; choose another {key}._target_")
    return thing


@contextmanager
def named(key: str, node: Any = ()) -> Iterator[None]:
    """Prefix errors of a class with the key of its node, or of the argument that the message names first."""
    try:
        yield
    except Exception as error:
        cause = root_cause(error)
        explained = type(cause) is RuntimeError or (
            is_user_error(cause) and not isinstance(cause, RunError | RuntimeError)
        )
        if is_out_of_memory(cause) or not explained:
            raise
        text = one_line(cause)
        found = _ARGUMENT.match(text)
        if found is None or found[1] not in node:
            raise RunError(f"{key}: {text}") from error
        raise RunError(f"{key}.{found[1]}: {'expected ' * bool(found[2])}{text[found.end() :]}") from error
