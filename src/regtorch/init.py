"""Keras's default initialisation for PyTorch layers."""

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

__all__ = ["NORMS", "keras_init_"]

_CONV_TRANSPOSE = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_KERNELS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_CONV_TRANSPOSE)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_KNOWN = (*_KERNELS, *_EMBEDDINGS, *NORMS)


@torch.no_grad()
def keras_init_(net: nn.Module, seed: int | None = None) -> nn.Module:
    """Initialise a net in place as Keras does by default.

    Kernels of linear, convolution and transposed convolution layers are glorot-uniform, embeddings uniform on
    (-0.05, 0.05), biases zero; norm layers scale by one, shift by zero, and start from moving mean 0 and variance 1.
    Numbers are drawn on the CPU, so that a seed gives the same weights on every device.

    Args:
        net: the network; unchanged if an error is raised.
        seed: seeds a separate generator; None draws from PyTorch's global one.

    Returns:
        The same network.

    Raises:
        TypeError: a module owns parameters without a known Keras default.

    Example:
        >>> net = keras_init_(nn.Linear(4, 2), seed=0)
        >>> bool((net.weight.abs() <= 1.0).all()), net.bias.tolist()
        (True, [0.0, 0.0])
    """
    for name, module in net.named_modules():
        _refuse_unknown(name, module)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    drawn: set[int] = set()  # a tied weight is drawn once
    for module in net.modules():
        weight = module.weight if isinstance(module, _KNOWN) else None
        if isinstance(weight, Tensor) and id(weight) not in drawn:
            drawn.add(id(weight))
            if isinstance(module, NORMS):
                weight.fill_(1.0)
            else:
                _uniform_(weight, _limit(module, weight), generator)
        bias = getattr(module, "bias", None)
        if isinstance(module, _KNOWN) and isinstance(bias, Tensor):
            bias.zero_()
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight[module.padding_idx].zero_()  # as torch does; Keras has no padding row
        if isinstance(module, _NormBase):
            module.reset_running_stats()
    return net


def _refuse_unknown(name: str, module: nn.Module) -> None:
    names = {parameter for parameter, _ in module.named_parameters(recurse=False)}
    unknown = sorted(names - {"weight", "bias"} if isinstance(module, _KNOWN) else names)
    if unknown:
        raise TypeError(
            f"keras_init_: {name or 'the network'} ({type(module).__name__}) owns {', '.join(unknown)}, which has no "
            "known Keras default; initialise it yourself and call keras_init_ on the modules around it"
        )


def _limit(module: nn.Module, weight: Tensor) -> float:
    if isinstance(module, _EMBEDDINGS):
        return 0.05
    # The limit only needs the sum of the fans, so a transposed convolution, which swaps them, needs no special case.
    positions = math.prod(weight.shape[2:])
    return math.sqrt(6.0 / ((weight.shape[0] + weight.shape[1]) * positions))


def _uniform_(weight: Tensor, limit: float, generator: torch.Generator | None) -> None:
    draw = torch.empty(weight.shape, dtype=weight.dtype, device="cpu")
    weight.copy_(draw.uniform_(-limit, limit, generator=generator))
