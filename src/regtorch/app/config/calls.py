"""Validation of the arguments that a config passes to the classes it names."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter
from typing import Any

from regtorch.app.config.annotations import hints_of, kind_of, parameters_of
from regtorch.app.config.kinds import NULL, OBJECT, SWITCH, Kind, shown
from regtorch.app.config.known import ARGUMENTS, GIVEN
from regtorch.app.config.targets import located
from regtorch.app.ground.errors import RunError, nearest

__all__ = ["check_call"]

_HYDRAS = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_")


def check_call(key: str, node: Any, *, partial: bool | None = None) -> None:
    """Refuse unknown, missing and invalid arguments of a node's `_target_`; `partial` is what `_partial_` must be."""
    is_partial = node.get("_partial_", False)
    SWITCH.check(f"{key}._partial_", is_partial)
    if partial is not None and is_partial != partial:
        raise RunError(f"{key}._partial_: expected {shown(partial)}, received {shown(is_partial)}")
    target = located(node["_target_"], key)
    parameters, hints = parameters_of(target), hints_of(target)
    for name, value in node.items():
        if name not in _HYDRAS:
            _check_argument(key, name, value, target, parameters, hints.get(name))
            for inner, call in _calls(f"{key}.{name}", value):
                check_call(inner, call)
    if not is_partial and "_args_" not in node:
        for name, parameter in parameters.items():
            required = parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
            if required and parameter.default is Parameter.empty and name not in node:
                raise RunError(f"{key}.{name}: expected a value, received none; give {key}.{name}=...")


def _check_argument(
    key: str, name: str, value: Any, target: Callable[..., Any], parameters: Mapping[str, Parameter], hint: Any
) -> None:
    given = _of(GIVEN, target, name)
    if given is not None:
        raise RunError(f"{key}.{name}: the program sets this argument; {given}")
    if name not in parameters:
        if not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
            raise RunError(f"{key}.{name}: {_name(target)} has no such argument{_others(parameters, name)}")
    elif not OBJECT.fits(value):  # the result of a call is checked when it is called
        kind = _of(ARGUMENTS, target, name) or _annotated(hint, parameters[name].default)
        if kind is not None:
            kind.check(f"{key}.{name}", value)


def _annotated(hint: Any, default: Any) -> Kind | None:
    """The kind that an annotation allows; None is also allowed if it is the default."""
    kind = kind_of(hint) if hint is not None else None
    if kind is None or default is not None:
        return kind
    return kind | NULL


def _name(target: Callable[..., Any]) -> str:
    return getattr(target, "__name__", repr(target))


def _of(table: Mapping[str, Any], target: Callable[..., Any], name: str) -> Any:
    """The table entry of an argument, under its class, a base class, or its package."""
    classes = [cls.__name__ for cls in getattr(target, "__mro__", ())]
    parts = str(getattr(target, "__module__", "")).split(".")
    packages = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return next((table[key] for owner in [*classes, *packages] if (key := f"{owner}.{name}") in table), None)


def _others(parameters: Mapping[str, Parameter], name: str) -> str:
    return nearest(name, parameters) or f"; it has {', '.join(parameters) or 'none'}"


def _calls(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The calls inside a value, each with its key."""
    if OBJECT.fits(value):
        yield key, value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _calls(f"{key}.{name}", part)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for at, part in enumerate(value):
            yield from _calls(f"{key}[{at}]", part)
