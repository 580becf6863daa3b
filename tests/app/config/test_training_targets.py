"""What a config names is a part of a run, or is refused before it is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra._internal.utils import _locate
from omegaconf import OmegaConf

from command_line import ROOT, CommandLine
from regtorch.app.config.instantiate import instantiate
from regtorch.app.config.targets import check_targets, located
from regtorch.app.ground.errors import RunError
from regtorch.app.ground.folders import Folders

OWN = """
import torchvision
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 10))

def annotated() -> nn.Module:
    return Net()

def silent():
    return Net()

def written(path="touched") -> int:
    open(path, "w").close()

class Flip:
    def __call__(self, images):
        return images.flip(3)

class Evil:
    def __init__(self, path="touched"):
        open(path, "w").close()
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of one's own, in which a call would leave the file `touched`."""
    (tmp_path / "parts_of_mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


REFUSED = (
    *("os.system", "os.execvp", "subprocess.run", "subprocess.Popen", "builtins.eval", "builtins.exec"),
    *("builtins.open", "builtins.__import__", "importlib.import_module", "functools.partial", "runpy.run_path"),
    *("pickle.loads", "shutil.rmtree", "pathlib.Path", "code.interact", "operator.methodcaller", "types.FunctionType"),
    *("torch.load", "torch.hub.load", "torch.jit.load", "torch.os.system", "torch.serialization.load", "torch.save"),
    *("torch.compile", "torch.nn.Module.__class__", "torch.nn.Module.__subclasses__", "torch.utils.data.DataLoader"),
    *("torch.nn.Embedding.from_pretrained", "torch.nn.functional.relu", "torch.package.PackageImporter"),
    *("hydra.utils.get_method", "hydra.utils.get_class", "hydra.utils.get_object", "hydra.utils.call"),
    *("hydra.utils.instantiate", "omegaconf.OmegaConf.load", "numpy.load", "regtorch.app.ground.atomic.write_text"),
    *("lightning.pytorch.LightningModule.load_from_checkpoint", "datetime.datetime"),
    *("parts_of_mine.silent", "parts_of_mine.written", "parts_of_mine.Evil"),
)
PLACES: dict[str, Any] = {
    "a node": lambda node: node,
    "an argument": lambda node: {"_target_": "torch.nn.ReLU", "inplace": node},
    "a positional argument": lambda node: {
        "_target_": "torch.nn.Sequential",
        "_args_": [{"_target_": "torch.nn.ReLU"}, node],
    },
    "deep": lambda node: {"_target_": "torch.nn.ReLU", "inplace": [{"a": {"b": [node]}}]},
    "not made yet": lambda node: {"_target_": "torch.nn.ReLU", "_recursive_": False, "inplace": node},
    "interpolated": lambda node: {"_target_": "torch.nn.ReLU", "inplace": "${elsewhere}"},
}


@pytest.mark.parametrize("target", REFUSED)
def test_targets_that_are_not_part_of_a_run_are_not_called(own: Path, target: str):
    node = {"_target_": target}
    for partial in ({}, {"_partial_": True}):
        config = OmegaConf.create({"model": {"net": {**node, **partial}}})
        with pytest.raises(
            RunError, match=r"^model\.net\._target_: expected a subclass of torch's Module, or a function"
        ):
            instantiate(config.model.net)
    assert not (own / "touched").exists()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("target", ["os.system", "torch.load", "parts_of_mine.Evil", "functools.partial"])
def test_nested_targets_that_are_not_part_of_a_run_are_not_called(own: Path, place: str, target: str):
    node = {"_target_": target, "_partial_": True}
    config = OmegaConf.create({"elsewhere": node, "model": {"net": PLACES[place](node)}})
    with pytest.raises(RunError, match=rf"^model\.net.*_target_: expected .*, received {target}; nothing was called$"):
        instantiate(config.model.net)
    assert not (own / "touched").exists()


def test_the_standard_library_is_not_imported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "antigravity", raising=False)
    monkeypatch.delitem(sys.modules, "this", raising=False)
    for target in ("antigravity.geohash", "this.s"):
        with pytest.raises(RunError, match="nothing was called"):
            check_targets({"_target_": target}, "model.net")
    assert not {"antigravity", "this"} & {*sys.modules}


@pytest.mark.parametrize("target", [7, None, True, ["torch.nn.ReLU"], {"a": 1}])
def test_a_target_must_be_a_name(target: Any):
    with pytest.raises(RunError, match=r"^optimizer\._target_: expected a subclass of torch's Optimizer"):
        check_targets({"_target_": target}, "optimizer")


KINDS = {
    "model.net": ("torch.nn.Linear", "torchvision.models.resnet18", "parts_of_mine.Net", "parts_of_mine.annotated"),
    "optimizer": ("torch.optim.SGD", "regtorch.keras.Adam"),
    "callbacks.stop": ("lightning.pytorch.callbacks.EarlyStopping", "regtorch.app.terminal.progress.Progress"),
    "logger.csv": ("lightning.pytorch.loggers.CSVLogger", "regtorch.app.run.csv_logger.CSVLogger"),
    "trainer": ("lightning.Trainer", "lightning.pytorch.Trainer"),
    "data": ("regtorch.data.Digits",),
    "reg.penalty": ("regtorch.L2", "regtorch.Activity"),
    "constraint.projection": ("regtorch.MaxNorm",),
}


@pytest.mark.parametrize("key", KINDS)
@pytest.mark.parametrize("of", KINDS)
def test_each_key_accepts_only_its_kind(own: Path, key: str, of: str):
    for target in KINDS[of]:
        if of == key:
            assert check_targets({"_target_": target}, key) == [target]
        else:
            with pytest.raises(RunError, match=rf"^{key}\._target_: expected .*, received {target};"):
                check_targets({"_target_": target}, key)


@pytest.mark.parametrize(
    ("key", "name", "target"),
    [
        ("trainer", "strategy", "lightning.pytorch.strategies.DDPStrategy"),
        ("trainer", "profiler", "lightning.pytorch.profilers.SimpleProfiler"),
        ("trainer", "plugins", "lightning.pytorch.plugins.AsyncCheckpointIO"),
        ("trainer", "plugins", "lightning.pytorch.plugins.MixedPrecision"),
        ("trainer", "max_time", "datetime.timedelta"),
        ("data", "augment", "regtorch.data.Augment"),
        ("data", "augment", "torchvision.transforms.v2.RandomRotation"),
        ("data", "augment", "parts_of_mine.Flip"),
        ("model.net", "activation", "torch.nn.ReLU"),
    ],
)
def test_nested_parts_are_accepted(own: Path, key: str, name: str, target: str):
    outer = KINDS[key][0]
    assert check_targets({"_target_": outer, name: {"_target_": target}}, key) == [outer, target]


def test_a_net_from_a_users_function_is_accepted(own: Path):
    config = OmegaConf.create({"model": {"net": {"_target_": "parts_of_mine.annotated"}}})
    assert instantiate(config.model.net)(torch.zeros(2, 8, 8)).shape == (2, 10)


def test_a_run_whose_config_calls_something_ends_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    torch.save({"a": 1}, tmp_path / "net.pt")
    train = CommandLine(tmp_path, monkeypatch, capfd)
    result = train("model=own", "model.net._target_=torch.load", "+model.net.f=net.pt", "+model.net.weights_only=false")
    assert result.code == 2
    assert "model.net" in result.error
    assert "torch.load" in result.error


def test_every_config_of_the_project_is_accepted():
    found = []
    for path in sorted((ROOT / "conf").rglob("*.yaml")):
        group = path.parent.name
        config: Any = OmegaConf.to_container(OmegaConf.load(path))
        if group in ("model", "optimizer", "callbacks", "logger", "trainer", "data", "reg", "constraint"):
            for key, node in {"": config, **{k: v for k, v in config.items() if isinstance(v, dict)}}.items():
                if "_target_" in node and node["_target_"] != "???":
                    found += check_targets(node, f"{group}.{key}".rstrip("."))
    assert len(found) > 40


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("csv_logger.CSVLogger", {"save_dir": "."}),
        ("history.HistoryPicture", {"path": "history.png"}),
        ("progress.Progress", {}),
        ("RegularizedModule", None),
        ("Regularize", {"rules": [{"_target_": "regtorch.L2"}]}),
    ],
)
def test_configs_of_earlier_versions_with_old_class_paths(target: str, arguments: dict[str, Any] | None):
    full = f"regtorch.training.{target}"
    if arguments is None:
        assert located(full, "key").__name__ == target
    else:
        key = "logger" if "Logger" in target else "callbacks"
        made = instantiate(OmegaConf.create({key: {"one": {"_target_": full, **arguments}}})[key].one)
        assert type(made).__name__ == target.rpartition(".")[2]


def test_the_callback_of_earlier_configs_of_hydra_is_found():
    assert _locate("regtorch.training.folders.Folders") is Folders
