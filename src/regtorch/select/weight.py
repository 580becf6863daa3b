"""All weights of a network, each once: names, role, owner's type, and how to read it again later.

A weight is what the forward pass uses. Under a parametrization, `weight_norm` or pruning, that is the computed tensor,
not the parameters behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils.parametrize import is_parametrized
from torch.optim.swa_utils import AveragedModel

from regtorch.numerics.sharded import is_flattened
from regtorch.select.layout import Layout, layout_of, own_parameter
from regtorch.select.roles import ORDER, Role, role_of

__all__ = ["FLATTENED", "Weight", "exempt_from_decay", "modules_of", "types_of", "weights_of"]

FLATTENED = "FSDP1 flattens weights; use fully_shard (FSDP2), tensor parallelism or DDP instead"

# Wrappers, by the name under which they hold the wrapped module.
_WRAPPERS = {"_orig_mod", "_checkpoint_wrapped_module", "_forward_module", "_original_module", "_fsdp_wrapped_module"}
_HOLDERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)  # as `.module`
_HOLDERS_ELSEWHERE = {"DeepSpeedEngine", "ModelEmaV2", "ModelEmaV3", "ShardedDataParallel"}


@dataclass(frozen=True)
class Weight:
    """One weight of a network, by name: the tensor is read again at every use, as it may be replaced.

    Attributes:
        names: its dotted names without wrappers; several if it is tied.
        path: the submodules from the root to its owner, including wrappers.
        attribute: its name on the owner.
        role: norm, embedding, bias, kernel, or other.
        types: the class names of its owners, including base classes.
        shape: its shape when it was found.
        trainable: whether it required a gradient when it was found.
        layout: the dims of its output units.
        also: where a tied weight is found besides: name, path and attribute.
    """

    names: tuple[str, ...]
    path: tuple[str, ...]
    attribute: str
    role: Role
    types: frozenset[str]
    shape: torch.Size
    trainable: bool
    layout: Layout
    also: tuple[tuple[str, tuple[str, ...], str], ...] = ()

    @property
    def name(self) -> str:
        """The first name."""
        return self.names[0]

    def owner(self, root: nn.Module) -> nn.Module:
        """The module that holds it; a LookupError if the network no longer does."""
        module = root
        try:
            for child in self.path:
                module = module._modules[child]
                assert module is not None
            return module
        except (KeyError, AssertionError):
            raise self._gone(root) from None

    def _gone(self, root: nn.Module) -> LookupError:
        if any(is_flattened(p) for p in root.parameters()):
            return LookupError(f"the weight {self.name!r} was sharded by FSDP: {FLATTENED}")
        return LookupError(f"the network no longer has a weight {self.name!r}; bind the rule again")

    def read(self, root: nn.Module) -> Tensor:
        """The current tensor: a parameter, or computed from parameters (with a graph, if gradients are enabled)."""
        return self.read_in(self.owner(root), root)

    def read_in(self, owner: nn.Module, root: nn.Module) -> Tensor:
        """`read`, where the module that holds it is known."""
        parameter = own_parameter(owner, self.attribute)
        if parameter is not None:
            return parameter
        computed = derived(owner).get(self.attribute)
        if computed is None:
            raise self._gone(root)
        return computed.value()

    def leaves(self, root: nn.Module, frozen: bool = False) -> list[nn.Parameter]:
        """The trainable parameters behind it: itself, or those it is computed from; with `frozen` all of them."""
        return self.leaves_in(self.owner(root), frozen)

    def leaves_in(self, owner: nn.Module, frozen: bool = False) -> list[nn.Parameter]:
        """`leaves`, where the module that holds it is known."""
        parameter = own_parameter(owner, self.attribute)
        if parameter is not None:
            return [parameter] if frozen or parameter.requires_grad else []
        computed = derived(owner).get(self.attribute)
        return [p for p in computed.parameters if frozen or p.requires_grad] if computed else []


@dataclass(frozen=True)
class Derived:
    """A weight that a module computes from parameters."""

    value: Callable[[], Tensor]
    parameters: tuple[nn.Parameter, ...]


def derived(module: nn.Module) -> dict[str, Derived]:
    """The weights that `module` computes: parametrizations, the older `weight_norm`/`spectral_norm`, and pruning."""
    found: dict[str, Derived] = {}
    if is_parametrized(module):
        for attribute, chain in cast("nn.ModuleDict", module.parametrizations).items():
            found[attribute] = Derived(_quietly(module, attribute, chain), tuple(chain.parameters()))
    hooks: list[Any] = list(module._forward_pre_hooks.values())
    for hook in hooks:
        if hasattr(hook, "apply_mask"):  # torch.nn.utils.prune
            attribute = hook._tensor_name
            value = partial(hook.apply_mask, module)
            found[attribute] = Derived(value, _behind(module, attribute, ("_orig",)))
        elif hasattr(hook, "compute_weight"):  # torch.nn.utils.weight_norm and spectral_norm
            attribute = hook.name
            extra = (False,) if hasattr(hook, "n_power_iterations") else ()  # reading must not iterate
            value = partial(hook.compute_weight, module, *extra)
            found[attribute] = Derived(value, _behind(module, attribute, ("_g", "_v", "_orig")))
    return found


def _behind(module: nn.Module, attribute: str, endings: tuple[str, ...]) -> tuple[nn.Parameter, ...]:
    candidates = (own_parameter(module, attribute + ending) for ending in endings)
    return tuple(p for p in candidates if p is not None)


def _quietly(module: nn.Module, attribute: str, chain: nn.Module) -> Callable[[], Tensor]:
    """Read a parametrized weight without the side effects of training mode (spectral norm's power iteration)."""

    def value() -> Tensor:
        modes = [(m, m.training) for m in chain.modules()]
        try:
            chain.eval()
            return getattr(module, attribute)
        finally:
            for m, training in modes:
                m.training = training

    return value


def weights_of(root: nn.Module) -> list[Weight]:
    """All weights of `root` in its own order; tied weights once, with all names."""
    found: dict[tuple[int, ...], Weight] = {}
    for path, shown, module in _walk(root):
        computed = derived(module)
        behind = {id(p) for d in computed.values() for p in d.parameters}
        own = {a: p for a, p in module._parameters.items() if p is not None and id(p) not in behind}
        for attribute in [*own, *computed]:
            parameters = (own[attribute],) if attribute in own else computed[attribute].parameters
            name = ".".join((*shown, attribute))
            for parameter in parameters:
                _check(name, parameter)
            tensor = own[attribute] if attribute in own else computed[attribute].value().detach()
            weight = _describe(module, path, attribute, name, tensor, any(p.requires_grad for p in parameters))
            key = tuple(id(p) for p in parameters)
            found[key] = _merge(found[key], weight) if key in found else weight
    return list(found.values())


def _walk(root: nn.Module) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], nn.Module]]:
    """Yield the path, the path without wrappers, and the module; a shared module once per name."""
    pending: list[tuple[tuple[str, ...], tuple[str, ...], nn.Module]] = [((), (), root)]
    while pending:
        path, shown, module = pending.pop()
        yield path, shown, module
        children = []
        for child, submodule in module._modules.items():
            if submodule is None or (child == "parametrizations" and is_parametrized(module)):
                continue
            hidden = child in _WRAPPERS or (child == "module" and _holds_net(module))
            children.append(((*path, child), shown if hidden else (*shown, child), submodule))
        pending.extend(reversed(children))


def _holds_net(module: nn.Module) -> bool:
    return isinstance(module, _HOLDERS) or bool(types_of(module) & _HOLDERS_ELSEWHERE)


def modules_of(root: nn.Module) -> dict[str, nn.Module]:
    """Each submodule once, by its dotted name without wrappers; the root's name is empty."""
    found: dict[int, tuple[str, nn.Module]] = {}
    for _, shown, module in _walk(root):
        found.setdefault(id(module), (".".join(shown), module))
    return dict(found.values())


def exempt_from_decay(root: nn.Module) -> set[str]:
    """Names exempt from decay by the network's `no_weight_decay()` (timm) or `_no_weight_decay` attributes (Mamba)."""
    found: set[str] = set()
    for _, shown, module in _walk(root):
        names = {name for name, p in module._parameters.items() if getattr(p, "_no_weight_decay", False) is True}
        found |= {".".join((*shown, name)) for name in names | _listed(module)}
    return found


def _listed(module: nn.Module) -> set[str]:
    method = getattr(module, "no_weight_decay", None)
    if not callable(method) or any(p.default is p.empty for p in signature(method).parameters.values()):
        return set()  # none, or something else by that name
    listed = method()
    return {name for name in listed if isinstance(name, str)} if isinstance(listed, Iterable) else set()


def types_of(module: nn.Module) -> frozenset[str]:
    """The names of a module's class and its base classes below `nn.Module`."""
    return frozenset(c.__name__ for c in type(module).__mro__ if issubclass(c, nn.Module) and c is not nn.Module)


def _check(name: str, parameter: nn.Parameter) -> None:
    if isinstance(parameter, UninitializedParameter):
        raise ValueError(f"the weight {name!r} has no shape yet; run a batch through the network before binding rules")
    if is_flattened(parameter):
        raise TypeError(f"the weight {name!r} is flattened, so its shape is lost: {FLATTENED}")


def _describe(
    module: nn.Module, path: tuple[str, ...], attribute: str, name: str, tensor: Tensor, trainable: bool
) -> Weight:
    role = role_of(module, name, tensor)
    layout = layout_of(module, attribute, tensor, role)
    return Weight((name,), path, attribute, role, types_of(module), tensor.shape, trainable, layout)


def _merge(first: Weight, second: Weight) -> Weight:
    """A tied weight: all names and owners' types, the first role in their order, the layout if both agree on it."""
    return replace(
        first,
        names=tuple(dict.fromkeys(first.names + second.names)),
        types=first.types | second.types,
        role=min(first.role, second.role, key=ORDER.index),
        layout=first.layout if first.layout == second.layout else Layout(None),
        also=(*first.also, (second.name, second.path, second.attribute)),
    )
