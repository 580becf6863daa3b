import pytest
import torch
from torch import Tensor

from regtorch.doctor.finding import Finding
from regtorch.doctor.measure.validation import find


def batches(x: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(part, torch.zeros(len(part), dtype=torch.long)) for part in x.split(32)]


def leaks(train: Tensor, val: Tensor) -> list[Finding]:
    return [f for f in find(batches(train), batches(val), classes=True) if f.cause == "validation_leak"]


def pictures(count: int, size: int = 40, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("x", [pictures(600), pictures(600, 8), torch.randn(600, 20), torch.randn(600, 2)])
def test_other_samples_do_not_leak(x: Tensor):
    assert leaks(x[:500], x[500:]) == []


@pytest.mark.parametrize("x", [pictures(600), torch.randn(600, 20), torch.randint(0, 5, (600, 30))])
@pytest.mark.parametrize("shared", [0.1, 0.5, 1.0])
def test_the_share_that_leaks_is_measured(x: Tensor, shared: float):
    train, val = x[:500], x[500:].clone()
    val[: int(100 * shared)] = train[: int(100 * shared)]
    (found,) = leaks(train, val)
    assert found.numbers["share"] == pytest.approx(shared)
    assert found.numbers["identical"] == pytest.approx(shared)
    assert found.severity == ("warning" if shared < 0.2 else "severe")


def test_near_identical_samples_leak_too():
    x = pictures(600)
    train, val = x[:500], (x[:100] + 0.005 * torch.randn(100, 3, 40, 40)).clamp(0, 1)
    (found,) = leaks(train, val)
    assert found.numbers["share"] == 1
    assert found.severity == "severe"


def test_what_was_oversampled_before_the_split_is_a_warning():
    x = torch.randn(300, 20).repeat_interleave(4, 0)[torch.randperm(1200)]
    (found,) = leaks(x[:1000], x[1000:])
    assert found.severity == "warning"
    assert found.numbers["repeats_in_training"] > 0.9


def test_few_distinct_inputs_of_few_features_are_no_leak():
    assert leaks(torch.randint(0, 2, (500, 2)), torch.randint(0, 2, (100, 2))) == []


@pytest.mark.parametrize("bad", [torch.full((50, 4), torch.nan), torch.ones(50, 4), torch.ones(50, 5)])
def test_what_cannot_be_compared_is_left_alone(bad: Tensor):
    assert leaks(bad, torch.ones(50, 4)) == []


@pytest.mark.parametrize(("samples", "severity"), [(40, "warning"), (400, "info")])
@pytest.mark.parametrize("classes", [True, False])
def test_few_validation_samples_are_noisy(samples: int, severity: str, classes: bool):
    (found,) = find(batches(torch.randn(500, 4)), batches(torch.randn(samples, 4)), classes=classes)
    assert (found.cause, found.severity, found.numbers["samples"]) == ("validation_noise", severity, samples)


def test_the_standard_error_is_that_of_draws():
    (found,) = find([], batches(torch.randn(40, 4)), classes=True)
    drawn = torch.rand(20_000, 40, generator=torch.Generator().manual_seed(0)).lt(0.5).float().mean(1).std()
    assert found.numbers["standard_error_at_0.5"] == pytest.approx(float(drawn), rel=0.03)


def test_many_validation_samples_say_enough():
    assert list(find(batches(torch.randn(500, 4)), batches(torch.randn(1000, 4)), classes=True)) == []
