"""Command lines with one wrong setting: each key of the configs with each value that it must not have."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from places import CONF

__all__ = ["PROGRAMS", "Wrong", "misspelt_keys", "misspelt_options", "wrong_values"]

PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "train": (),
    "path": ("reg=l2", "path.lams=[0.1,0.2]"),
    "search": ("reg=l2",),
    "doctor": ("reg=l2",),
}
"""The programs that read these configs, each with a command line that is right."""


@dataclass(frozen=True)
class Wrong:
    """A command line that is wrong, and how its message must read."""

    program: str
    arguments: tuple[str, ...]  # in addition to those of PROGRAMS
    said: str  # a regular expression

    def __str__(self) -> str:
        return f"{self.program} {' '.join(self.arguments)}"


NO_NUMBER = ("abc", "true", "[1]", "{a: 1}", "nan", "inf", "-inf", "''", "'1'", "1e39", "'é ß'")
NO_COUNT = (*NO_NUMBER, "1.5", "9" * 40)
NO_SWITCH = ("maybe", "5", "0.5", "[]", "{a: 1}", "'true'", "nan", "''")
NO_TEXT = ("5", "true", "1.5", "[a]", "{a: 1}")
NO_OBJECT = ("5", "true", "abc", "[]", "{a: 1}", "''")
NO_CHOICE = (*NO_TEXT, "banana", "''")
NO_SHAPE = ("5", "abc", "true", "{a: 1}", "[a]", "[0,32,32]", "[1.5,2,2]", "[true,1,1]", "[-3,32,32]", "''")
NO_SHARES = ("5", "abc", "[0.5]", "[0.5,0.5,0.5]", "[0.5,1]", "[0.5,-1]", "[true,0.5]", "{a: 1}", "''")
NO_RANGE = ("abc", "true", "{a: 1}", "log:0:1", "log:1:nan", "lin:1:0", "[]", "''", "5")
NO_VALUES = (
    "abc",
    "true",
    "{a: 1}",
    "[]",
    "[-1]",
    "[nan]",
    "[inf]",
    "log:0:1:3",
    "lin:0:1",
    "[0.1,0.1]",
    "''",
    "[[1]]",
)
NO_TIME = ("true", "5", "abc", "00:00:00:00", "1:1", "{days: 0}", "[1]", "''")

NULLS: Mapping[str, tuple[str, ...]] = {
    "history": ("5", "true", "[a]", "{a: 1}", "banana", "''"),
    **dict.fromkeys(("run", "classes", "val_samples"), ("5", "abc", "[a]")),  # without a history
    "resume": ("5", "1.5", "[a]", "{a: 1}"),
    "data.augment": NO_OBJECT,
    "reg.schedule": ("abc", "true", "5", "[warmup:10]", "warmup", "warmup:0", "step:10|warmup:3", "''"),
    "reg.rate": (*NO_NUMBER, "-0.1", "1", "2"),
    "reg.penalty": NO_OBJECT,
    "constraint.dim": ("abc", "true", "1.5", "[a]", "{a: 1}", "nan", "''", "[0.5]"),
    "constraint.projection": NO_OBJECT,
    "trainer.precision": ("17", "banana", "true", "[32]", "''", "{a: 1}"),
    "trainer.min_epochs": (*NO_COUNT, "-1"),
    "trainer.min_steps": (*NO_COUNT, "-1"),
    "trainer.max_time": NO_TIME,
    "trainer.limit_train_batches": ("0", "0.0", "-1", "1.5", *NO_NUMBER),
    "trainer.limit_val_batches": ("-1", "1.5", *NO_NUMBER),
    "trainer.limit_test_batches": ("-1", "1.5", *NO_NUMBER),
    "trainer.val_check_interval": ("0", "0.0", "-1", "abc", "true", "[1]", "''"),
    "trainer.gradient_clip_val": ("-1", *NO_NUMBER),
    "trainer.gradient_clip_algorithm": NO_CHOICE,
    "trainer.deterministic": ("no", "5", "[]", "{a: 1}", "''"),
    "trainer.benchmark": NO_SWITCH,
    "trainer.profiler": ("5", "true", "banana", "[simple]", "''"),
    "data.min_size": ("5", "abc", "true", "[0,5]", "[5]", "[a,b]", "[1.5,2]", "[-1,2]"),
    "data.limit": (*NO_COUNT, "0", "-1"),
    "model.net.scale": NO_NUMBER,
    "model.net.weights": (*NO_CHOICE,),
    "reg.projections": (*NO_COUNT, "0", "-1"),
    "reg.penalty.projections": (*NO_COUNT, "0", "-1"),
    "path.lams": NO_VALUES,
    "path.rates": (*NO_VALUES, "[2]"),
    "path.max_values": NO_VALUES,
    "path.seeds": (*NO_VALUES, "[0.5]", "[4294967296]"),
    "path.chunk": (*NO_COUNT, "0", "-1"),
    "search.select": ("kernel", "[]", "[kernel]", "5", "true", "[kernel,kernel]", "{a: 1}"),
    "search.rate": (*NO_RANGE, "lin:0:2", "[0.1,2]", "[-1,0.5]"),
    "search.max_value": (*NO_RANGE, "lin:-1:1"),
    "search.also": ("5", "abc", "[a]", "{optimizer.lr: 5}", "{optimizer.lr: abc}"),
    "search.storage": ("5", "true", "[a]", "{a: 1}", "''"),
}
"""Wrong values of the keys that are null if nothing is given."""

WORDS: Mapping[str, tuple[str, ...]] = {
    "save_every": ("0", "-5", "1.5", "soon", "0min", "10 days", "-3s", "true", "[10]", "{a: 1}", "''", "nan"),
    "out_dir": (*NO_TEXT, "null", "elsewhere"),
    "model.select": (*NO_TEXT, "null", "''", "kernels", "name:nothing"),
    "reg.convention": NO_CHOICE,
    "reg.outputs": (*NO_TEXT, "null", "''", "type:Nothing", "name:nothing"),
    "trainer.accelerator": (*NO_CHOICE, "null"),
    "trainer.strategy": (*NO_CHOICE, "null"),
    "callbacks.best.monitor": (*NO_TEXT, "val/nothing", "banana", "''"),
    "callbacks.stop.monitor": (*NO_TEXT, "val/nothing", "banana", "''", "null"),
    **dict.fromkeys(("callbacks.best.mode", "callbacks.stop.mode"), (*NO_CHOICE, "null", "MAX")),
    "data.interpolation": (*NO_CHOICE, "null"),
    "data.on_error": (*NO_CHOICE, "null"),
    "model.net.head": (*NO_CHOICE, "null"),
    "model.net.activation": (*NO_CHOICE, "null"),
    "search.lam": NO_RANGE,
    "search.name": ("null", "''", "' '", "[a]", "{a: 1}", "true"),
    "search.monitor": (*NO_TEXT, "null", "banana", "score", "''", "val/banana"),
    "search.sampler": (*NO_CHOICE, "null"),
    "search.pruner": (*NO_CHOICE, "null"),
}
"""Wrong values of the keys with texts as default; of others NO_TEXT."""

BEYOND: Mapping[str, tuple[str, ...]] = {
    "seed": ("-1", "4294967296"),
    "data.seed": ("-1", "4294967296"),
    "seconds": ("0", "-1", "1e7"),
    "search.trials": ("0", "-1", "10001"),
    "search.workers": ("0", "-1", "99999999"),
    "trainer.max_epochs": ("0", "-2"),
    "trainer.max_steps": ("0", "-2"),
    "trainer.devices": ("0", "-2"),
    "trainer.num_sanity_val_steps": ("-2",),
    **dict.fromkeys(("reg.lam", "reg.l1", "reg.l2", "constraint.epsilon", "optimizer.lr", "optimizer.eps"), ("-1",)),
    **dict.fromkeys(("reg.l1_ratio", "constraint.rate", "optimizer.alpha", "optimizer.momentum"), ("-0.1", "1.1")),
    **dict.fromkeys(("reg.rho", "data.balance", "data.val_share"), ("0", "1", "-1")),
    "data.test_share": ("1", "-0.1"),
    **dict.fromkeys(("data.num_classes", "data.batch_size", "data.samples", "data.max_words"), ("0", "-1")),
    "data.val_size": ("0", "-1"),
    "data.divisor": ("0", "-1"),
    "data.signal": ("0", "-1"),
    "model.net.blocks": ("0", "-1", "99"),
    "model.net.train_blocks": ("-1", "6", "99"),
    **dict.fromkeys(("model.net.dropout", "reg.label_smoothing"), ("-0.1", "1")),
}
"""Numbers out of range."""

_FREE = {
    *("callbacks", "logger"),  # empty groups
    *("callbacks.best.filename", "callbacks.last.filename", "callbacks.best.dirpath", "callbacks.last.dirpath"),
    *("trainer.default_root_dir", "logger.csv.name", "logger.csv.version", "logger.tensorboard.version"),
    *("logger.tensorboard.name", "logger.wandb.save_dir", "logger.mlflow.artifact_location"),
}
"""Keys whose classes allow several kinds, or null; tried in other tests."""
_FITS = {("seconds", "1.5"), ("trainer.devices", "'1'"), ("data.divisor", "1.5"), ("data.divisor", "9" * 40)}
"""Values that are right in these keys alone."""
_NEEDS = {
    **dict.fromkeys(("constraint.dim", "constraint.select"), "constraint=max_norm"),
    **dict.fromkeys(("reg.schedule", "reg.select", "model.select"), "reg=l2"),
}
_MADE_FOR = {"model=distance": "data=distance", "model=window_net": "data=windows", "model=sentiment": "data=sentiment"}
_OWN = {"data=csv", "data=folder"}  # which need a file first; tests/app/data tries their settings
_PARTNER = {data: model for model, data in _MADE_FOR.items()}


def _leaves(node: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        key = f"{above}.{name}" if above else str(name)
        if isinstance(value, dict) and value:
            yield from _leaves(value, key)
        else:
            yield key, value


@cache
def _keys() -> Mapping[str, tuple[str, tuple[str, ...], Any]]:
    """Each key of the configs: a program and choices of options that have it, and its default."""
    found: dict[str, tuple[str, tuple[str, ...], Any]] = {}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for program in PROGRAMS:
            for key, default in _leaves(_composed(program)):
                found.setdefault(key, (program, (), default))
            if program == "train":
                for choice, node in _options():
                    if choice in _OWN:
                        continue
                    other = _MADE_FOR.get(choice) or _PARTNER.get(choice)
                    for key, default in _leaves(node, choice.partition("=")[0]):
                        found.setdefault(key, (program, (choice, other) if other else (choice,), default))
    return found


def _composed(program: str, *words: str) -> dict[str, Any]:
    cfg: Any = OmegaConf.to_container(compose(program, [*words, "out_dir=."]), resolve=False)
    return cfg


def _options() -> list[tuple[str, dict[str, Any]]]:
    """Each option of each group but the experiments, and what it sets there; one of each group at a time."""
    groups = [folder.name for folder in sorted(CONF.iterdir()) if folder.is_dir() and folder.name != "experiment"]
    of_groups = [[f"{group}={path.stem}" for path in sorted((CONF / group).glob("*.yaml"))] for group in groups]
    found = {}
    for row in zip_longest(*of_groups):
        choices = [choice for choice in row if choice]
        cfg = _composed("train", *choices)
        found |= {choice: cfg[choice.partition("=")[0]] or {} for choice in choices}
    return [(choice, found[choice]) for choices in of_groups for choice in choices]


def _values(key: str, default: Any) -> tuple[str, ...]:
    """Values that a key with this default must not have."""
    last = key.rpartition(".")[2]
    if last == "_target_":
        return ("null", "5", "true", "''", "[a]", "{a: 1}", "nope", "os.system", "torch.nn")
    if last == "_partial_":
        return ("false", "5", "null", "abc")
    if key in NULLS or key in WORDS:
        return NULLS.get(key) or WORDS[key]
    if last == "select":
        return WORDS["model.select"]
    if isinstance(default, str) and default.startswith("${found:"):
        return NO_SHAPE if last == "input_shape" else NO_COUNT
    if isinstance(default, str) and default.startswith("${") and "/" not in default:  # the kind of what it refers to
        other = default.removeprefix("${").removesuffix("}").partition("[")
        referred = _keys().get(other[0], ("", (), 1))[2]
        return _values(other[0], referred[int(other[2][0])] if other[1] else referred)
    if isinstance(default, bool):
        return NO_SWITCH if key == "optimizer.fused" else (*NO_SWITCH, "null")
    if isinstance(default, list):
        return NO_SHARES if isinstance(default[0], float) else NO_SHAPE
    number = NO_COUNT if isinstance(default, int) else NO_NUMBER
    number = tuple(value for value in number if (key, value) not in _FITS)
    if isinstance(default, int | float):
        return (*number, *BEYOND.get(key, ()))
    return (*NO_TEXT, "null")


def _message(key: str) -> str:
    """The message names the key, or at least its last part, with what was expected or received."""
    last = key.rpartition(".")[2]
    return rf"({re.escape(key)}=|\b{last}\b.*(expected|must|received|matches|unknown|empty))"


def wrong_values() -> list[Wrong]:
    """Every key with every value that it must not have, and a reference to nothing."""
    found = []
    for key, (program, choices, default) in _keys().items():
        if key in _FREE:
            continue
        needs = (_NEEDS[key],) if key in _NEEDS else ()
        for value in _values(key, default):
            found.append(Wrong(program, (*choices, *needs, f"{key}={value}"), _message(key)))
        if default is not None and key != "resume":
            found.append(Wrong(program, (*choices, *needs, f"{key}=${{nowhere}}"), "interpolation.*nowhere"))
    return found


def _misspelt(name: str, chance: random.Random) -> str:
    at = chance.randrange(1, len(name))
    return chance.choice([name[:at] + name[at + 1 :], name[:at] + name[at] + name[at:], f"{name}s", name[:-1]])


def misspelt_keys(seed: int) -> list[Wrong]:
    """Every key of more than three letters, misspelt in one place."""
    chance, found = random.Random(seed), []
    for key, (program, choices, _) in _keys().items():
        above, _, last = key.rpartition(".")
        if len(last) < 4 or last.startswith("_") or above in ("", "callbacks", "logger"):
            continue
        wrong = _misspelt(last, chance)
        if f"{above}.{wrong}" not in _keys():
            found.append(Wrong(program, (*choices, f"{above}.{wrong}=1"), rf"{re.escape(wrong)}.*did you mean"))
    return found


def misspelt_options(seed: int) -> list[Wrong]:
    """Every option of more than two letters, misspelt in one place."""
    chance, found = random.Random(seed), []
    for path in sorted(CONF.glob("*/*.yaml")):
        wrong = _misspelt(path.stem, chance) if len(path.stem) > 2 else path.stem
        if not (path.parent / f"{wrong}.yaml").exists():
            group = path.parent.name
            found.append(Wrong("train", (f"{group}={wrong}",), f"{group}: expected one of .* received '{wrong}'"))
    return found
