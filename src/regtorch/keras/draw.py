"""Draw a net's first weights from the initializers in its config."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from regtorch.keras.builder import ERRORS, Builder
from regtorch.keras.initializers import initialize
from regtorch.keras.layers.recurrent.cells import Cell
from regtorch.keras.own_modules import is_own
from regtorch.keras.variables import Variable, variables

__all__ = ["draw"]

_DEFAULTS = {
    "recurrent_kernel": "orthogonal",
    "bias": "zeros",
    "beta": "zeros",
    "moving_mean": "zeros",
    "alpha": "zeros",
} | {
    "gamma": "ones",
    "moving_variance": "ones",
    "embeddings": "uniform",
}


def draw(builder: Builder, generator: torch.Generator | None) -> None:
    """Draw every variable of the net that `builder` has built.

    Raises:
        ValueError: an initializer is not supported, or draws a number that is not finite.
    """
    for _, module, layer, where in builder.built:
        for _, part in module.named_modules(memo=builder.apart - {module}):
            for variable in variables(part):
                given = layer.config.get(f"{variable.setting}_initializer")
                if given is None and is_own(part):
                    continue  # it has the values that it was made with
                default = variable.initializer or _DEFAULTS.get(variable.name, "glorot_uniform")
                identifier = default if given is None else given
                try:
                    _draw(part, variable, partial(initialize, identifier, generator=generator, fans=variable.fans))
                except (TypeError, *ERRORS) as error:
                    raise ValueError(f"from_config: {where}: {error}") from error


def _draw(part: nn.Module, variable: Variable, initializer: partial[torch.Tensor]) -> None:
    value = part.draw(variable, initializer) if isinstance(part, Cell) else initializer(variable.shape)
    tensor = variable.read(part)
    with torch.no_grad():
        tensor.copy_(variable.to_torch(value, tensor.shape))
    if not tensor.isfinite().all():
        raise ValueError(f"its {variable.name} is drawn beyond {tensor.dtype}")
