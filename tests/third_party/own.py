"""Cases of wrappers written by hand; strangers' wrappers have these shapes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from torch import nn
from torch.optim import SGD, Adam

from third_party.optimizers import with_closure
from third_party.shapes import (
    SAM,
    Both,
    Calling,
    Clipped,
    Clipping,
    Holder,
    InBackward,
    Lookahead,
    Master,
    Mixed,
    Named,
    Proxy,
    Scheduled,
    Selfish,
    Twice,
)
from third_party.training import Case
from third_party.wrapping import INSIDE, at, backward_only, inside_case, sgd, two_steps

__all__ = ["own_cases"]


def calling(kind: Any, model: nn.Module) -> Any:
    """Torch wraps the parent's `step` when the first of its kind is made."""
    sgd(model)
    return kind(model.parameters(), 0.1, momentum=0.9)


def attach_to_owners(bound: Any, optimizer: InBackward) -> list[Any]:
    """To each of many optimizers that owns something."""
    chosen = {id(p) for _, p in bound.leaves()}
    owners = [o for p, o in optimizer.of.items() if id(p) in chosen]
    return [bound.attach(o) for o in owners or optimizer.of.values()]


def attach_to_each(bound: Any, optimizer: Both) -> list[Any]:
    """To the inner ones of a pair."""
    return [bound.attach(o) for o in optimizer.optimizers]


HELD = "optimizer base_optimizer _base_optimizer opt optim _optimizer base"
NAMES_OF_ITS_OWN = "inner_optimizer wrapped"


def own_cases() -> Iterable[Case]:
    """Wrappers as users write them."""
    for name in HELD.split():
        yield Case(f"holder with .{name}", lambda m, name=name: Holder(sgd(m), name), inner=at(name))
        yield Case(f"look-ahead with .{name}", lambda m, name=name: Lookahead(sgd(m), name), inner=at(name), warns=True)
    for name in ("optimizer", "optim"):
        yield Case(f"steps some, the rest by .{name}", lambda m, name=name: Mixed(m, name))
    for name in NAMES_OF_ITS_OWN.split():
        yield Case(f"holder with .{name}", lambda m, name=name: Holder(sgd(m), name), expect="refused")
        yield Case(f"look-ahead with .{name}", lambda m, name=name: Lookahead(sgd(m), name), inner=at(name), warns=True)
    yield Case("holder of a holder", lambda m: Holder(Holder(sgd(m), "opt"), "optimizer"))
    yield Case(
        "look-ahead of a look-ahead",
        lambda m: Lookahead(Lookahead(sgd(m), "optimizer"), "_base_optimizer"),
        inner=lambda o: o._base_optimizer.optimizer,
        middle=at("_base_optimizer"),
        warns=True,
    )
    yield Case("holder of fused Adam", lambda m: Holder(Adam(m.parameters(), 0.01, fused=True), "optimizer"))
    yield Case("proxy by __getattr__", lambda m: Proxy(sgd(m)), expect="refused")
    yield Case("pair", Both, expect="refused", why="two optimizers: attach to each", closure=None)
    yield Case("pair, attached to each", Both, attach=attach_to_each, closure=None)
    yield Case("attributes that are names", lambda m: Named(m.parameters(), 0.1))
    yield Case("attribute that is itself", lambda m: Selfish(m.parameters(), 0.1))
    yield Case("super().step()", partial(calling, Calling))
    yield Case("clips, then super().step()", partial(calling, Clipped))
    yield Case("schedule of rates", lambda m: Scheduled(sgd(m)), inner=at("optimizer"))
    yield Case("copies of weights", Master, expect="refused", why="steps copies of the weights")
    yield Case("in backward", InBackward, backward_only, attach=attach_to_owners, closure=None, has_way_2=False)
    for base in (SGD, Adam):
        made = lambda m, base=base: SAM(m.parameters(), base, lr=0.02)  # noqa: E731
        yield inside_case(f"SAM({base.__name__})", made, "base_optimizer", drive=two_steps, closure=with_closure)
    yield inside_case(
        "two inner steps",
        lambda m: Twice(sgd(m)),
        "optimizer",
        closure=None,
        steps_once=False,
        why=f"{INSIDE}; the second finds the penalty of the first in .grad still",
    )
    yield inside_case("clipping", lambda m: Clipping(sgd(m)), "optimizer", closure=None)
