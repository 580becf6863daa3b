"""Arguments of classes and functions, and the kinds of values that their annotations allow."""

import inspect
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from numbers import Number
from pathlib import PurePath
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin, get_type_hints, is_typeddict

from regtorch.app.config.kinds import NULL, NUMBER, OBJECT, SWITCH, TEXT, WHOLE, Kind, choice, fixed, several

__all__ = ["hints_of", "kind_of", "parameters_of"]

_PLAIN = {None: NULL, types.NoneType: NULL, bool: SWITCH, int: WHOLE, float: NUMBER, str: TEXT}
_LISTS = (list, tuple, set, frozenset, Sequence, Collection, Iterable)
_LIST = Kind(lambda value: isinstance(value, Sequence) and not isinstance(value, str), ("a list",))
_REST, _NAMED = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
_MAPPING = Kind(lambda value: isinstance(value, Mapping), ("a mapping such as {a: 1}",))


@cache
def parameters_of(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The arguments of a class or function; empty for built-in ones without a signature."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return {"args": inspect.Parameter("args", inspect.Parameter.VAR_KEYWORD)}
    found = {name: parameter for name, parameter in parameters.items() if parameter.kind is not _REST}
    for rest in (parameter for parameter in parameters.values() if parameter.kind is _REST):
        unpacked = get_args(_evaluated(target, rest))
        if unpacked and is_typeddict(unpacked[0]):  # **options: Unpack[Options]
            hints = get_type_hints(unpacked[0])
            found |= {key: inspect.Parameter(key, _NAMED, default=..., annotation=hints[key]) for key in hints}
        else:
            found[rest.name] = rest
    return found


@cache
def hints_of(target: Callable[..., Any]) -> Mapping[str, Any]:
    """The annotations of its arguments that can be evaluated."""
    hints = {name: _evaluated(target, parameter) for name, parameter in parameters_of(target).items()}
    return {name: hint for name, hint in hints.items() if hint is not inspect.Parameter.empty}


def _evaluated(target: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """A parameter's annotation; `Parameter.empty` if it is missing or cannot be evaluated."""
    function = inspect.unwrap(target.__init__ if isinstance(target, type) else target)
    holder = types.SimpleNamespace(__annotations__={"it": parameter.annotation})
    try:
        return get_type_hints(holder, getattr(function, "__globals__", {}), include_extras=True)["it"]
    except Exception:  # a name imported for type checkers only
        return inspect.Parameter.empty


def kind_of(hint: Any) -> Kind | None:
    """The kind of values that an annotation allows; None if it does not restrict a config."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return kind_of(parts[0])
    if isinstance(hint, NewType):
        return kind_of(hint.__supertype__)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin is Literal:
        words = choice(*(part for part in parts if part is not None))
        return words | NULL if None in parts else words
    if origin in (Union, types.UnionType):
        return _either(parts)
    if (origin or hint) in _LISTS:
        return _list_of(origin, parts)
    if (origin or hint) in (dict, Mapping):
        return _MAPPING
    return _of_class(hint)


def _either(parts: Iterable[Any]) -> Kind | None:
    kinds = [kind_of(part) for part in parts]
    union: Kind | None = None
    for kind in kinds:
        if kind is None:
            return None
        union = kind if union is None else union | kind
    return union


def _list_of(origin: Any, parts: tuple[Any, ...]) -> Kind:
    items = [kind_of(part) for part in parts if part is not ...]
    known = [kind for kind in items if kind is not None]
    if not items or len(known) < len(items):
        return _LIST
    return fixed(*known) if origin is tuple and ... not in parts else several(known[0])


def _of_class(hint: Any) -> Kind | None:
    """Paths are text; objects of other classes can only come from a `_target_`."""
    if not isinstance(hint, type) or hint is object:
        return None
    if issubclass(hint, PurePath):
        return TEXT
    if issubclass(hint, Number):
        return NUMBER
    module = hint.__module__.partition(".")[0]
    return OBJECT if module in ("torch", "lightning", "datetime", "regtorch") else None
