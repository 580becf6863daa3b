"""Every setting is of its kind, or refused in one line: the key, what was expected, what was received."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from numbers import Number
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

import regtorch as rt
from own_data import own_data
from places import CONF
from regtorch.app.config import check_settings as settings
from regtorch.app.config.check_settings import check_settings
from regtorch.app.config.targets import check_call
from regtorch.app.ground.errors import RunError

GROUPS = [folder.name for folder in sorted(CONF.iterdir()) if folder.is_dir() and folder.name != "experiment"]
OPTIONS = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
MADE_FOR = {"model=distance": "data=distance", "model=window_net": "data=windows", "model=sentiment": "data=sentiment"}
PARTNER = {data: model for model, data in MADE_FOR.items()} | {"model=own": "model.net._target_=torch.nn.Flatten"}


@cache
def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [*overrides, "out_dir=here"])


def said(cfg: DictConfig) -> str | None:
    """What is refused, or None."""
    try:
        check_settings(cfg, {})
    except RunError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < 600
        return text
    return None


def with_values(base: tuple[str, ...], *overrides: str) -> DictConfig:
    """A config with some values, given as on a command line, without composing it anew."""
    cfg = composed(*base).copy()
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        OmegaConf.update(cfg, override.key_or_group, override.value(), merge=False, force_add=override.is_add())
    return cfg


NO_NUMBER = ("true", "false", "abc", "'1'", "''", "'é ß 中'", "[1]", "{a: 1}", "nan", "inf", "-inf", "1e39", "9" * 40)
NO_COUNT = (*NO_NUMBER, "1.5", "1.0", "1e3")
NO_SWITCH = ("null", "no", "'true'", "maybe", "0", "1", "2", "[]")
NO_TEXT = ("true", "5", "1.5", "[a]", "{a: 1}")
NO_DURATION = ("true", "5", "abc", "00:00:00:00", "1:1", "{foo: 1}", "{days: 0}", "[1]")
NO_SHARE = ("null", *NO_NUMBER, "-0.1", "1", "2")

REFUSED: dict[str, tuple[str, ...]] = {
    "seed": ("-1", "0..2", "4294967296", *NO_COUNT),
    "data.seed": ("-1", "4294967296", *NO_COUNT),
    **dict.fromkeys(("compile", "channels_last", "debug", "doctor", "reg.proximal", "data.download"), NO_SWITCH),
    **dict.fromkeys(("trainer.enable_checkpointing", "trainer.enable_progress_bar"), NO_SWITCH),
    **dict.fromkeys(("optimizer.amsgrad", "trainer.inference_mode", "trainer.detect_anomaly"), NO_SWITCH),
    "optimizer.fused": NO_SWITCH[1:],
    "optimizer._partial_": ("false", "5", "null"),
    "out_dir": ("null", *NO_TEXT),
    "data.dir": ("null", *NO_TEXT),
    "model.select": ("null", *NO_TEXT),
    "model.input_shape": ("5", "abc", "true", "[true,28,28]", "[1,-28,28]", "[0,1,1]", "[1.0,1,1]", "{a: 1}"),
    **dict.fromkeys(("reg.lam", "constraint.max_value", "constraint.min_value"), ("null", "-1", *NO_NUMBER)),
    "constraint.epsilon": ("null", "-1", *NO_NUMBER),
    "constraint.rate": ("null", "-1", "2", *NO_NUMBER),
    "constraint.dim": ("true", "1.5", "abc", "[true]", "[1.5]", "nan"),
    "reg.rate": NO_SHARE[1:],
    "reg.convention": ("null", "true", "5", "Keras", "[keras]"),
    **dict.fromkeys(("reg.penalty", "constraint.projection"), ("5", "abc", "true", "[]", "{}", "{a: 1}")),
    "model.net": ("null", "5", "abc", "true", "[]", "{}", "{a: 1}"),
    "model.net._target_": ("null", "5", "''", "true", "[a]", "nope", "regtorch.models.Nope", "torch.nn"),
    "model.net.dropout": NO_SHARE,
    **dict.fromkeys(("model.net.num_classes", "model.net.hidden"), ("0", "-3", *NO_COUNT)),
    **dict.fromkeys(("optimizer.lr", "optimizer.eps", "optimizer.weight_decay"), ("null", "-1", *NO_NUMBER)),
    "optimizer.betas": ("0.9", "null", "abc", "[0.9]", "[0.9,true]", "[0.9,1]", "[0.9,nan]", "[-1,0.9]", "[0,0,0]"),
    "data.batch_size": ("null", *NO_COUNT),
    "data.num_classes": NO_COUNT,
    "data.augment": ("true", "5", "abc"),
    "trainer.max_epochs": ("0", "-2", *NO_COUNT),
    "trainer.max_steps": ("null", "0", "-2", *NO_COUNT),
    "trainer.limit_train_batches": ("0", "0.0", "-1", "1.5", *NO_NUMBER),
    **dict.fromkeys(("trainer.limit_val_batches", "trainer.limit_test_batches"), ("-1", "1.5", *NO_NUMBER)),
    "trainer.overfit_batches": ("null", "-1", "1.5", *NO_NUMBER),
    **dict.fromkeys(("trainer.min_epochs", "trainer.min_steps"), ("-1", *NO_COUNT)),
    "trainer.max_time": NO_DURATION,
    "trainer.val_check_interval": ("0", "0.0", "-1", *NO_DURATION[:1], *NO_DURATION[2:]),
    "trainer.check_val_every_n_epoch": ("0", "-1", *NO_COUNT),
    "trainer.num_sanity_val_steps": ("null", "-2", *NO_COUNT),
    **dict.fromkeys(("trainer.num_nodes", "trainer.accumulate_grad_batches"), ("null", "0", "-1", *NO_COUNT)),
    **dict.fromkeys(("trainer.log_every_n_steps", "trainer.reload_dataloaders_every_n_epochs"), ("-1", *NO_COUNT)),
    "trainer.gradient_clip_val": ("-1", *NO_NUMBER),
    "trainer.gradient_clip_algorithm": ("banana", "5", "true", "Value"),
    "trainer.fast_dev_run": ("null", "-1", "1.5", "no", "[]", "nan"),
    "trainer.devices": ("null", "0", "-2", "1.5", "true", "banana", "[]", "[a]", "[-1]", "''"),
    "trainer.accelerator": ("null", "5", "true", "banana", "[cpu]", "''"),
    "trainer.precision": ("17", "banana", "true", "[32]", "32.0", "''"),
    "trainer.strategy": ("null", "5", "true", "[]"),
    "trainer.deterministic": ("no", "0", "1", "[]"),
    **dict.fromkeys(("trainer.benchmark", "trainer.sync_batchnorm", "trainer.use_distributed_sampler"), NO_SWITCH[1:]),
    "trainer.profiler": ("5", "true"),
    "trainer.default_root_dir": ("5", "true"),
    "callbacks.best": ("5", "true", "abc", "[]"),
    "callbacks.best.monitor": ("5", "true", "[]"),
    "callbacks.best.mode": ("null", "foo", "MIN", "5"),
    "callbacks.last.save_on_train_epoch_end": ("maybe", "1"),
    **dict.fromkeys(("callbacks.history.path", "callbacks.stop.monitor", "logger.csv.save_dir"), ("null", "5", "true")),
    "callbacks.stop.patience": ("null", "-1", *NO_COUNT),
    "callbacks.stop.mode": ("null", "foo", "5"),
    "logger.csv": ("5", "true"),
    "logger.csv.version": ("true", "1.5"),
    **dict.fromkeys(("model", "data", "reg", "optimizer", "trainer", "logger"), ("null", "5", "true", "[]", "abc")),
}
FULL = ("model=mnist_mlp", "callbacks=early_stopping", "logger=csv")


# Keys of one kind have the same wrong values: each key is always tried with a third of its own, the next with the next.
every = pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])


def in_turn(values: Sequence[Any], at: int, every: int) -> Sequence[Any]:
    return values[at % every :: every] or values


@every
@pytest.mark.parametrize("key", REFUSED)
def test_a_wrong_value_is_refused_in_one_line(key: str, every: int):
    for value in in_turn(REFUSED[key], list(REFUSED).index(key), every):
        text = said(with_values(FULL, f"{key}={value}"))
        assert text is not None, f"{key}={value} was accepted"
        assert text.startswith((key, "model.net.num_classes: ")), f"{key}={value}: {text}"  # which takes the data's
        assert "expected" in text
        assert "received" in text


ACCEPTED = (
    ("seed=null", "data.seed=null"),
    ("seed=4294967295",),
    ("optimizer.lr=0", "optimizer.eps=1e-8", "optimizer.betas=[0,0.5]", "optimizer.fused=null"),
    ("optimizer.lr=1", "reg.lam=0", "reg.rate=0", "constraint.dim=[1]", "constraint.dim=-1"),
    ("model.net.dropout=0", "model.input_shape=null", "reg.select=name:a"),
    ("trainer.max_epochs=-1", "trainer.max_steps=1000000"),
    ("trainer.max_epochs=null", "trainer.max_time=00:00:00:05"),
    ("trainer.max_time={days: 1, hours: 2}", "trainer.min_epochs=0", "trainer.min_steps=5"),
    ("trainer.limit_train_batches=1", "trainer.limit_val_batches=2", "trainer.limit_test_batches=0.5"),
    ("trainer.limit_train_batches=1.0", "trainer.overfit_batches=2", "trainer.val_check_interval=0.25"),
    ("trainer.val_check_interval=00:01:00:00", "trainer.check_val_every_n_epoch=null"),
    ("trainer.devices=auto", "trainer.precision=bf16-mixed", "trainer.deterministic=warn"),
    ("trainer.devices='0,1'", "trainer.precision=64", "trainer.deterministic=true"),
    ("trainer.devices=[0,1]", "trainer.precision='32'", "trainer.strategy=ddp", "trainer.profiler=simple"),
    ("trainer.devices=-1", "trainer.fast_dev_run=3", "trainer.gradient_clip_val=0.5"),
    ("trainer.gradient_clip_algorithm=value", "trainer.gradient_clip_val=1", "trainer.num_sanity_val_steps=-1"),
    ("callbacks.best=null", "callbacks.stop.patience=0", "+callbacks.stop.min_delta=0.1", "logger.csv=null"),
    ("callbacks.best.monitor=null", "logger.csv.version=3", "+logger.csv.flush_logs_every_n_steps=1"),
    ("+data.augment={_target_: regtorch.data.Augment, zoom: [0.9, 1.1], rotation: 15}",),
    ("+optimizer.maximize=true", "+optimizer.foreach=null"),
    ("reg.penalty={_target_: regtorch.Orthogonal, lam: 1, mode: cols}",),
    ("reg.penalty={_target_: regtorch.Activity, penalty: {_target_: regtorch.L1, lam: 1e-5}, select: 'type:Linear'}",),
)


@pytest.mark.parametrize("overrides", ACCEPTED)
def test_valid_settings_are_accepted(overrides: tuple[str, ...]):
    assert said(with_values(FULL, *overrides)) is None


@pytest.mark.sampled(20)
@every
@pytest.mark.parametrize("choice", OPTIONS)
def test_options_are_right_and_no_number_true(choice: str, every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settings, "find_spec", lambda _: True)
    cfg = composed(choice, *filter(None, [PARTNER.get(choice) or MADE_FOR.get(choice)]), *own_data(choice, tmp_path))
    assert said(cfg) is None
    ours = [(key, value) for key, value in leaves(cfg) if key.startswith(f"{choice.partition('=')[0]}.")]
    numbers = [key for key, value in ours if isinstance(value, int | float) and key != "trainer.fast_dev_run"]
    for key in in_turn(numbers, OPTIONS.index(choice), every):
        wrong = cfg.copy()
        OmegaConf.update(wrong, key, 1 if isinstance(OmegaConf.select(cfg, key), bool) else True)
        assert said(wrong) is not None, key


def leaves(node: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a config that is no reference to another one."""
    for name in node:
        key = f"{above}.{name}" if above else str(name)
        if OmegaConf.is_dict(node) and not OmegaConf.is_interpolation(node, name):
            value = node[name]
            yield from leaves(value, key) if OmegaConf.is_dict(value) else [(key, value)]


UNKNOWN = {
    "+optimizer.lrr=1": "optimizer.lrr: Adam has no such argument; did you mean lr?",
    "+trainer.max_epoch=1": "trainer.max_epoch: Trainer has no such argument; did you mean max_epochs?",
    "+model.net.x=1": "model.net.x: MnistMLP has no such argument; it has num_classes, hidden, dropout",
    "+data.sise=1": "data.sise: Digits has no such argument; did you mean resize?",
    "+logger.csv.foo=1": "logger.csv.foo: CSVLogger has no such argument; it has save_dir, ",
    "+trainer.barebones=true": "trainer.barebones: the program sets this argument; leave it out",
    "+trainer.logger=false": "trainer.logger: the program sets this argument; choose loggers with logger=...",
    "data.augment={_target_: regtorch.data.Augment, foo: 1}": "data.augment.foo: Augment has no such argument; it has ",
    "data.augment={_target_: regtorch.data.Augment, rotation: true}": "data.augment.rotation: expected a finite number",
    "model.net={_target_: torch.nn.Linear, in_features: 4}": "model.net.out_features: expected a value, received none; "
    "give +model.net.out_features=...",
    "data.dir=2024": "data.dir: expected text, received 2024; "
    "as text it needs two pairs of quotes: data.dir=\"'2024'\"",
    "reg.convention=kears": "reg.convention: expected keras, tf or weight_decay, received 'kears'; did you mean keras?",
    "optimizer.lr=${nope}": "optimizer.lr: its interpolation failed: Interpolation key 'nope' not found",
    "reg.lam=${reg.lam}": "reg.lam: its interpolation failed: Recursive interpolation detected",
    "reg.lam=${oc.env:NO_SUCH}": "reg.lam: its interpolation failed: KeyError raised while resolving ",
    "reg.lam=1e39": "reg.lam: expected a finite number of at least 0, received 1e+39, which is infinite in float32",
    f"seed={'9' * 4000}": "seed: expected a whole number from 0 to 4294967295 or null, received a whole number that",
}


@pytest.mark.parametrize("override", UNKNOWN, ids=lambda override: override[:40])
def test_wrong_overrides_are_reported(override: str):
    assert (said(with_values(FULL, override)) or "").startswith(UNKNOWN[override])


@pytest.mark.parametrize(
    "key", ["reg.lam", "reg.select", "reg.convention", "reg.proximal", "constraint.max_value", "seed", "debug", "reg"]
)
def test_missing_keys_are_reported(key: str):
    cfg = composed(*FULL).copy()
    above, _, name = key.rpartition(".")
    with open_dict(cfg):
        del (OmegaConf.select(cfg, above) if above else cfg)[name]
    assert re.match(rf"{key}: expected .*(omit ~{key}|received null; choose {key}=none)", said(cfg) or "")


class Odd:
    """Annotations that say something, and such that say nothing of a config."""

    def __init__(
        self,
        a: "Annotated[int, 'a width']",
        b: Literal["x", 1] = "x",
        c: "NotThere | None" = None,  # pyright: ignore[reportUndefinedVariable]
        d: Number = 1,
        e: Path | None = None,
        f: Callable[[int], int] | None = None,
        g: float = None,  # noqa: RUF013
        h: dict[str, int] | None = None,
        i: tuple[int, ...] = (),
        j: list | None = None,
        k: torch.Tensor | float = 1.0,
        **rest: Any,
    ) -> None: ...


@pytest.mark.parametrize(
    ("argument", "right", "wrong"),
    [
        ("a", (1,), (True, 1.0, "1", None)),
        ("b", ("x", 1), (True, "1", 1.0)),
        ("c", (1, "x", True), ()),
        ("d", (1, 0.5), (True, "1")),
        ("e", ("here", None), (1, True)),
        ("f", ({"_target_": "torch.abs", "_partial_": True}, None, "x"), ()),
        ("g", (None, 1), (True, "1")),
        ("h", ({"a": 1}, None), (1, [1])),
        ("i", ([], [1, 2]), ([1.5], 1, "12", [True])),
        ("j", ([1, "a"], None), ("a", 1)),
        ("k", (1.0, {"_target_": "torch.zeros", "size": [1]}), ("a", True)),
        ("any", (1, "x", None), ()),
    ],
)
def test_annotations_decide_valid_arguments(argument: str, right: tuple[Any, ...], wrong: tuple[Any, ...]):
    node = {"_target_": f"{__name__}.Odd", "a": 1}
    for value in right:
        check_call("odd", {**node, argument: value})
    for value in wrong:
        with pytest.raises(RunError, match=rf"^odd\.{argument}: expected .*, received "):
            check_call("odd", {**node, argument: value})


class OfAnnotations(rt.Penalty):
    """A rule of one's own that no test has made yet."""

    lam: float = 0.01

    def __call__(self, w: torch.Tensor) -> torch.Tensor:
        return self.lam * w.square().sum()


def test_the_arguments_of_an_annotated_rule_are_known_before_it_is_built():
    node = {"_target_": f"{__name__}.OfAnnotations", "lam": 0.1, "select": "bias"}
    check_call("reg.penalty", node)
    with pytest.raises(RunError, match=r"reg\.penalty\.lam: expected a finite number, received 'x'"):
        check_call("reg.penalty", {**node, "lam": "x"})
