"""What every data module does, shown on the digits."""

import ast
import pickle
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

import regtorch.data
from places import ROOT
from regtorch.app.data import CIFAR10, MNIST, ArraysDataModule, Digits, FashionMNIST
from regtorch.app.data.arrays import Arrays
from regtorch.app.data.batches import Batches
from regtorch.app.data.images import adapt
from regtorch.app.data.order import Order


def digits(**options: Any) -> Digits:
    module = Digits(**options)
    module.prepare_data()
    module.setup()
    return module


def epoch(loader: Batches) -> tuple[Tensor, Tensor]:
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


def sorted_rows(images: Tensor) -> Tensor:
    return torch.unique(images.flatten(1), dim=0, return_counts=False, sorted=True)


def test_every_digit_is_in_one_part_with_equal_shares() -> None:
    module = digits(seed=1)
    parts = [epoch(loader()) for loader in (module.train_dataloader, module.val_dataloader, module.test_dataloader)]
    assert [len(labels) for _, labels in parts] == [1437, 180, 180]
    everything = torch.bincount(torch.cat([labels for _, labels in parts]), minlength=10)
    for _, labels in parts:
        expected = everything * len(labels) / 1797
        assert (torch.bincount(labels, minlength=10) - expected).abs().max() <= 1
    from sklearn.datasets import load_digits

    original = torch.from_numpy(load_digits(return_X_y=True)[0]).float() / 16
    images = torch.cat([images for images, _ in parts]).flatten(1)
    assert torch.equal(
        torch.stack(sorted(images, key=torch.Tensor.tolist)), torch.stack(sorted(original, key=torch.Tensor.tolist))
    )


def test_the_split_is_the_same_for_every_seed() -> None:
    one, other = (digits(seed=seed).splits for seed in (1, 2))
    for ours, theirs in zip(one, other, strict=True):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)


def test_attributes_after_setup() -> None:
    module = digits()
    assert (module.num_classes, module.input_shape) == (10, (1, 8, 8))
    assert module.class_names == tuple("0123456789")


def test_data_before_setup_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"^Digits: the data is not loaded yet; call setup\(\) first$"):
        Digits().train_dataloader()


def test_a_lone_last_training_sample_is_left_out() -> None:
    module = digits(batch_size=4)  # 1437 = 359 · 4 + 1
    assert [len(y) for _, y in module.train_dataloader()] == [4] * 359
    assert sum(len(y) for _, y in module.val_dataloader()) == 180
    assert sum(len(y) for _, y in digits(batch_size=50).train_dataloader()) == 1437


def test_no_seed_shuffles_differently_each_time() -> None:
    first, second = (epoch(digits(seed=None).train_dataloader())[1] for _ in range(2))
    assert not torch.equal(first, second)


def test_setup_loads_once() -> None:
    module = digits()
    splits = module.splits
    module.setup("test")
    assert module.splits is splits


def test_batches_are_float_images_and_integer_labels() -> None:
    module = digits(batch_size=50, resize=(3, 32, 32))
    sizes = []
    for images, labels in module.train_dataloader():
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert images.shape == (len(labels), 3, 32, 32)
        assert images.min() >= 0
        assert images.max() <= 1
        assert images.is_contiguous()
        sizes.append(len(labels))
    assert sizes == [50] * 28 + [37]


def test_shuffling_follows_the_seed_and_changes_with_the_epoch() -> None:
    one, again, other = (digits(seed=seed).train_dataloader() for seed in (1, 1, 2))
    first, second = epoch(one)[0], epoch(one)[0]
    assert torch.equal(first, epoch(again)[0])
    assert torch.equal(second, epoch(again)[0])
    assert not torch.equal(first, second)
    assert not torch.equal(first, epoch(other)[0])
    assert torch.equal(sorted_rows(first), sorted_rows(second))


def test_a_new_loader_continues_the_shuffling() -> None:
    module = digits()
    assert not torch.equal(epoch(module.train_dataloader())[1], epoch(module.train_dataloader())[1])


def test_the_shuffling_continues_from_a_checkpoint(tmp_path: Path) -> None:
    module = digits(seed=1)
    epoch(module.train_dataloader())
    torch.save(module.state_dict(), tmp_path / "state.pt")
    expected = epoch(module.train_dataloader())[0]
    resumed = digits(seed=1)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(epoch(resumed.train_dataloader())[0], expected)


def test_val_and_test_keep_their_order_and_global_random_numbers_are_unchanged() -> None:
    module = digits()
    before = torch.get_rng_state()
    assert torch.equal(epoch(module.val_dataloader())[1], module.splits.val.labels)
    assert torch.equal(epoch(module.test_dataloader())[1], module.splits.test.labels)
    epoch(module.train_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_uint8_pixels_are_scaled_in_batches_and_not_in_memory() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    arrays = Arrays(images, torch.arange(4))
    batch, labels = arrays.batch(torch.tensor([3, 1]))
    assert torch.equal(batch, images[[3, 1]].float() / 255)
    assert labels.tolist() == [3, 1]
    assert torch.equal(arrays.images.flatten(), torch.arange(256, dtype=torch.uint8))


def flat(lists: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def numbered(count: int) -> Arrays:
    return Arrays(torch.zeros(count, 1), torch.arange(count))


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("count", [12, 13, 14, 17])
def test_processes_share_the_data_out(count: int, world: int) -> None:
    def shares(training: bool, shuffled: bool = False) -> list[list[int]]:
        loaders = [
            Batches(
                numbered(count),
                4,
                Order(1) if shuffled else None,
                training=training,
                rank=rank,
                world=world,
            )
            for rank in range(world)
        ]
        batches = [[labels.tolist() for _, labels in loader] for loader in loaders]
        assert [len(of_one) for of_one in batches] == [len(loader) for loader in loaders]
        return [flat(of_one) for of_one in batches]

    assert sorted(flat(shares(training=False))) == list(range(count))  # each sample once
    trained = shares(training=True, shuffled=True)
    assert len({len(share) for share in trained}) == 1  # the same number of steps in every process
    assert len(trained[0]) % 4 != 1  # batch norm cannot train on one sample
    left_out = count - len(set(flat(trained)))
    assert left_out <= (world if -(-count // world) % 4 == 1 else 0)


def test_without_an_order_samples_keep_theirs() -> None:
    assert flat([labels.tolist() for _, labels in Batches(numbered(10), 3, training=True)]) == list(range(9))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_a_single_sample_is_trained_on(world: int) -> None:
    for rank in range(world):
        loader = Batches(numbered(1), 4, training=True, rank=rank, world=world)
        assert [labels.tolist() for _, labels in loader] == [[0]]
        assert len(loader) == 1


def test_a_data_module_and_its_loaders_pickle() -> None:
    module = digits()
    copy = pickle.loads(pickle.dumps(module))
    assert torch.equal(epoch(copy.train_dataloader())[0], epoch(module.train_dataloader())[0])
    assert len(pickle.loads(pickle.dumps(module.val_dataloader()))) == 6


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_adapt(dtype: torch.dtype) -> None:
    grey = (torch.rand(5, 1, 8, 8) * 255).to(dtype)
    assert adapt(grey, (1, 8, 8)) is grey
    rgb = adapt(grey, (3, 16, 12))
    assert rgb.shape == (5, 3, 16, 12)
    assert rgb.dtype == dtype
    assert torch.equal(rgb[:, 0], rgb[:, 2])
    torch.testing.assert_close(rgb.float().mean(), grey.float().mean(), rtol=0.05, atol=0)
    assert torch.equal(adapt(grey, (3, 8, 8))[:, 1], grey[:, 0])
    # Luminance of ITU-R 601: one channel alone gives its weight.
    only_green = torch.zeros(1, 3, 4, 4)
    only_green[:, 1] = 1
    torch.testing.assert_close(adapt(only_green, (1, 4, 4)), torch.full((1, 1, 4, 4), 0.587), rtol=0, atol=1e-3)


def test_adapt_smooths_what_it_shrinks() -> None:
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(16, 16).view(1, 1, 32, 32)
    small = adapt(board, (1, 8, 8))
    assert (small - 0.5).abs().max() < 0.15  # without antialiasing a checkerboard stays black or white


def test_adapt_is_the_same_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(0, 256, (10, 3, 9, 9), dtype=torch.uint8)
    whole = adapt(images, (1, 5, 5))
    monkeypatch.setattr("regtorch.app.data.images._CHUNK", 3)
    assert torch.equal(adapt(images, (1, 5, 5)), whole)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("num_classes", 5, "num_classes: digits has 10 classes, received 5"),
        ("batch_size", 0, "digits: batch_size must be a whole number of at least 1, received 0"),
        ("resize", (2, 8, 8), "digits: resize must be (1 or 3 channels, height, width), received (2, 8, 8)"),
        (
            "resize",
            (784,),
            "digits: resize must be (channels, height, width), whole numbers of at least 1, received (784,)",
        ),
        (
            "resize",
            (1, 0, 8),
            "digits: resize must be (channels, height, width), whole numbers of at least 1, received (1, 0, 8)",
        ),
    ],
)
def test_wrong_options_are_refused(option: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=option) as error:
        digits(**{option: value})
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "kind", "batch_size"),
    [("digits", Digits, 32), ("mnist", MNIST, 128), ("fashion_mnist", FashionMNIST, 128), ("cifar10", CIFAR10, 32)],
)
def test_the_config_makes_the_data_module(name: str, kind: type[ArraysDataModule], batch_size: int) -> None:
    conf = OmegaConf.create(
        {"data": OmegaConf.load(ROOT / f"conf/data/{name}.yaml"), "model": {"input_shape": [3, 32, 32]}, "seed": 7}
    )
    module = instantiate(conf.data)
    assert type(module) is kind
    assert (module.seed, module.batch_size, module.num_classes, module.download) == (7, batch_size, 10, True)
    assert module.resize == ((3, 32, 32) if kind is Digits else None)
    conf.data.resize = "${model.input_shape}"
    assert instantiate(conf.data).resize == (3, 32, 32)


def test_every_data_set_has_a_config() -> None:
    modules = [regtorch.data.__dict__[name] for name in regtorch.data.__all__]
    made = {f"regtorch.data.{m.__name__}" for m in modules if issubclass(m, ArraysDataModule)}
    confs = [OmegaConf.create({"data": OmegaConf.load(path)}) for path in (ROOT / "conf/data").glob("*.yaml")]
    targets = {conf.data._target_ for conf in confs}
    assert targets == made - {"regtorch.data.ArraysDataModule"}


def test_torchvision_and_sklearn_are_imported_only_where_they_are_used() -> None:
    for path in (ROOT / "src/regtorch/data").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert not {"torchvision", "sklearn"} & {word.split(".")[0] for word in ast.unparse(node).split()}
