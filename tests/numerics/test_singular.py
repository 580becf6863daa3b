"""Singular values and vectors: of which matrices, and what stays to the bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import regtorch as rt
from regtorch.numerics import singular
from regtorch.numerics.singular import largest_singular, may_look, with_singular
from ways import close


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (1, 4), (4, 1)])
def test_the_vectors_have_length_one_also_of_zeros(shape: tuple[int, int]):
    for w in (torch.zeros(shape), torch.randn(shape, generator=torch.Generator().manual_seed(0))):
        for vector, size in zip(largest_singular(w), shape, strict=True):
            assert vector.shape == (size,)
            close(vector.norm(), torch.tensor(1.0))


def test_they_are_constants_of_the_graph():
    w = nn.Parameter(torch.eye(3))
    assert not any(vector.requires_grad for vector in largest_singular(w))


def test_under_vmap_no_loop_looks_at_numbers():
    w = torch.randn(5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert may_look()
    close(torch.func.vmap(rt.SpectralNorm(1.0))(w), torch.linalg.matrix_norm(w, 2))


def test_unchanged_values_give_the_matrix_back_and_zero_rows_and_columns_stay_zero():
    w = torch.ones(4, 5, dtype=torch.float64)
    w[:, 2], w[1] = 0.0, 0.0
    for change in (lambda values: values, lambda values: values + 1):
        found = with_singular(w, change)
        assert torch.equal(found == 0, w == 0)
    close(with_singular(w, lambda values: values), w)


def test_the_iteration_ends_when_the_vectors_rest(monkeypatch: pytest.MonkeyPatch):
    calls = 0
    unit = singular._unit

    def counted(v: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return unit(v)

    monkeypatch.setattr(singular, "_unit", counted)
    largest_singular(torch.diag(torch.tensor([1.0, 0.1, 0.1])))
    assert calls < 40
