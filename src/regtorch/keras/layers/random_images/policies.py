"""Keras's layers that apply random choices of other layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Beta, Dirichlet

from regtorch.keras.layers.histograms import Equalization
from regtorch.keras.layers.images import AutoContrast, ImageLayer, value_range
from regtorch.keras.layers.random_images import colours, filters, geometry
from regtorch.keras.layers.random_images.base import RandomImages, factors
from regtorch.keras.spec import Spec

__all__ = ["AugMix", "RandAugment"]


class _Policy(RandomImages):
    """Attributes: layers: those that it chooses from."""

    default: float

    def __init__(self, spec: Spec, coloured: bool = True) -> None:
        super().__init__(spec)
        factor = factors(spec, default=self.default, low=0.0)
        value_range(spec)
        spec.one_of("interpolation", {"bilinear": None, "nearest": None}, "bilinear")
        both: Mapping[str, Any] = {f"{name}_factor": factor for name in ("x", "y", "height", "width")}
        solar: Mapping[str, Any] = {f"{name}_factor": factor for name in ("addition", "threshold")}
        kinds: list[tuple[type[ImageLayer], Mapping[str, Any]]] = [
            (geometry.RandomShear, both),
            (geometry.RandomTranslation, both),
            (geometry.RandomRotation, {}),
            (filters.RandomPosterization, {"factor": max(1, int(8 * factor[1]))}),
            (filters.Solarization, solar),
            (AutoContrast, {}),
            (Equalization, {}),
        ]
        if coloured:
            of_colour = (colours.RandomBrightness, colours.RandomColorDegeneration, colours.RandomContrast)
            kinds += [(kind, {}) for kind in (*of_colour, filters.RandomSharpness)]
        config = {**spec.config, "factor": factor}
        self.layers = nn.ModuleList(
            kind(replace(spec, config={**config, **settings}, used=set())) for kind, settings in kinds
        )


class RandAugment(_Policy):
    """Keras's RandAugment: `num_ops` layers, drawn for the whole batch, one after the other."""

    default = 0.5

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.count = spec.size("num_ops", 2, least=0)

    def changed(self, x: Tensor) -> Tensor:
        for i in torch.randint(len(self.layers), (self.count,)).tolist():
            x = self.layers[i](x)
        return x


class AugMix(_Policy):
    """Keras's AugMix: mixes the images with a random mean of `num_chains` chains of layers, drawn for the batch."""

    default = 0.3

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec, spec.flag("all_ops", True))
        self.chains, self.depth = spec.size("num_chains", 3), spec.size("chain_depth", 3)
        self.alpha = spec.number("alpha", 1.0)
        self.low, self.high = value_range(spec)
        if self.alpha <= 0:
            raise ValueError(f"alpha must be above 0, received {self.alpha}")

    def changed(self, x: Tensor) -> Tensor:
        alpha = torch.tensor(self.alpha)
        kept, mixed = float(Beta(alpha, alpha).sample()), torch.zeros_like(x)
        for weight in Dirichlet(alpha.expand(self.chains)).sample().tolist():
            mixed = mixed + weight * self._chain(x)
        return (kept * x + (1 - kept) * mixed).clamp(self.low, self.high)

    def _chain(self, x: Tensor) -> Tensor:
        for i in torch.randint(len(self.layers) + 1, (self.depth,)).tolist():
            x = self.layers[i](x) if i < len(self.layers) else x
        return x
