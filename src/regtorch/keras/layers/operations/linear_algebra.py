"""Operations of `keras.ops` on matrices, and Fourier transforms of pairs of real and imaginary part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from regtorch.keras.layers.operations.operation import Make, of_floats, operation

__all__ = ["LINEAR_ALGEBRA"]


def _of_pair(function: Callable[[Tensor], Tensor], x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    y = function(torch.complex(*x))
    return y.real, y.imag


def _rfft(x: Tensor, fft_length: int | None = None) -> tuple[Tensor, Tensor]:
    y = torch.fft.rfft(x, fft_length)
    return y.real, y.imag


def _irfft(x: tuple[Tensor, Tensor], fft_length: int | None = None) -> Tensor:
    return torch.fft.irfft(torch.complex(*x), fft_length)


def _svd(x: Tensor, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    return tuple(torch.linalg.svd(x, full_matrices)) if compute_uv else torch.linalg.svdvals(x)


def _several(function: Callable[[Tensor], Any], x: Tensor) -> tuple[Tensor, ...]:
    return tuple(function(x))


def _cholesky(x: Tensor, upper: bool = False) -> Tensor:
    return torch.linalg.cholesky(x, upper=upper)


_SETTINGS = {
    "Inv": (torch.linalg.inv,),
    "Det": (torch.linalg.det,),
    "Logdet": (torch.logdet,),
    "Slogdet": (partial(_several, torch.linalg.slogdet),),
    "Eigh": (partial(_several, torch.linalg.eigh),),
    "Cholesky": (_cholesky, "upper"),
    "Solve": (torch.linalg.solve,),
    "SVD": (_svd, "full_matrices", "compute_uv"),
    "RFFT": (_rfft, "fft_length"),
}

LINEAR_ALGEBRA: Mapping[str, Make] = {
    **{name: operation(partial(of_floats, f), *settings) for name, (f, *settings) in _SETTINGS.items()},
    **{name: operation(partial(_of_pair, getattr(torch.fft, name.lower()))) for name in ("FFT", "FFT2", "IFFT2")},
    "IRFFT": operation(_irfft, "fft_length"),
}
