"""Keras's random image layers by class name; PyTorch's global generator draws."""

from __future__ import annotations

from torch import nn

from regtorch.keras.layers.random_images import colours, filters, geometry, mixing, policies, sizes

__all__ = ["RANDOM_IMAGES"]

_CLASSES: list[type[nn.Module]] = [
    *(colours.RandomBrightness, colours.RandomContrast, colours.RandomSaturation, colours.RandomHue),
    *(colours.RandomColorJitter, colours.RandomColorDegeneration, colours.RandomGrayscale, colours.RandomInvert),
    *(filters.RandomGaussianBlur, filters.RandomPosterization, filters.RandomSharpness, filters.Solarization),
    *(geometry.RandomFlip, geometry.RandomRotation, geometry.RandomShear, geometry.RandomTranslation),
    *(geometry.RandomZoom, geometry.RandomPerspective, geometry.RandomElasticTransform),
    *(mixing.CutMix, mixing.MixUp, mixing.RandomErasing, policies.AugMix, policies.RandAugment),
    *(sizes.RandomCrop, sizes.RandomHeight, sizes.RandomWidth),
]

RANDOM_IMAGES = {layer.__name__: layer for layer in _CLASSES}
