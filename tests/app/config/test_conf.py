import inspect
import subprocess
import sys
from dataclasses import replace
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf
from torch import nn

import regtorch as rt
from own_data import own_data
from places import CONF, SHARED
from regtorch.app.config.instantiate import instantiate
from regtorch.app.run.main import main

DATA = SHARED / "data"


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


GROUPS = [folder.name for folder in sorted(CONF.iterdir()) if folder.is_dir() and folder.name != "experiment"]
# Every option of every group, an option of each group at once.
ROWS = [
    [f"{group}={option}" for group, option in zip(GROUPS, row, strict=True) if option]
    for row in zip_longest(*map(options, GROUPS))
]


@cache
def parsed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [*overrides, "out_dir=here"])


def composed(*overrides: str, **values: object) -> DictConfig:
    """The config of some overrides, resolved after some keys (reg__lam) get values."""
    cfg = parsed(*overrides).copy()
    for key, value in values.items():
        OmegaConf.update(cfg, key.replace("__", "."), value, force_add=False)
    OmegaConf.resolve(cfg)
    return cfg


@pytest.mark.sampled(8)
@pytest.mark.parametrize("choices", ROWS, ids=" ".join)
def test_every_option_composes(choices: list[str], tmp_path: Path):
    net = ["model.net._target_=torch.nn.Linear"] if "model=own" in choices else []
    net += [text for choice in choices for text in own_data(choice, tmp_path)]
    cfg = composed(*choices, *net)
    assert cfg.model.net._target_
    assert set(cfg) == set(composed())


@pytest.mark.sampled(6)
@pytest.mark.parametrize("reg", options("reg"))
def test_every_reg_has_all_keys_so_that_any_pair_can_be_swept(reg: str):
    assert set(composed("reg=none").reg) <= set(composed(f"reg={reg}").reg)
    for lam in (0, 1e-3):
        cfg = composed(f"reg={reg}", reg__lam=lam).reg
        rule = instantiate(cfg.penalty)
        if rule is not None:
            assert rule.active == bool(lam)
            if isinstance(rule, rt.Penalty):
                assert rule.select == composed().model.select


@pytest.mark.parametrize("constraint", options("constraint"))
def test_every_constraint_has_all_keys_so_that_any_pair_can_be_swept(constraint: str):
    assert set(composed("constraint=none").constraint) <= set(composed(f"constraint={constraint}").constraint)
    for bound in (2, 3):
        rule = instantiate(composed(f"constraint={constraint}", constraint__max_value=bound).constraint.projection)
        assert rule is None or getattr(rule, "max_value", bound) == bound


RULES = {
    "reg=l1": rt.L1(0.01),
    "reg=l2": rt.L2(0.01),
    "reg=l1l2": rt.L1L2(0.01, 0.01),
    "reg=group_lasso": rt.GroupLasso(0.01),
    "reg=orthogonal": rt.Orthogonal(0.01),
    "reg=hoyer": rt.Hoyer(0.01),
    "reg=hoyer_square": rt.HoyerSquare(0.01),
    "reg=l2sp": rt.L2SP(0.01),
    "reg=soft_orthogonal": rt.SoftOrthogonal(0.01),
    "reg=sparse_group_lasso": rt.SparseGroupLasso(0.01, 0.01),
    "reg=spectral_norm": rt.SpectralNorm(0.01),
    "reg=nuclear_norm": rt.NuclearNorm(0.01),
    "reg=elastic_net": rt.ElasticNet(0.01),
    "reg=fused_lasso": rt.FusedLasso(0.01, 0.01),
    "reg=total_variation": rt.TotalVariation(0.01),
    "reg=confidence": rt.ConfidencePenalty(0.01),
    "reg=jacobian": rt.JacobianPenalty(0.01),
    "reg=kl_sparsity": rt.Activity(rt.KLSparsity(0.05, 0.01), select="type:Sigmoid"),
    "reg=rdrop": rt.RDrop(0.01),
    "constraint=max_norm": rt.MaxNorm(2.0),
    "constraint=unit_norm": rt.UnitNorm(),
    "constraint=non_neg": rt.NonNeg(),
    "constraint=box": rt.Box(-1.0, 1.0),
    "constraint=l1_ball": rt.L1Ball(1.0),
    "constraint=simplex": rt.Simplex(1.0),
    "constraint=spectral_max": rt.SpectralMax(2.0),
    "constraint=min_max_norm": rt.MinMaxNorm(0.0, 1.0),
}


@pytest.mark.parametrize("choice", RULES)
def test_an_option_is_the_rule_of_its_name_with_kerass_defaults(choice: str):
    cfg = composed(choice, reg__select="kernel", constraint__select="kernel")
    assert instantiate(cfg.reg.penalty if choice.startswith("reg") else cfg.constraint.projection) == RULES[choice]


def test_each_rule_has_an_option():
    assert {c.partition("=")[2] for c in RULES} == {*options("reg"), *options("constraint")} - {*("none", "dropout")}


def test_l1_and_l2_of_l1l2_can_be_given_separately():
    cfg = composed("reg=l1l2", "reg.lam=0.5", "reg.l1=0.1", "reg.select=kernel")
    assert instantiate(cfg.reg.penalty) == rt.L1L2(l1=0.1, l2=0.5)


@pytest.mark.parametrize("optimizer", options("optimizer"))
def test_optimizers_step_and_their_state_loads_with_weights_only(optimizer: str, tmp_path: Path):
    made = instantiate(composed(f"optimizer={optimizer}").optimizer)
    assert isinstance(made, partial)
    weight = nn.Parameter(torch.ones(2, 2))
    opt = made([weight])
    weight.sum().backward()
    opt.step()
    torch.save(opt.state_dict(), tmp_path / "state")
    assert torch.load(tmp_path / "state", weights_only=True)["param_groups"][0]["lr"] > 0


KERAS = {
    "adam": {"lr": 1e-3, "eps": 1e-7, "betas": [0.9, 0.999]},
    "rmsprop": {"lr": 1e-3, "alpha": 0.9, "eps": 1e-7, "momentum": 0.0},
    "sgd": {"lr": 0.01, "momentum": 0.0},
    "adamw": {"lr": 1e-3, "eps": 1e-7, "weight_decay": 0.004},
}


@pytest.mark.parametrize("optimizer", KERAS)
def test_optimizers_have_kerass_defaults(optimizer: str):
    cfg = composed(f"optimizer={optimizer}").optimizer
    assert {key: cfg[key] for key in KERAS[optimizer]} == KERAS[optimizer]


def test_trainer_keys_are_lightnings_arguments():
    assert set(composed().trainer) - {"_target_"} <= set(inspect.signature(Trainer.__init__).parameters)


def test_lists_become_plain_ones():
    assert type(instantiate(composed().optimizer).keywords["betas"]) is list


def data_for(experiment: str) -> list[str]:
    """Overrides that let an experiment run here: its own data, but CIFAR-10, which takes long to load."""
    name = composed(f"experiment={experiment}").data._target_.rpartition(".")[2]
    if name == "CIFAR10":
        return ["data=digits"]
    if name in ("Distance", "Windows"):  # generated
        return []
    if not DATA.is_dir():
        pytest.skip(f"{name} is not here: {DATA} is absent")
    small = ["data.size=[64,64]", "model.input_shape=[3,64,64]"] if name == "RockPaperScissors" else []
    return [f"data.dir={DATA}", *small]


def of_each_model(experiment: str) -> object:
    """Slow is an experiment that trains the net of another one, a large net, or on large images."""
    text = (CONF / "experiment" / f"{experiment}.yaml").read_text(encoding="utf-8")
    fast = "override /model:" in text and experiment not in (
        "six_class_vgg16",
        "six_class",
        "two_class_image",
        "cifar_deep",
    )
    return pytest.param(experiment, marks=[] if fast else pytest.mark.slow)


@pytest.mark.sampled(4)
@pytest.mark.script
@pytest.mark.parametrize("experiment", [of_each_model(name) for name in options("experiment")])
def test_every_experiment_fast_runs(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    arguments = [f"experiment={experiment}", *data_for(experiment), "trainer=cpu"]
    arguments += ["model.net.weights=null"] if experiment == "six_class_vgg16" else []  # no network here
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments, "trainer.fast_dev_run=true"])
    assert main(CONF) == 0, capfd.readouterr().err


@pytest.mark.sampled(5)
@pytest.mark.parametrize("model", sorted({*options("model")} - {"own"}))
def test_a_rule_is_bound_to_the_weights_in_the_models_document(model: str):
    cfg = composed("reg=l2", "constraint=max_norm", f"model={model}")
    with torch.device("meta"):
        net = instantiate(cfg.model.net)
    expected = list(rt.select.weights(net, cfg.model.select))
    assert instantiate(cfg.reg.penalty).select == instantiate(cfg.constraint.projection).select == cfg.model.select
    for name, rule in RULES.items():
        if isinstance(rule, rt.Penalty | rt.Constraint) and name != "reg=l2sp":  # which needs values
            bound = replace(rule, select=cfg.model.select).on(net)
            assert [weight.name for weight in bound.selection.chosen] == expected, rule


def test_the_l2_experiment_is_the_documents():
    cfg = composed("experiment=mnist_sigmoid_l2")
    assert (cfg.data.batch_size, cfg.reg.lam, cfg.trainer.max_epochs) == (128, 1e-4, 100)
    assert cfg.optimizer._target_ == "torch.optim.RMSprop"
    assert cfg.reg.penalty._target_ == "regtorch.L2"
    assert composed("experiment=mnist_sigmoid").reg.penalty is None


def test_what_own_data_says_of_itself_is_known_wherever_configs_are_handled():
    code = "import regtorch.app.config; from omegaconf import OmegaConf; print(OmegaConf.has_resolver('found'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"  # in a process of its own, where no other test has imported what registers it
