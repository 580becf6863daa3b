"""Weights that take part in a net's outputs without being its parameters."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from regtorch.doctor.observe.subject import Subject

__all__ = ["outside"]


def outside(subject: Subject) -> list[nn.Parameter]:
    """Parameters in the graph of the first batch's outputs that neither the net nor the optimizer knows."""
    known = {id(p) for p in subject.model.parameters()}
    for part in subject.beside:
        known |= {id(p) for p in (part.parameters() if isinstance(part, nn.Module) else [part])}
    with subject.restored():
        subject.model.eval()
        output = subject.output(0)
        leaves = [t.grad_fn for t in tree_leaves(output) if isinstance(t, Tensor) and t.grad_fn is not None]
        return [p for p in _leaves_of(leaves) if id(p) not in known]


def _leaves_of(nodes: list[Any]) -> list[nn.Parameter]:
    """The parameters behind nodes of a graph."""
    seen: set[Any] = set()
    found: dict[int, nn.Parameter] = {}
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, nn.Parameter):
            found[id(variable)] = variable
        nodes += [before for before, _ in node.next_functions if before is not None]
    return list(found.values())
