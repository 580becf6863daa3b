"""Road distances and windows, and what the base does for data that is no images."""

from typing import Any

import pytest
import torch
from torch import Tensor

from regtorch.app.data import ArraysDataModule, Distance, Windows
from regtorch.app.data.arrays import Arrays, Splits, checked
from regtorch.app.data.distance import great_circle


def loaded(kind: type[ArraysDataModule], **options: Any) -> Any:
    module = kind(**options)
    module.prepare_data()
    module.setup()
    return module


@pytest.mark.parametrize("kind", [Distance, Windows])
def test_data_are_the_same_for_every_seed_and_parts_are_disjoint(kind: type[ArraysDataModule]) -> None:
    one, other = (loaded(kind, seed=seed) for seed in (1, 2))
    for ours, theirs in zip(one.splits, other.splits, strict=True):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)
    everything = torch.cat([part.images.flatten(1) for part in one.splits])
    assert len(everything.unique(dim=0)) == len(everything)
    assert "generated" in one.remark


def test_great_circle() -> None:
    quarter = torch.pi * 6_371_008.8 / 2
    points = torch.tensor([[0, 0, 90, 0], [0, 0, 0, 90], [10, 20, 10, 20], [0, 0, 0, 180], [60, 0, 60, 1]]).double()
    expected = torch.tensor([quarter, quarter, 0, 2 * quarter, 55_596.6]).double()
    torch.testing.assert_close(great_circle(points)[:, 0], expected, rtol=2e-5, atol=1e-6)


def test_distances_in_the_documents_units() -> None:
    module = loaded(Distance, samples=3000)
    train, val, test = module.splits
    assert [len(part) for part in module.splits] == [2610, 390, 1000]
    assert (module.num_classes, module.class_names, module.input_shape) == (None, (), (4,))
    degrees = train.images * 100
    low, high = torch.tensor([55.589537, 37.344735] * 2), torch.tensor([55.901819, 37.832254] * 2)
    assert ((degrees >= low - 1e-4) & (degrees <= high + 1e-4)).all()
    torch.testing.assert_close(degrees.mean(0), (low + high) / 2, rtol=0, atol=0.01)
    factors = module.metres(train.labels.double()) / great_circle(degrees.double())
    assert train.labels.shape == (2610, 1)
    assert factors.min() > 1
    assert float(factors.median()) == pytest.approx(1.3, abs=0.005)
    assert float((factors - 1).log().std()) == pytest.approx(0.2, abs=0.02)


def test_the_documents_hundred_pairs() -> None:
    module = loaded(Distance)
    assert [len(part) for part in module.splits] == [87, 13, 1000]
    inputs, targets = next(iter(module.train_dataloader()))
    assert (inputs.dtype, targets.dtype, targets.shape) == (torch.float32, torch.float32, (32, 1))
    assert module.splits.train.labels.min() > 0
    assert module.splits.train.labels.max() < 1  # a sigmoid could say it


def test_standardized_distances_are_the_same_ones() -> None:
    plain, standard = loaded(Distance), loaded(Distance, standardize=True)
    for part, same in zip(plain.splits, standard.splits, strict=True):
        torch.testing.assert_close(plain.metres(part.labels), standard.metres(same.labels), rtol=0, atol=0.05)
    train = standard.splits.train
    for values in (train.images, train.labels):
        torch.testing.assert_close(values.mean(0), torch.zeros(values.shape[1]), rtol=0, atol=1e-5)
        torch.testing.assert_close(values.std(0), torch.ones(values.shape[1]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("balance", [0.12, 0.5, 0.97])
def test_windows_have_the_given_balance(balance: float) -> None:
    module = loaded(Windows, balance=balance, samples=1000, size=7)
    train, val, test = module.splits
    assert [len(part) for part in module.splits] == [800, 200, 200]
    assert module.input_shape == (6, 7)
    assert int(train.labels.sum() + val.labels.sum()) == round(1000 * balance)
    assert int(test.labels.sum()) == round(200 * balance)
    assert float(train.labels.float().mean()) == pytest.approx(balance, abs=0.05)


def test_sorted_windows_leave_the_last_labels_to_validation() -> None:
    module = loaded(Windows, balance=0.12, sorted=True)
    train, val, test = module.splits
    assert int(train.labels.sum()) == 0
    assert int(val.labels.sum()) == 240
    assert val.labels.tolist() == sorted(val.labels.tolist())
    assert test.labels.tolist() != sorted(test.labels.tolist())
    assert module.remark == ("windows: generated, 12.0% of label 1, sorted by label; no classifier exceeds 98.7%")


@pytest.mark.parametrize("options", [{"balance": 0.001, "samples": 10}, {"balance": 0.99, "samples": 20}])
def test_every_part_of_mixed_windows_has_both_labels(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^balance and samples: the \w+ part has no window of label [01]; .* larger"):
        loaded(Windows, **options)


def test_the_remark_states_the_balance() -> None:
    assert "54.5% of label 1" in loaded(Windows, samples=11, val_share=0.4).remark


def best_rule(windows: Windows, part: Arrays) -> Tensor:
    """The likelihood's own rule, with the pattern as the difference of a large sample's means tells it."""
    train = windows.splits.train
    positive, negative = (train.images[train.labels == label].mean(0) for label in (1, 0))
    pattern = (positive - negative) / 2
    score = (part.images * pattern).sum((1, 2))
    return (2 * score + torch.tensor(windows.balance / (1 - windows.balance)).log() > 0).long()


@pytest.mark.parametrize("balance", [0.2, 0.5])
def test_windows_can_be_learnt_up_to_the_stated_accuracy(balance: float) -> None:
    module = loaded(Windows, samples=50_000, size=5, signal=1.0, balance=balance)
    accuracy = float((best_rule(module, module.splits.test) == module.splits.test.labels).float().mean())
    assert accuracy == pytest.approx(module.best_accuracy, abs=0.012)
    assert module.best_accuracy > max(balance, 1 - balance) + 0.03


@pytest.mark.parametrize(
    ("kind", "option", "value", "message"),
    [
        (Distance, "num_classes", 10, "num_classes: road distances have no classes; expected null, received 10"),
        (Distance, "samples", 2, "road distances: samples must be a whole number of at least 3, received 2"),
        (Distance, "val_share", 0, "road distances: val_share must be a number above 0 and below 1, received 0"),
        (Windows, "balance", 1.0, "windows: balance must be a number above 0 and below 1, received 1.0"),
        (Windows, "signal", 0, "windows: signal must be a finite number above 0, received 0"),
        (Windows, "size", 1, "windows: size must be a whole number of at least 2, received 1"),
        (Windows, "num_classes", 3, "num_classes: windows has 2 classes, received 3"),
    ],
)
def test_wrong_options_are_refused(kind: type[ArraysDataModule], option: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=option) as error:
        kind(**{option: value})
    assert str(error.value) == message


class NoImages(ArraysDataModule):
    title = "vectors"

    def load(self) -> Splits:
        part = checked(torch.tensor([[True, False], [True, True]]), torch.rand(2, 1), None, "here")
        return Splits(part, part, part)


def test_bool_inputs_become_ones_and_targets_stay() -> None:
    module = loaded(NoImages, num_classes=None, batch_size=2)
    inputs, targets = next(iter(module.val_dataloader()))
    assert inputs.tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert inputs.dtype == torch.float32
    assert torch.equal(targets, module.splits.val.labels)


def test_inputs_that_are_not_images_cannot_be_resized() -> None:
    with pytest.raises(ValueError, match=r"^resize: vectors has no images, received \[3, 8, 8\]; leave it null$"):
        loaded(NoImages, resize=(3, 8, 8))
