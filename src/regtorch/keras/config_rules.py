"""The regularizers and constraints of a Keras net as rules."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn

from regtorch.bound.activity import Activity
from regtorch.checks import shown
from regtorch.constraints import Constraint
from regtorch.keras.custom_objects import with_select
from regtorch.keras.graph import LayerConfig
from regtorch.keras.identifiers import constraint_on, penalty
from regtorch.keras.variables import variables
from regtorch.penalties import Penalty
from regtorch.rule import Rule
from regtorch.select.weight import weights_of

__all__ = ["Rules", "without_activity"]

_R = TypeVar("_R", bound=Rule)
_SWITCHES = {"bias": "use_bias", "gamma": "scale", "beta": "center"}


class Rules:
    """Collects the rules of layers; equal ones become one rule for all their weights."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.penalties: dict[Penalty, list[str]] = {}
        self.activities: dict[Penalty, list[str]] = {}
        self.constraints: dict[Constraint, list[str]] = {}

    def add(
        self, name: str, module: nn.Module, layer: LayerConfig, trainable: bool, apart: Collection[nn.Module] = ()
    ) -> None:
        """Add the rules of one layer, whose module has the dotted name `name`.

        Modules `apart` in it are Keras layers with a config of their own.

        Raises:
            ValueError: a regularizer or constraint is not supported.
        """
        config = layer.config
        parts = dict(module.named_modules(memo=set(apart)))
        self._refuse_absent(parts.values(), config)
        for inner, part in parts.items():
            for variable in variables(part):
                weight = ".".join(filter(None, (name, inner, variable.attribute)))
                transposed = variable.name in ("kernel", "recurrent_kernel") and variable.order[:1] != (0,)
                regularizer = config.get(f"{variable.setting}_regularizer")
                rule = penalty(regularizer, transposed=transposed, select="all")
                limit = constraint_on(
                    config.get(f"{variable.setting}_constraint", variable.constraint), variable, "all"
                )
                if not trainable:
                    self._warn_if_frozen(rule, layer)
                if rule is not None:
                    self.penalties.setdefault(rule, []).append(weight)
                if limit is not None:
                    self.constraints.setdefault(limit, []).append(weight)
        output = penalty(self._activity(layer), transposed=False, select="all")
        if output is not None:
            for part in getattr(module, "penalized", ("",)):  # Keras hands it to the layers in an attention layer
                self.activities.setdefault(output, []).append(".".join(filter(None, (name, part))))

    def _refuse_absent(self, parts: Collection[nn.Module], config: Mapping[str, Any]) -> None:
        """Refuse a rule for a weight that the layer lacks, unless the layer's settings left that weight out."""
        known = {variable.setting for part in parts for variable in variables(part)}
        known |= {name for name, switch in _SWITCHES.items() if config.get(switch) is False}
        if self.version == 2 and "depthwise" in known:
            known.add("kernel")  # Keras 2 accepts and ignores it
        for key, value in config.items():
            name, _, what = key.rpartition("_")
            if what in ("regularizer", "constraint") and value is not None and name not in (*known, "activity"):
                raise ValueError(f"{key}={shown(value)} is not supported: the layer has no {name}")

    def _activity(self, layer: LayerConfig) -> Any:
        config = layer.config
        if layer.class_name == "ActivityRegularization":
            return {"class_name": "L1L2", "config": {"l1": config.get("l1", 0.0), "l2": config.get("l2", 0.0)}}
        return config.get("activity_regularizer")

    def has_activity(self, name: str) -> bool:
        """Whether an activity penalty reads the outputs of this module."""
        return any(name in names for names in self.activities.values())

    def has_activity_in(self, path: str) -> bool:
        """Whether an activity penalty reads the outputs of a module whose dotted name begins with `path`."""
        return any(name.startswith(path) for names in self.activities.values() for name in names)

    def move_activity(self, name: str, to: str) -> None:
        """Move the activity penalties of one module to another."""
        for names in self.activities.values():
            names[:] = [to if n == name else n for n in names]

    def _warn_if_frozen(self, rule: Rule | None, layer: LayerConfig) -> None:
        if rule is not None and self.version == 2:
            warnings.warn(
                f"from_config: layer {layer.name!r} is frozen, and Keras 2 adds its constant penalty to the loss; it "
                "gets no rule here, which trains the same net",
                stacklevel=2,
            )

    def of(self, net: nn.Module) -> list[Penalty | Constraint | Activity]:
        """Penalties, activity penalties, constraints of the weights that train now, and of every output."""
        known = {name for weight in weights_of(net) if weight.trainable for name in weight.names}
        activities = [Activity(rule, select=_select(names)) for rule, names in self.activities.items()]
        return [*_on(self.penalties, known), *activities, *_on(self.constraints, known)]


def without_activity(layer: LayerConfig) -> LayerConfig:
    """The layer without the penalty of its outputs."""
    if layer.class_name == "ActivityRegularization":
        return replace(
            layer, class_name="Identity", config={k: v for k, v in layer.config.items() if k not in ("l1", "l2")}
        )
    return replace(layer, config={**layer.config, "activity_regularizer": None})


def _on(rules: Mapping[_R, list[str]], known: Collection[str]) -> list[_R]:
    """The rules of these weights."""
    kept = [(rule, [name for name in names if name in known]) for rule, names in rules.items()]
    return [with_select(rule, _select(names)) for rule, names in kept if names]


def _select(names: list[str]) -> str:
    return "|".join(f"name:{name}" for name in names)
