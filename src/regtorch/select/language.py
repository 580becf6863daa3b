"""The selection language: atoms that match weights.

| atom | matches |
|---|---|
| `kernel` `bias` `norm` `embedding` | the weights of that role, by the owner's type (see `regtorch.select.roles`) |
| `all` | every weight |
| `name:<glob>` | weights with a matching dotted name, e.g. `name:head.*` |
| `type:<glob>` | weights whose owner's class (or one of its base classes) has a matching name, e.g. `type:Conv*` |
| `largest:<n>` | the n weights with the most parameters among those that match the rest of its alternative |

A space means and, a leading `-` means not, `|` means or: `kernel -name:head.*|embedding`. Frozen weights never match;
tied weights count once.

`kernel` excludes embeddings and heads tied to one: the rows of rare words seldom get a gradient, so a penalty would
shrink them most. Hugging Face's Trainer decays `kernel|embedding`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from html import escape

from torch import Tensor, nn

from regtorch.counted import counted
from regtorch.notebook import Shown, code, line
from regtorch.select.listing import columns, in_html, in_text
from regtorch.select.weight import Weight, exempt_from_decay, modules_of, types_of, weights_of

__all__ = ["Selection", "SelectionError", "choose", "choose_modules", "parse", "weights"]

ROLES = ("kernel", "bias", "norm", "embedding")
_PREFIXES = ("name:", "type:", "largest:")
_SHOWN = 40  # names in an error message


class SelectionError(ValueError):
    """A `select` that is invalid or matches nothing."""


@dataclass(frozen=True)
class Atom:
    """One atom: `kind` is a role, "all", "name", "type" or "largest"; `value` is what follows the colon."""

    kind: str
    value: str
    negated: bool

    def __str__(self) -> str:
        return f"{'-' * self.negated}{self.kind}{':' * bool(self.value)}{self.value}"

    @property
    def count(self) -> int:
        return int(self.value)


@dataclass(frozen=True)
class Selection(Shown):
    """The weights of a network that `select` matches; `print` lists them, and those left out with the reasons.

    Attributes:
        select: the text.
        chosen: the weights that match, in the network's order.
        left_out: all others, each with the reason.
        dormant: frozen weights that would match otherwise.
        exempt: names of chosen weights that the network's own `no_weight_decay()` lists.
        idle: the `name:` and `type:` atoms that match no weight, perhaps misspelled.
    """

    select: str
    chosen: tuple[Weight, ...]
    left_out: tuple[tuple[Weight, str], ...]
    dormant: tuple[Weight, ...] = ()
    exempt: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()

    @property
    def remarks(self) -> list[str]:
        """Lines for a receipt: weights that the network would exempt from decay, and atoms that match nothing."""
        lines = []
        if self.exempt:
            names, first = ", ".join(self.exempt), self.exempt[0]
            lines.append(f"exempted by the network's no_weight_decay: {names}; to leave one out, add -name:{first}")
        if self.idle:
            lines.append(
                f"matching no weight: {', '.join(self.idle)} (give full names: name:head.* or name:head.weight)"
            )
        return lines

    def __str__(self) -> str:
        parameters = sum(weight.shape.numel() for weight in self.chosen)
        head = f"{self.select}: {counted(len(self.chosen), 'weight')}, {parameters:,} parameters"
        chosen = [(*columns(weight), "") for weight in self.chosen]
        left_out = [(*columns(weight), reason) for weight, reason in self.left_out]
        return "\n".join([head, *in_text(chosen, self.remarks, left_out)])

    def _repr_html_(self) -> str:
        remarks = "".join(line(escape(remark)) for remark in self.remarks)
        return line(code(self.select)) + in_html(self.chosen, self.left_out) + remarks


def weights(model: nn.Module, select: str) -> dict[str, Tensor]:
    """The weights of `model` that `select` matches, by name.

    Raises:
        SelectionError: `select` is invalid or matches nothing; the message lists the names that exist.

    Example:
        >>> import regtorch as rt
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
        >>> list(rt.select.weights(net, "kernel -name:2.*|norm"))
        ['0.weight', '1.weight', '1.bias']
    """
    return {w.name: w.read(model) for w in choose(model, select).chosen}


def choose(model: nn.Module, select: str) -> Selection:
    """Apply `select` to `model`, with the reason for each weight left out.

    Raises:
        SelectionError: `select` is invalid or matches nothing.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"on: model must be an nn.Module, received {type(model).__name__}; give the entire network")
    alternatives = parse(select)
    found = weights_of(model)
    trainable = [w for w in found if w.trainable]
    verdicts = [_verdicts(alternative, trainable) for alternative in alternatives]
    chosen, left_out = [], []
    for weight in found:
        if not weight.trainable:
            left_out.append((weight, "frozen"))
            continue
        reasons = [verdict.get(weight.name) for verdict in verdicts]
        if None in reasons:
            chosen.append(weight)
        else:
            left_out.append((weight, _joined([r for r in reasons if r])))
    if not chosen:
        raise SelectionError(_nothing(select, alternatives, left_out))
    dormant = [w for w in found if not w.trainable and any(_matches_but_for_rank(a, w) for a in alternatives)]
    listed = exempt_from_decay(model)
    exempt = [w.name for w in chosen if any(fnmatchcase(name, glob) for name in w.names for glob in listed)]
    idle = _idle(alternatives, trainable)
    return Selection(select, tuple(chosen), tuple(left_out), tuple(dormant), tuple(exempt), idle)


def _joined(reasons: Sequence[str]) -> str:
    """The reasons of all alternatives, once each; more than two names are counted, as a Keras net's rules have many."""
    reasons = list(dict.fromkeys(reasons))
    names = [reason for reason in reasons if reason.startswith("not name:")]
    if len(names) > 2:
        counted = f"none of {len(names)} names"
        reasons = list(dict.fromkeys(counted if reason in names else reason for reason in reasons))
    return "; ".join(reasons)


def choose_modules(model: nn.Module, select: str) -> dict[str, nn.Module]:
    """The submodules that `select` matches; `all` means those without submodules.

    Raises:
        SelectionError: `select` is invalid, has an atom for weights (a role, `largest`), or matches no module.
    """
    alternatives = parse(select)
    for atom in (atom for alternative in alternatives for atom in alternative):
        if atom.kind not in ("name", "type", "all"):
            raise SelectionError(f"select {select!r} must match modules, but {str(atom)!r} is for weights; use type:…")
    modules = modules_of(model)
    chosen = {
        name: module
        for name, module in modules.items()
        if any(all(_holds_for_module(atom, name, module) for atom in alternative) for alternative in alternatives)
    }
    if not chosen:
        shown = [f"{name or '(the network)'} ({type(m).__name__})" for name, m in modules.items()]
        names = ", ".join(shown[:_SHOWN])
        raise SelectionError(f"select {select!r} matches no module; there are: {names}")
    return chosen


def _holds_for_module(atom: Atom, name: str, module: nn.Module) -> bool:
    if atom.kind == "name":
        hit = fnmatchcase(name, atom.value)
    elif atom.kind == "type":
        hit = matches(types_of(module), atom.value)
    else:
        hit = not any(module.children())
    return hit != atom.negated


def parse(select: str) -> list[list[Atom]]:
    """The alternatives of `select`, each a list of atoms that must all match."""
    if not isinstance(select, str):
        raise SelectionError(f"select must be a string such as 'kernel -name:head.*', received {select!r}")
    alternatives = [[_atom(text, select) for text in part.split()] for part in select.split("|")]
    if not all(alternatives):
        raise SelectionError(f"select has an empty alternative: {select!r}; write one, or leave the '|' out")
    return alternatives


def _atom(text: str, select: str) -> Atom:
    negated = text.startswith("-")
    kind, colon, value = text.removeprefix("-").partition(":")
    if (not colon and kind in (*ROLES, "all")) or (colon and value and kind in ("name", "type")):
        return Atom(kind, value, negated)
    if kind == "largest" and re.fullmatch(r"0*[1-9]\d{0,17}", value, re.ASCII):
        if negated:
            raise SelectionError(f"select {select!r}: 'largest' is never negated; name the weights to leave out")
        return Atom(kind, value, negated)
    if kind == "largest":
        raise SelectionError(
            f"select {select!r}: 'largest' takes a count from 1 to 10^18, as in largest:3, not {text!r}"
        )
    known = [*ROLES, "all", *(prefix + "…" for prefix in _PREFIXES)]
    raise SelectionError(f"select {select!r}: unknown atom {text!r}{_hint(kind + colon)}; known are {', '.join(known)}")


def _hint(text: str) -> str:
    if text in ("or", "and"):
        return " (write | for or, a space for and)"
    nearest = get_close_matches(text, [*ROLES, "all", *_PREFIXES])
    if not nearest and not text.endswith(":"):  # a bare weight's or class's name
        nearest = [f"type:{text}" if text[:1].isupper() else f"name:{text}" if "." in text else f"name:{text}.*"]
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""


def _idle(alternatives: list[list[Atom]], candidates: Sequence[Weight]) -> tuple[str, ...]:
    atoms = {atom for alternative in alternatives for atom in alternative if atom.kind in ("name", "type")}
    return tuple(sorted(str(a) for a in atoms if not any(holds(replace(a, negated=False), w) for w in candidates)))


def _matches_but_for_rank(alternative: Sequence[Atom], weight: Weight) -> bool:
    return all(atom.kind == "largest" or holds(atom, weight) for atom in alternative)


def _verdicts(alternative: Sequence[Atom], candidates: list[Weight]) -> dict[str, str]:
    """The reason for each weight that does not match this alternative."""
    verdicts: dict[str, str] = {}
    for weight in candidates:
        failing = next((a for a in alternative if a.kind != "largest" and not holds(a, weight)), None)
        if failing is not None:
            verdicts[weight.name] = f"{weight.role}, not {failing}" if failing.kind in ROLES else f"not {failing}"
            if failing.negated:
                verdicts[weight.name] = str(failing)
    for atom in alternative:
        if atom.kind == "largest":
            matching = [w for w in candidates if w.name not in verdicts]
            ranked = sorted(matching, key=lambda w: -w.shape.numel())  # stable: the net's order breaks ties
            verdicts |= {w.name: f"not among the {atom}" for w in ranked[atom.count :]}
    return verdicts


def holds(atom: Atom, weight: Weight) -> bool:
    """Whether an atom other than `largest` matches a weight."""
    if atom.kind == "name":
        hit = any(fnmatchcase(name, atom.value) for name in weight.names)
    elif atom.kind == "type":
        hit = matches(weight.types, atom.value)
    else:
        hit = atom.kind in ("all", weight.role)
    return hit != atom.negated


def matches(types: frozenset[str], glob: str) -> bool:
    """Whether one of the class names matches `glob`."""
    return any(fnmatchcase(name, glob) for name in types)


def _nothing(select: str, alternatives: list[list[Atom]], left_out: Sequence[tuple[Weight, str]]) -> str:
    if not left_out:
        return f"select {select!r} matches nothing: the network has no weights"
    kinds = [atom.kind for alternative in alternatives for atom in alternative if not atom.negated]
    if "type" in kinds:
        types = ", ".join(sorted({name for w, _ in left_out for name in w.types}))
        return f"select {select!r} matches none of the network's weights; their owners' types are: {types}"
    names = [f"{w.name} ({'frozen' if reason == 'frozen' else w.role})" for w, reason in left_out]
    shown = ", ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
    return f"select {select!r} matches none of the network's weights; there are: {shown}"
