"""Keras's layers by class name: each is a function of a config that returns a torch module."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from regtorch.keras.layers import (
    activation,
    adaptive_pooling,
    attention,
    conv,
    conv_transpose,
    dense,
    dot,
    einsum_dense,
    features,
    group_norm,
    histograms,
    images,
    local,
    masking,
    merge,
    multi_head,
    noise,
    norm,
    padding,
    pooling,
    random_features,
    shape,
    spectral,
    up_sampling,
)
from regtorch.keras.layers.random_images import RANDOM_IMAGES
from regtorch.keras.layers.recurrent import RECURRENT
from regtorch.keras.spec import Spec
from regtorch.nn import AlphaDropout, GaussianDropout, GaussianNoise

__all__ = ["LAYERS"]

_CLASSES: list[type[nn.Module]] = [
    *(dense.Dense, dense.Embedding, dense.ReversibleEmbedding),
    *(conv.Conv1D, conv.Conv2D, conv.Conv3D),
    *(conv.DepthwiseConv1D, conv.DepthwiseConv2D, conv.SeparableConv1D, conv.SeparableConv2D),
    *(conv_transpose.Conv1DTranspose, conv_transpose.Conv2DTranspose, conv_transpose.Conv3DTranspose),
    *(local.LocallyConnected1D, local.LocallyConnected2D),
    *(pooling.MaxPooling1D, pooling.MaxPooling2D, pooling.MaxPooling3D),
    *(pooling.AveragePooling1D, pooling.AveragePooling2D, pooling.AveragePooling3D),
    *(pooling.GlobalMaxPooling1D, pooling.GlobalMaxPooling2D, pooling.GlobalMaxPooling3D),
    *(pooling.GlobalAveragePooling1D, pooling.GlobalAveragePooling2D, pooling.GlobalAveragePooling3D),
    *(padding.ZeroPadding1D, padding.ZeroPadding2D, padding.ZeroPadding3D),
    *(padding.Cropping1D, padding.Cropping2D, padding.Cropping3D),
    *(adaptive_pooling.AdaptiveAveragePooling1D, adaptive_pooling.AdaptiveMaxPooling1D),
    *(adaptive_pooling.AdaptiveAveragePooling2D, adaptive_pooling.AdaptiveMaxPooling2D),
    *(adaptive_pooling.AdaptiveAveragePooling3D, adaptive_pooling.AdaptiveMaxPooling3D),
    *(shape.Flatten, shape.Reshape, shape.Permute, shape.RepeatVector),
    *(up_sampling.UpSampling1D, up_sampling.UpSampling2D, up_sampling.UpSampling3D),
    *(group_norm.GroupNormalization, group_norm.RMSNormalization, group_norm.UnitNormalization),
    *(group_norm.LayerScale, group_norm.CustomScaleLayer, spectral.SpectralNormalization),
    *(features.Rescaling, features.Normalization, features.CategoryEncoding, features.Discretization),
    *(images.CenterCrop, images.Resizing, images.AutoContrast),
    *(histograms.ContrastLimitedAdaptiveHistogramEqualization, histograms.Equalization),
    random_features.RandomFourierFeatures,
    *(masking.Masking, activation.PReLU),
    *(multi_head.MultiHeadAttention, multi_head.GroupQueryAttention, attention.Attention),
    *(attention.AdditiveAttention, einsum_dense.EinsumDense, dot.Dot),
    *(merge.Add, merge.Subtract, merge.Multiply, merge.Average, merge.Maximum, merge.Minimum, merge.Concatenate),
]

LAYERS: Mapping[str, Callable[[Spec], nn.Module]] = {
    **{layer.__name__: layer for layer in _CLASSES},
    **RECURRENT,
    **RANDOM_IMAGES,
    "BatchNormalization": norm.batch_normalization,
    "SyncBatchNormalization": norm.sync_batch_normalization,
    "LayerNormalization": norm.layer_normalization,
    "Activation": lambda spec: spec.activation(len(spec.shape)),
    "ReLU": activation.relu,
    "LeakyReLU": activation.leaky_relu,
    "ELU": lambda spec: nn.ELU(spec.number("alpha", 1.0)),
    "ThresholdedReLU": activation.thresholded_relu,
    "Softmax": activation.softmax,
    "Dropout": noise.dropout,
    "SpatialDropout1D": noise.SequenceDropout,
    "SpatialDropout2D": noise.spatial_dropout_2d,
    "SpatialDropout3D": noise.spatial_dropout_3d,
    "GaussianDropout": lambda spec: GaussianDropout(noise.rate(spec)),  # an error at a rate of 1, as in Keras 3
    "GaussianNoise": lambda spec: GaussianNoise(spec.number("stddev", low=0.0)),
    "AlphaDropout": lambda spec: AlphaDropout(noise.rate(spec)),
    "ActivityRegularization": noise.activity_regularization,
    "Identity": lambda spec: nn.Identity(),
}
