"""Real files of every kind that the program reads, damaged in seeded ways."""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch

import regtorch as rt
from data_files import idx, images, labels, write_mnist
from image_files import encoded, tree, write, write_jpegs, write_zip
from regtorch.app.data import CIFAR10, MNIST, ImageFolders, Npz, Sentiment
from regtorch.app.data.arrays import Splits
from regtorch.app.ground.checkpoint import load_checkpoint
from regtorch.app.ground.reading import read_yaml
from regtorch.app.record.epoch_tables import read_epochs
from regtorch.app.record.run_record import RunRecord
from regtorch.app.run.saves.store import Store

SEALED, FRAMED, OPEN = "sealed", "framed", "open"
"""What a format can notice: every damage, by checksums; a wrong size; or only what breaks its grammar."""


class Kind(NamedTuple):
    """A kind of file: what its format notices, and a function that writes one in a folder and says how to read it."""

    notices: str
    make: Callable[[Path], tuple[Path, Callable[[], Any]]]


def _digest(value: Any) -> str:
    """A digest of arrays and plain values."""
    if isinstance(value, Splits):
        value = [tensor for part in value for tensor in (part.images, part.labels)]
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()[:16]
    if isinstance(value, list | tuple):
        return hashlib.sha256(" ".join(map(_digest, value)).encode()).hexdigest()[:16]
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def _loaded(module: Any) -> str:
    module.setup()
    return _digest(module.splits)


def _mnist(packed: bool, name: str) -> Callable[[Path], tuple[Path, Callable[[], Any]]]:
    def make(folder: Path) -> tuple[Path, Callable[[], Any]]:
        raw = write_mnist(folder, packed=packed)
        return raw / name, lambda: _loaded(MNIST(str(folder), val_size=10, download=False))

    return make


def _npz(folder: Path, save: Callable[..., None]) -> tuple[Path, Callable[[], Any]]:
    arrays = {f"x_{part}": images(count, 8, 6, 3, seed=count) for part, count in (("train", 40), ("test", 20))}
    save(folder / "my.npz", **arrays, y_train=labels(40), y_test=labels(20))
    return folder / "my.npz", lambda: _loaded(Npz(str(folder / "my.npz")))


def _zip(folder: Path) -> tuple[Path, Callable[[], Any]]:
    path = write_zip(folder / "my.zip", tree({"cats": 8, "dogs": 8}))
    return path, lambda: _loaded(ImageFolders(str(path), size=(12, 9)))


def _image(form: str) -> Callable[[Path], tuple[Path, Callable[[], Any]]]:
    def make(folder: Path) -> tuple[Path, Callable[[], Any]]:
        write(folder, tree({"cats": 8, "dogs": 8}))
        path = folder / "dogs" / f"odd.{form.lower()}"
        path.write_bytes(encoded(99, 40, 30, form))
        return path, lambda: _loaded(ImageFolders(str(folder), size=(12, 9)))

    return make


def _tar(folder: Path) -> tuple[Path, Callable[[], Any]]:
    path = write_jpegs(folder / "cifar10-jpeg.tar.gz")
    return path, lambda: _loaded(CIFAR10(str(folder), download=False))


def _sentiment(folder: Path) -> tuple[Path, Callable[[], Any]]:
    (folder / "rt-polarity").mkdir()
    for name, word in (("neg", "bad"), ("pos", "good")):
        lines = "".join(f"a {word} film number {n % 97} \n" for n in range(Sentiment.lines))
        (folder / f"rt-polarity/rt-polarity.{name}").write_bytes(lines.encode("cp1252"))
    path = folder / "rt-polarity/rt-polarity.pos"
    return path, lambda: _loaded(Sentiment(str(folder), max_words=50))


def _summary(folder: Path) -> tuple[Path, Callable[[], Any]]:
    record = RunRecord(final={"val/loss": 0.25, "val/accuracy": 0.9}, epochs=3, seconds=1.5, config={"reg": {"lam": 1}})
    record.write(folder)
    return folder / "summary.json", lambda: _digest(RunRecord.read(folder))


def _table(folder: Path) -> tuple[Path, Callable[[], Any]]:
    rows = "".join(f"{n},{n}.5,{1 / (n + 1):.6f},{0.5 + n / 100:.4f}\r\n" for n in range(20))
    (folder / "metrics.csv").write_text(f"epoch,step,train/loss,val/accuracy\r\n{rows}", newline="")
    return folder / "metrics.csv", lambda: _digest(read_epochs(folder / "metrics.csv", first=0))


def _yaml(folder: Path) -> tuple[Path, Callable[[], Any]]:
    (folder / "config.yaml").write_text("reg:\n  lam: 0.01\n  select: kernel\nlist:\n- a\n- 2\nname: 'x y'\n")
    return folder / "config.yaml", lambda: _digest(read_yaml(folder / "config.yaml"))


def _checkpoint(folder: Path) -> tuple[Path, Callable[[], Any]]:
    path = folder / "best.ckpt"
    torch.save({"state_dict": {"w": torch.arange(500.0)}, "epoch": 3}, path)
    return path, lambda: _digest(list(load_checkpoint(path)["state_dict"].values()))


def _save(name: str) -> Callable[[Path], tuple[Path, Callable[[], Any]]]:
    def make(folder: Path) -> tuple[Path, Callable[[], Any]]:
        store = Store(folder)
        about = {"epoch": 1, "seconds": 2.0, "settings": {"seed": 1, "reg": {"lam": 0.1}}}
        for step in (5, 6):
            store.write({"w": torch.full((300,), float(step)), "step": step}, [], step=step, **about)

        def read() -> str:
            found = store.newest()
            if found is None or found.step == 5:  # the damaged one is refused, with a warning, and the other used
                raise ValueError(f"{folder / 'saves/save-000002' / name} is broken, and the save before it is used")
            return _digest([load_checkpoint(found.state)["w"], found.settings, found.step, found.seconds])

        return folder / "saves/save-000002" / name, read

    return make


def _keras(folder: Path) -> tuple[Path, Callable[[], Any]]:
    layers = [
        {"class_name": "InputLayer", "config": {"batch_shape": [None, 3], "name": "start"}},
        {"class_name": "Dense", "config": {"units": 4, "activation": "relu", "name": "first"}},
        {"class_name": "Dense", "config": {"units": 2, "kernel_regularizer": "l2", "name": "second"}},
    ]
    path = folder / "net.json"
    path.write_text(json.dumps({"class_name": "Sequential", "config": {"name": "net", "layers": layers}}))

    def read() -> str:
        net, rules = rt.keras.from_config(path.read_bytes(), seed=1)
        return _digest([*(p.detach() for p in net.parameters()), [str(rule) for rule in rules]])

    return path, read


KINDS = {
    "IDX images": Kind(FRAMED, _mnist(False, "train-images-idx3-ubyte")),
    "IDX labels": Kind(FRAMED, _mnist(False, "t10k-labels-idx1-ubyte")),
    "gzipped IDX": Kind(SEALED, _mnist(True, "train-images-idx3-ubyte.gz")),
    "npz": Kind(SEALED, lambda folder: _npz(folder, np.savez)),
    "compressed npz": Kind(SEALED, lambda folder: _npz(folder, np.savez_compressed)),
    "zip of images": Kind(SEALED, _zip),
    "PNG": Kind(SEALED, _image("PNG")),
    "JPEG": Kind(FRAMED, _image("JPEG")),
    "BMP": Kind(FRAMED, _image("BMP")),
    "tar of JPEGs": Kind(SEALED, _tar),
    "sentences": Kind(FRAMED, _sentiment),
    "summary.json": Kind(FRAMED, _summary),
    "metrics.csv": Kind(OPEN, _table),
    "config.yaml": Kind(OPEN, _yaml),
    "checkpoint": Kind(SEALED, _checkpoint),
    "a save's state": Kind(SEALED, _save("state.ckpt")),
    "a save's manifest": Kind(SEALED, _save("manifest.json")),
    "Keras config": Kind(FRAMED, _keras),
}
"""Every kind of file that is read, and what its format notices."""


def damages(content: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Thirteen damaged copies."""
    random, size = np.random.default_rng(seed), len(content)
    for cut in (0, min(10, size - 1), size // 4, size // 2, size - 1):
        yield f"cut to {cut} bytes", content[:cut]
    for bit in random.integers(0, 8 * size, 3).tolist():
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit} flipped", bytes(flipped)
    for start in random.integers(0, size, 2).tolist():
        zeros = bytes(min(64, size - start))
        yield f"zeros from {start}", content[:start] + zeros + content[start + len(zeros) :]
    for other, head in (("gzip", gzip.compress(b"x")), ("zip", b"PK\x03\x04" + bytes(12)), ("IDX", idx(labels(3)))):
        yield f"with a {other} file's header", head[:16] + content[16:]


def cases() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Of each kind the intact file, then its damaged copies; the names are those of the kind and the damage."""
    for seed, (name, kind) in enumerate(KINDS.items()):
        with TemporaryDirectory() as folder:
            path, read = kind.make(Path(folder))
            intact = path.read_bytes()
            yield f"{name}: intact", read
            for what, content in damages(intact, seed):
                path.write_bytes(content)
                yield f"{name}: {what}", read
