"""Checkpoints, saves, configs and records that were made to harm: see `hostile_archives`."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import hostile_archives
import regtorch as rt
from hostile_archives import Runs
from regtorch.app.config.targets import check_targets
from regtorch.app.ground.checkpoint import load_checkpoint
from regtorch.app.ground.reading import read_yaml
from regtorch.app.record.epoch_tables import read_epochs
from regtorch.app.record.run_record import RunRecord
from regtorch.app.run.saves.store import Store, checksum_of


class Allocates:
    """A pickle that would allocate gigabytes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (10**12,)


class Evaluates:
    """A pickle that would evaluate a text."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("open('it-ran', 'w')",)


def _checkpoint(value: Any, **options: Any) -> Callable[[Path], Any]:
    def read(folder: Path) -> None:
        torch.save({"state_dict": value}, folder / "x.ckpt", **options)
        load_checkpoint(folder / "x.ckpt")

    return read


def _deflated(folder: Path) -> None:
    torch.save({"state_dict": torch.zeros(2**20)}, folder / "x.ckpt")
    with (
        zipfile.ZipFile(folder / "x.ckpt") as old,
        zipfile.ZipFile(folder / "y.ckpt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    load_checkpoint(folder / "y.ckpt")


def _save(change: Callable[[Path, dict[str, Any]], Any], state: Any = None) -> Callable[[Path], Any]:
    """A save whose manifest fits what was changed in it."""

    def read(folder: Path) -> None:
        about = {"epoch": 1, "seconds": 2.0, "settings": {"seed": 1}}
        store = Store(folder)
        store.write({"w": torch.ones(3), "x": state}, [], step=5, **about)
        save = folder / "saves/save-000001"
        manifest = json.loads((save / "manifest.json").read_text())
        change(save, manifest)
        manifest["sha256"].pop("manifest.json", None)
        sums = manifest.pop("sha256")
        manifest["sha256"] = {**sums, "manifest.json": checksum_of(manifest)}
        (save / "manifest.json").write_text(json.dumps(manifest))
        store.newest()

    return read


def _beside(place: str) -> Callable[[Path, dict[str, Any]], None]:
    def change(save: Path, manifest: dict[str, Any]) -> None:
        (save / "0-x.ckpt").write_bytes(b"x")
        manifest["beside"] = {"0-x.ckpt": place}
        manifest["sha256"]["0-x.ckpt"] = hashlib.sha256(b"x").hexdigest()

    return change


def _through_a_link(save: Path, manifest: dict[str, Any]) -> None:
    (save.parent.parent / "checkpoints").symlink_to("/tmp")
    _beside("checkpoints/x.ckpt")(save, manifest)


def _outside(save: Path, manifest: dict[str, Any]) -> None:
    manifest["beside"] = {"../x": "x.ckpt"}
    manifest["sha256"]["../x"] = ""


def _pipe(save: Path, manifest: dict[str, Any]) -> None:
    (save / "state.ckpt").unlink()
    os.mkfifo(save / "state.ckpt")


def _deep(levels: int) -> Any:
    tree: Any = {}
    for _ in range(levels):
        tree = {"a": tree}
    return tree


def _text(name: str, text: str, reads: Callable[[Path], Any]) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        (folder / name).write_text(text)
        return reads(folder)

    return read


def _record(text: str) -> Callable[[Path], Any]:
    return _text("summary.json", text, RunRecord.read)


def _piped(folder: Path) -> Any:
    os.mkfifo(folder / "summary.json")
    return RunRecord.read(folder)


def _endless(folder: Path) -> Any:
    (folder / "summary.json").symlink_to("/dev/zero")
    return RunRecord.read(folder)


def _yaml(text: str) -> Callable[[Path], Any]:
    return _text("config.yaml", text, lambda folder: read_yaml(folder / "config.yaml"))


def _table(text: str) -> Callable[[Path], Any]:
    return _text("metrics.csv", text, lambda folder: read_epochs(folder / "metrics.csv", first=0))


def _net(*layers: dict[str, Any], shape: Any = (None, 8)) -> Callable[[Path], Any]:
    start = {"class_name": "InputLayer", "config": {"batch_shape": list(shape), "name": "start"}}
    config = {"class_name": "Sequential", "config": {"layers": [start, *layers]}}
    return lambda folder: rt.keras.from_config(json.dumps(config))


def _layer(kind: str, name: str = "it", **settings: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **settings}}


def _million(folder: Path) -> Any:
    layers = [_layer("Dense", str(number), units=1) for number in range(10**6)]
    return rt.keras.from_config({"class_name": "Sequential", "config": {"layers": layers}})


def _shared(folder: Path) -> Any:
    tree: Any = [0]
    for _ in range(60):
        tree = [tree] * 10
    return rt.keras.from_config({"class_name": "Sequential", "config": {"layers": [], "more": tree}})


def _nested(folder: Path) -> Any:
    net: Any = {"class_name": "Sequential", "config": {"layers": [_layer("Dense", units=1)]}}
    for number in range(300):
        net = {"class_name": "Sequential", "config": {"name": str(number), "layers": [net]}}
    return rt.keras.from_config(net)


def _target(target: str, key: str = "callbacks") -> Callable[[Path], Any]:
    return lambda folder: check_targets({"_target_": target, "path": "it-ran"}, key)


_LAMBDA = ["4wEAAAAAAAAAAAAAAAEAAAADAAAA8wYAAACXAHwAUwApAU6pACkB2gF4cwEAAAAg", None, None]
_WIDE = (None, 1000, 1000, 3)
_UP = [_layer("UpSampling2D", str(number), size=2**20) for number in range(9)]
_LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))

CASES: dict[str, tuple[str, Callable[[Path], Any]]] = hostile_archives.CASES | {
    "checkpoint: runs a command": ("would run posix.system", _checkpoint(Runs())),
    "checkpoint: runs a command, in another protocol": ("posix.system", _checkpoint(Runs(), pickle_protocol=4)),
    "checkpoint: evaluates a text": ("would run", _checkpoint(Evaluates())),
    "checkpoint: allocates a terabyte": ("bytearray", _checkpoint(Allocates())),
    "checkpoint: a net as a whole": ("would run torch.nn.modules", _checkpoint(torch.nn.Linear(2, 2))),
    "checkpoint: old format": ("a zip file", _checkpoint(Runs(), _use_new_zipfile_serialization=False)),
    "checkpoint: compressed": ("without compression", _deflated),
    "save: runs a command": ("would run posix.system", _save(lambda save, manifest: None, Runs())),
    "save: a place that leads out": ("places of checkpoints", _save(_beside("../x.ckpt"))),
    "save: an absolute place": ("places of checkpoints", _save(_beside("/tmp/x.ckpt"))),
    "save: a place that is a config": ("places of checkpoints", _save(_beside(".hydra/config.yaml"))),
    "save: a place through a link": ("places of checkpoints", _save(_through_a_link)),
    "save: a file that leads out": (
        "a checksum of each file",
        _save(
            lambda save, manifest: (
                manifest["beside"].update({"../x": "x.ckpt"}),
                manifest["sha256"].update({"../x": ""}),
            )
        ),
    ),
    "save: a pipe": ("received a pipe", _save(_pipe)),
    "save: minus five steps": ("of at least 0", _save(lambda save, manifest: manifest.update(step=-5))),
    "save: infinite time": ("of at least 0", _save(lambda save, manifest: manifest.update(seconds=float("inf")))),
    "save: deep settings": ("levels deep", _save(lambda save, manifest: manifest.update(settings=_deep(300)))),
    "record: a pipe": ("received a pipe", _piped),
    "record: a link to a device": ("received a device", _endless),
    "record: deep lists": ("expected JSON", _record("[" * 10**6)),
    "record: a number of a million digits": ("expected JSON", _record('{"final": {"a": ' + "9" * 10**6 + "}}")),
    "record: texts for numbers": (
        "expected the summary",
        _record('{"final": {"val/loss": "<script>"}}'),
    ),
    "record: a newer schema": ("schema", _record('{"schema": -1, "final": {}}')),
    "YAML: a billion laughs": ("expected no aliases", _yaml(_LAUGHS)),
    "YAML: a call": (
        "could not determine a constructor",
        _yaml("a: !!python/object/apply:os.system [x]\n"),
    ),
    "YAML: deep lists": ("maximum nesting depth", _yaml("[" * 5000)),
    "YAML: too long": ("bytes, received more", _yaml("a: b\n" * 10**6)),
    "record: many empty lists": ("more", _record("[" + "[]," * 2**25 + "0]")),
    "CSV: many rows": ("rows", _table("epoch,train/loss\r\n" + "".join(f"{n},1\n" for n in range(1_600_000)))),
    "CSV: an epoch beyond all numbers": ("epoch: expected", _table("epoch,train/loss\r\n1e300,1\r\n")),
    "CSV: a cell of megabytes": ("field larger", _table(f"epoch,train/loss\r\n1,{'9' * 10**6}\r\n")),
    "Keras: 10**12 units": ("units must be", _net(_layer("Dense", units=10**12))),
    "Keras: an embedding of 10**12": ("input_dim must be", _net(_layer("Embedding", input_dim=10**12, output_dim=8))),
    "Keras: weights beyond memory": ("free memory", _net(_layer("Dense", units=2**30))),
    "Keras: kernels that multiply": (
        "free memory",
        _net(_layer("Conv2D", filters=4096, kernel_size=4096), shape=(None, 4096, 4096, 3)),
    ),
    "Keras: outputs that multiply": ("free memory", _net(_layer("RepeatVector", n=2**31 - 1), shape=(None, 10**6))),
    "Keras: an input beyond memory": ("free memory", _net(_layer("Flatten"), shape=(None, 2**31 - 1, 2**31 - 1))),
    "Keras: sizes that overflow": (
        "free memory",
        _net(*_UP, shape=_WIDE),
    ),
    "Keras: a million layers": ("more than", _million),
    "Keras: lists that share lists": ("more than 2,000,000", _shared),
    "Keras: nets in nets": ("levels deep", _nested),
    "Keras: deep lists": ("levels deep", lambda folder: rt.keras.from_config("[" * 10**6)),
    "Keras: a long text": ("characters of JSON", lambda folder: rt.keras.from_config("[" + "0," * 10**7 + "0]")),
    "Keras: code": ("is not supported", _net(_layer("Lambda", function=_LAMBDA))),
    "target: a command": ("nothing was called", _target("os.system")),
    "target: an evaluation": ("nothing was called", _target("builtins.eval")),
    "target: a process": ("nothing was called", _target("subprocess.Popen", "model")),
    "target: an unpickler": ("nothing was called", _target("torch.load", "model")),
    "target: a hub": ("nothing was called", _target("torch.hub.load", "model")),
    "target: NumPy's unpickler": ("nothing was called", _target("numpy.load", "data")),
    "target: Hydra's own": ("nothing was called", _target("hydra.utils.get_method", "optimizer")),
}


def cases() -> Iterator[tuple[str, Callable[[], Any]]]:
    """All of them, each in a folder of its own, which is also the working directory."""
    for name, (_, read) in CASES.items():
        with TemporaryDirectory() as folder:
            os.chdir(folder)
            yield name, lambda read=read, folder=folder: read(Path(folder))
            assert not Path("it-ran").exists(), name
            os.chdir("/")
