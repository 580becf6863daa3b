"""Keras's regularizers and constraints by name or config, and regtorch's rules as Keras's configs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from torch import nn

from regtorch.checks import shown
from regtorch.constraints import Constraint, MaxNorm, MinMaxNorm, NonNeg, NormConstraint, UnitNorm
from regtorch.keras.custom_objects import Factory, check_custom, from_factory, with_select
from regtorch.keras.origin import is_user_defined
from regtorch.keras.read import refuse_beyond_bounds
from regtorch.keras.variables import Variable, variables
from regtorch.penalties import L1, L1L2, L2, Orthogonal, Penalty
from regtorch.rule import Rule

__all__ = ["constraint", "constraint_on", "identify", "penalty", "serialize"]

EPSILON = 1e-7  # Keras's backend epsilon, which its constraints add to the norm in the denominator

# For each Keras class: our class, and {Keras's argument: (our argument, Keras's default)}.
_PENALTIES: dict[str, tuple[Callable[..., Penalty], dict[str, tuple[str, Any]]]] = {
    "L1": (L1, {"l1": ("lam", 0.01)}),
    "L2": (L2, {"l2": ("lam", 0.01)}),
    "L1L2": (L1L2, {"l1": ("l1", 0.0), "l2": ("l2", 0.0)}),
    "OrthogonalRegularizer": (Orthogonal, {"factor": ("lam", 0.01), "mode": ("mode", "rows")}),
}
_CONSTRAINTS: dict[str, tuple[Callable[..., Constraint], dict[str, tuple[str, Any]]]] = {
    "MaxNorm": (MaxNorm, {"max_value": ("max_value", 2.0)}),
    "UnitNorm": (UnitNorm, {}),
    "NonNeg": (NonNeg, {}),
    "MinMaxNorm": (
        MinMaxNorm,
        {"min_value": ("min_value", 0.0), "max_value": ("max_value", 1.0), "rate": ("rate", 1.0)},
    ),
}
_DEFAULT_WHERE_NULL = ("l1", "l2")
_HINT = (
    "which is not supported (for a regularizer, constraint, initializer or activation, give custom_objects={{{}: a "
    "function of its config}})"
)
_SWAPPED = {"rows": "columns", "columns": "rows"}


def penalty(
    identifier: Any,
    *,
    select: str = "kernel",
    transposed: bool = True,
    custom_objects: Mapping[str, Factory] | None = None,
) -> Penalty | None:
    """The penalty that Keras means by an identifier: `keras.regularizers.get`.

    Two names exist in one version of Keras alone, and both are accepted: "l1_l2" in Keras 2, with 0.01 and 0.01, and
    "l1l2" in Keras 3, with 0 and 0, as "L1L2" has in both.

    Args:
        identifier: a name ("l2", "L2", "l1_l2", "orthogonal_regularizer", …), a config ({"class_name": "L2", "config":
            {"l2": 0.01}}, with or without Keras's further keys), a Keras or regtorch object, or None.
        select: which weights.
        transposed: whether the weight is stored transposed in torch, as a Dense kernel is: Keras's rows are then
            our columns. False for embeddings and outputs.
        custom_objects: for user-defined classes, by name: a function of the config, a dict, that returns a penalty.

    Returns:
        The penalty, None for None.

    Raises:
        ValueError: the identifier or one of its arguments is unknown.
        TypeError: it is nothing of the above, or an argument is not a number.

    Example:
        >>> import regtorch as rt
        >>> rt.keras.penalty({"class_name": "L2", "config": {"l2": 0.05}})
        L2(lam=0.05)
        >>> mine = {"class_name": "Mine", "config": {"strength": 0.1}, "registered_name": "mine>Mine"}
        >>> rt.keras.penalty(mine, custom_objects={"Mine": lambda config: rt.Hoyer(config["strength"])})
        Hoyer(lam=0.1)
    """
    identifier = _custom("penalty", "regularizer", identifier, custom_objects, select)
    if identifier is None or isinstance(identifier, Penalty):
        return identifier
    name, config = identify("penalty", identifier, _PENALTIES)
    spelled = identifier.get("class_name") if isinstance(identifier, Mapping) else identifier
    if name == "L1L2" and str(spelled).endswith("l1_l2"):
        config = {"l1": 0.01, "l2": 0.01} | config
    make, arguments = _PENALTIES[name]
    ours = _arguments("penalty", name, config, arguments)
    if name == "OrthogonalRegularizer":
        if not isinstance(ours["mode"], str) or ours["mode"] not in _SWAPPED:
            raise ValueError(f"penalty: mode must be rows or columns, received {shown(ours['mode'])}")
        ours["mode"] = _SWAPPED[ours["mode"]] if transposed else ours["mode"]
    return make(**ours, select=select)


def constraint(
    identifier: Any,
    *,
    layer: nn.Module | None = None,
    select: str = "kernel",
    custom_objects: Mapping[str, Factory] | None = None,
) -> Constraint | None:
    """The constraint that Keras means by an identifier: `keras.constraints.get`, with Keras's epsilon of 1e-7.

    Args:
        identifier: a name ("max_norm", "MaxNorm", "nonneg", …), a config, a Keras or regtorch object, or None.
        layer: the layer whose kernel is constrained; Keras's `axis` is mapped to that weight's dims in torch. Without
            it, axis 0, [0, 1], [0, 1, 2] and [0, 1, 2, 3] are Keras's recommended axes of a Dense, Conv1D, Conv2D and
            Conv3D kernel: all dims but that of the output units.
        select: which weights.
        custom_objects: for user-defined classes, by name: a function of the config, a dict, that returns a constraint.

    Returns:
        The constraint, None for None.

    Raises:
        ValueError: the identifier, an argument or an axis is unknown.
        TypeError: it is nothing of the above, or an argument is not a number.

    Example:
        >>> import regtorch as rt
        >>> rt.keras.constraint({"class_name": "MaxNorm", "config": {"max_value": 3, "axis": 0}})
        MaxNorm(max_value=3.0, epsilon=1e-07)
    """
    if layer is not None and not (isinstance(layer, nn.Module) and variables(layer)):
        raise ValueError(f"constraint: layer must be a module with a kernel, received {layer!r}")
    identifier = _custom("constraint", "constraint", identifier, custom_objects, select)
    return constraint_on(identifier, None if layer is None else variables(layer)[0], select)


def constraint_on(identifier: Any, variable: Variable | None, select: str) -> Constraint | None:
    """The constraint on one variable of a layer; None stands for a kernel with Keras's recommended axes."""
    if identifier is None or isinstance(identifier, Constraint):
        return identifier
    name, config = identify("constraint", identifier, _CONSTRAINTS)
    config = dict(config)
    make, arguments = _CONSTRAINTS[name]
    axis = config.pop("axis", 0) if name != "NonNeg" else 0
    ours = _arguments("constraint", name, config, arguments)
    if name == "NonNeg":
        return make(**ours, select=select)
    axes = [axis] if isinstance(axis, int) else axis
    if not (isinstance(axes, list | tuple) and axes and all(type(a) is int for a in axes)):
        raise ValueError(f"constraint: axis must be an int or several ints, received {axis!r}")
    return make(**ours, epsilon=EPSILON, dim=_dim(axes, variable), select=select)


def _custom(who: str, kind: str, identifier: Any, custom: Any, select: str) -> Any:
    """The rule that a custom_objects factory returns, on the selected weights; else the identifier itself."""
    if custom is None or isinstance(identifier, Rule):
        return identifier
    own = from_factory(kind, identifier, check_custom(who, custom))
    return own if own is identifier else with_select(own, select)


def _dim(axes: Any, variable: Variable | None) -> tuple[int, ...] | None:
    if variable is None:
        if sorted(axes) == list(range(len(axes))):
            return None
        raise ValueError(
            f"constraint: axis={list(axes)} has no known meaning without a layer; give layer=, the layer it acts on"
        )
    count = len(variable.shape)
    if not all(-count <= axis < count for axis in axes):
        raise ValueError(
            f"constraint: axis must name dims of the {variable.name} of shape {variable.shape}, received {list(axes)}"
        )
    dims = variable.dims(axes)
    if dims is None:
        raise ValueError(
            f"constraint: axis={list(axes)} of a depthwise kernel {variable.shape} has no dims of its own in torch; "
            "name both of the last two axes or none"
        )
    return dims


def serialize(rule: Penalty | Constraint | None, *, transposed: bool = True) -> dict[str, Any] | None:
    """The config of a rule, which Keras 2 and 3 read, as do `penalty` and `constraint`.

    `select` is not part of it: in Keras a rule belongs to a layer.

    Args:
        rule: one that Keras has: L1, L2, L1L2, Orthogonal, MaxNorm, UnitNorm, MinMaxNorm, NonNeg, or None.
        transposed: as in `penalty`.

    Raises:
        TypeError: Keras has no such rule.
        ValueError: Keras has it only with other settings: an epsilon of 1e-7, and no `dim` (its `axis` depends on the
            layer).

    Example:
        >>> import regtorch as rt
        >>> rt.keras.serialize(rt.L2(0.05))["config"]
        {'l2': 0.05}
    """
    if rule is None:
        return None
    table: Mapping[str, tuple[Any, dict[str, tuple[str, Any]]]] = _PENALTIES | _CONSTRAINTS
    name = next((name for name, (ours, _) in table.items() if type(rule) is ours), None)
    if name is None:
        raise TypeError(f"serialize: Keras has no {type(rule).__name__}; it has {', '.join(table)}")
    config = {theirs: getattr(rule, ours) for theirs, (ours, _) in table[name][1].items()}
    if isinstance(rule, Orthogonal) and transposed:
        config["mode"] = _SWAPPED[rule.mode]
    if isinstance(rule, NormConstraint):
        if rule.dim is not None or rule.epsilon != EPSILON:
            raise ValueError(f"serialize: Keras's {name} has epsilon=1e-7 and an axis for dim=None, received {rule!r}")
        config["axis"] = 0
    module = "keras.constraints" if isinstance(rule, Constraint) else "keras.regularizers"
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


def identify(what: str, identifier: Any, known: Mapping[str, object]) -> tuple[str, dict[str, Any]]:
    """Keras's class name and config of an identifier: a name, a config, or a Keras object."""
    if isinstance(identifier, str):
        identifier = {"class_name": identifier}
    elif hasattr(identifier, "get_config") and not isinstance(identifier, type):
        kind = type(identifier)
        identifier = {"class_name": kind.__name__, "module": kind.__module__, "config": identifier.get_config()}
    elif not isinstance(identifier, Mapping):
        raise TypeError(f"{what}: expected a name or a Keras config, received {shown(identifier)}")
    refuse_beyond_bounds(what, identifier)
    name, config = identifier.get("class_name"), identifier.get("config")
    if name == "function":
        own = shown(config)
        raise ValueError(f"{what}: {own} is a user-defined function, {_HINT.format(own)}; {_supported(known)}")
    config = {} if config is None else config
    if not isinstance(name, str) or not isinstance(config, Mapping):
        raise ValueError(f"{what}: a config needs a string class_name and a dict config, received {shown(identifier)}")
    if is_user_defined(identifier):
        own = shown(name)
        raise ValueError(f"{what}: {own} is a user-defined class, {_HINT.format(own)}; {_supported(known)}")
    spellings = {_normalized(k): k for k in known}
    found = spellings.get(_normalized(name))
    if found is None:
        nearest = get_close_matches(_normalized(name[:100]), spellings, n=1)
        hint = f" (did you mean {spellings[nearest[0]]!r}?)" if nearest else ""
        raise ValueError(f"{what}: {shown(name)} is not supported{hint}; {_supported(known)}")
    return found, dict(config)


def _supported(known: Mapping[str, object]) -> str:
    return f"supported are {', '.join(known)}"


def _normalized(name: str) -> str:
    """One spelling for MaxNorm, max_norm and maxnorm, and for keras.regularizers.L2 and L2."""
    return re.sub(r"^(tf\.)?keras\.(\w+\.)*|_", "", name).lower()


def _arguments(what: str, name: str, config: dict[str, Any], arguments: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    unknown = sorted(config.keys() - arguments)
    if unknown:
        raise ValueError(f"{what}: {name} has no {', '.join(unknown)}; it has {', '.join(arguments) or 'no arguments'}")
    missing = sorted(k for k, v in config.items() if v is None and k not in _DEFAULT_WHERE_NULL)
    if missing:
        raise ValueError(f"{what}: {name}'s {', '.join(missing)} must be given, received null")
    return {ours: default if config.get(k) is None else config[k] for k, (ours, default) in arguments.items()}
