"""How inputs reach a net: whole, or as its positional or keyword arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

__all__ = ["Passing", "takes_positional"]

Way = Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]]  # the arguments of a call
_WAYS: Mapping[str, Way] = {
    "whole": lambda x: ((x,), {}),
    "spread": lambda x: (tuple(x), {}),
    "named": lambda x: ((), dict(x)),
    "mixed": lambda x: (tuple(x[:-1]), dict(x[-1])),
    "nested": lambda x: (tuple(x[0]), dict(x[-1])),
    "value": lambda x: ((next(iter(x.values())) if isinstance(x, Mapping) else x[0],), {}),
}


class Passing:
    """Calls a net with inputs of any form, in the first way that its signature allows and that works."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._found: str | None = None

    def __call__(self, x: Any) -> Any:
        if not isinstance(x, Mapping | tuple | list):
            return self.model(x)
        ways = [self._found] if self._found is not None else self._ways(x)
        errors: dict[str, Exception] = {}
        for way in ways:
            args, keywords = _WAYS[way](x)
            try:
                output = self.model(*args, **keywords)
            except Exception as error:
                errors[way] = error
            else:
                self._found = way
                return output
        # The way in which a user would have called it: that error helps.
        raise errors[next((way for way in ("spread", "named", "mixed", "nested") if way in errors), ways[0])]

    def _ways(self, x: Any) -> list[str]:
        signature = _signature(self.model)
        found = [way for way in _possible(x) if _fits(signature, *_WAYS[way](x))]
        if signature is not None and isinstance(x, Mapping) and set(x) <= set(signature.parameters):
            found.sort(key=lambda way: way != "named")
        return found or ["named" if isinstance(x, Mapping) and all(isinstance(key, str) for key in x) else "spread"]


def _possible(x: Any) -> Iterator[str]:
    yield "whole"
    if isinstance(x, Mapping):
        if x and all(isinstance(key, str) and key.isidentifier() for key in x):
            yield "named"
        if len(x) == 1:
            yield "value"
        return
    if len(x) > 1:
        yield "spread"
    if len(x) == 1:
        yield "value"
    if len(x) > 1 and isinstance(x[-1], Mapping) and all(isinstance(key, str) for key in x[-1]):
        yield "mixed"
        if len(x) == 2 and isinstance(x[0], tuple | list):
            yield "nested"


def _fits(signature: inspect.Signature | None, args: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    if signature is None:
        return True
    try:
        signature.bind(*args, **keywords)
    except TypeError:
        return False
    return True


def _signature(model: nn.Module) -> inspect.Signature | None:
    inner = getattr(model, "_orig_mod", model)  # of a compiled net
    try:
        return inspect.signature(inner.forward)
    except (TypeError, ValueError, AttributeError):
        return None


def takes_positional(model: nn.Module, count: int) -> bool:
    """Whether a net's forward can be called with that many arguments by position."""
    signature = _signature(model)
    if signature is None or not _fits(signature, (None,) * count, {}):
        return False
    places = [p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(places) >= count
