"""Short runs of the documents' nets on small data of the documents' kinds, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_files import write_mnist
from image_files import tree, write

__all__ = ["DOCUMENT_RUNS", "DocumentRun", "write_data"]


@dataclass(frozen=True)
class DocumentRun:
    """A run and the settings that make it short.

    Attributes:
        words: its command line, beside `data.dir` and the folder.
    """

    name: str
    words: tuple[str, ...]
    program: str = "train"


_MNIST = ("data.val_size=100", "data.batch_size=20", "trainer.max_epochs=2")
_RPS = ("data.size=[48,48]", "model.input_shape=[3,48,48]", "data.batch_size=8", "trainer.max_epochs=3")
_SHORT = ("trainer.limit_train_batches=8", "trainer.max_epochs=2")
_OF_MNIST = ("experiment=mnist_sigmoid_l2", *_MNIST)

DOCUMENT_RUNS = [
    DocumentRun("cnn", ("model=cnn", "reg=l2", "optimizer=sgd", *_SHORT, "save_every=5", "data.cutmix=1.0")),
    DocumentRun(
        "cifar_shallow",
        ("experiment=cifar_shallow_l2", "data=digits", "optimizer=sgd", "~optimizer.eps", *_SHORT, "save_every=5"),
    ),
    DocumentRun("cifar_deep", ("experiment=cifar_deep_l2", "data=digits", *_SHORT, "save_every=3")),
    DocumentRun("cifar_answer", ("experiment=cifar_answer", "data=digits", *_SHORT, "save_every=4")),
    DocumentRun("mnist_mlp", (*_OF_MNIST, "reg.schedule=warmup:9", "trainer.val_check_interval=3", "save_every=1")),
    DocumentRun("bn_mlp", ("experiment=bn_mlp_bn", *_MNIST, "save_every=3")),
    DocumentRun("srivastava", ("experiment=srivastava_dropout_maxnorm", *_MNIST, "save_every=4")),
    DocumentRun(
        "notmnist_mlp",
        (
            *("experiment=notmnist_small_l2_dropout", "data.val_size=60", "data.limit=200"),
            *("data.batch_size=20", "trainer.max_steps=25", "trainer.check_val_every_n_epoch=2", "save_every=3"),
        ),
    ),
    DocumentRun("rps", ("experiment=rps_l1", "reg.proximal=true", "optimizer=sgd", *_RPS, "save_every=2")),
    DocumentRun("six_class", ("experiment=six_class", *_RPS, "callbacks.stop.patience=2", "save_every=3")),
    DocumentRun(
        "two_class_mlp",
        (
            *("experiment=two_class_image", "data.size=[24,24]", "model.input_shape=[3,24,24]", "data.batch_size=4"),
            *("trainer.max_epochs=2", "trainer.accumulate_grad_batches=2", "save_every=2"),
        ),
    ),
    DocumentRun(
        "sentiment",
        (
            "experiment=sentiment",
            *_SHORT,
            "trainer.limit_val_batches=4",
            "trainer.limit_test_batches=4",
            "save_every=5",
        ),
    ),
    DocumentRun(
        "distance", ("experiment=distance_linear", "trainer.max_epochs=12", "data.samples=200", "save_every=7")
    ),
    DocumentRun("window_net", ("experiment=small_binary", "trainer.max_epochs=6", "data.samples=400", "save_every=5")),
    DocumentRun("sweep", ("-m", *_OF_MNIST, "reg.lam=1e-4,1e-2", "save_every=2")),
    DocumentRun(
        "path", (*_OF_MNIST, "path.lams=[0,1e-4,1e-2]", "path.seeds=[0,1]", "path.chunk=3", "save_every=2"), "path"
    ),
    DocumentRun(
        "path of rates",
        ("experiment=small_binary", "path.rates=[0.1,0.5]", "data.samples=400", "trainer.max_epochs=4", "save_every=3"),
        "path",
    ),
]


def write_data(root: Path) -> Path:
    """Write the small data sets into a folder."""
    write_mnist(root, train=300, test=60)
    write_mnist(root, name="notMNIST", train=300, test=60)
    write(root / "rock-paper-scissors", tree({"paper": 20, "rock": 20, "scissors": 20}))
    parts = {f"{part}/{kind}": 16 for part in ("train", "test") for kind in ("cats", "dogs")}
    write(root / "cats-dogs-small", tree(parts))
    for name, kind in (("neg", "bad"), ("pos", "good")):
        lines = "".join(f"it was {kind} {number} {number % 90}\n" for number in range(5331))
        write(root / "rt-polarity", {f"rt-polarity.{name}": lines.encode()})
    return root
