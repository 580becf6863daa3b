"""Stacks of cells."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from regtorch.checks import shown
from regtorch.keras.dtypes import dtype_of
from regtorch.keras.file_names import numbered
from regtorch.keras.layers.recurrent.cells import Cell, DenseCell
from regtorch.keras.layers.recurrent.own_cell import OwnCell
from regtorch.keras.spec import Spec

__all__ = ["StackedRNNCells", "cell_of"]


def cell_of(module: nn.Module) -> Cell | OwnCell:
    """A module as a cell.

    Raises:
        ValueError: it is none.
    """
    return module if isinstance(module, Cell) else OwnCell(module)


class StackedRNNCells(nn.ModuleList):
    """Cells each of which takes the outputs of the one before."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        configs, shape = spec.require("cells"), spec.shapes[0]
        if not isinstance(configs, list | tuple) or not configs:
            raise ValueError(f"cells must be a list of one cell or more, received {shown(configs)}")
        self.classes: list[str] = [config["class_name"] for config in configs]
        dtype = dtype_of(spec.config) or torch.float32
        for i in range(len(configs)):
            module = spec.inner(f"cells.{i}", str(i), shape)
            self.append(module)
            cell = cell_of(module)
            if isinstance(cell, OwnCell):
                shape = (*shape[:-1], cell.output_size(shape, dtype))
            elif isinstance(cell, DenseCell):
                shape = (*shape[:-1], cell.units)
            else:
                raise ValueError(f"a stack is of cells of sequences, received {type(cell).__name__}")

    @property
    def cells(self) -> list[Cell | OwnCell]:
        """The cells, first to last."""
        return [cell_of(module) for module in self]

    @property
    def keras_parts(self) -> Mapping[str, str]:
        """Where Keras's files have each cell."""
        return {str(i): f"cells/{name}" for i, name in enumerate(numbered(self.classes))}

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """One step: the output of the last cell and the new states of all."""
        given, after = list(states), []
        for cell in self.cells:
            x, *new = cell(x, *(given.pop(0) for _ in range(cell.state_count)))
            after += new
        return x, *after
