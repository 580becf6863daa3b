"""Every member of a path is what train.py makes of its values."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from path_runs import alone, ready, side_by_side

WITHIN = 1e-9

MLP = ("model=mnist_mlp", "optimizer=rmsprop")
CONV = ("model=six_class", "model.net.input_shape=[1,8,8]", "model.net.num_classes=10", "data.resize=null")
PATHS = {
    "dense": (*MLP, "reg=l2", "path.lams=[0,1e-3,0.1]"),
    "dense without dropout, momentum": (
        *("model=notmnist_mlp", "model.net.hidden=20", "optimizer=sgd", "optimizer.momentum=0.9"),
        *("reg=l1", "path.lams=[1e-4,1e-2]"),
    ),
    "rates": (*MLP, "reg=l2", "path.rates=[0.2,0,0.7]"),
    "rates of two layers": ("model=srivastava", "path.rates=[0.2,0.5]", "trainer.limit_train_batches=2"),
    "seeds": (*MLP, "reg=l2", "path.seeds=[0,3]", "path.lams=[1e-3,1e-2]"),
    "seeds and rates": (*MLP, "path.seeds=[1,4]", "path.rates=[0.2,0.7]"),
    "conv, batch norm, dropout": (*CONV, "reg=l2", "path.lams=[1e-4,1e-2]", "optimizer=adam"),
    "conv, batch norm, dropout, seeds": (*CONV, "reg=l2", "path.lams=[1e-4,1e-2]", "path.seeds=[0,1]"),
    "batch norm, frozen": (
        "model=bn_mlp",
        "model.net.units=10",
        "reg=l1l2",
        "path.lams=[1e-4,1e-2]",
        "path.seeds=[0,1]",
    ),
    "group lasso": (*MLP, "reg=group_lasso", "path.lams=[1e-4,1e-2]", "optimizer=adamw", "optimizer.weight_decay=0"),
    "orthogonal": (*MLP, "reg=orthogonal", "path.lams=[0.1,1]", "optimizer=adagrad"),
    "convention": (*MLP, "reg=l2", "reg.convention=weight_decay", "path.lams=[1e-3,1e-2]", "optimizer=nadam"),
    "max-norm": (*MLP, "constraint=max_norm", "path.max_values=[0.5,2]", "reg=l2", "path.lams=[0,1e-3]"),
    "unit norm": (*MLP, "constraint=unit_norm", "reg=l2", "path.lams=[0,1e-3]"),
    "non-negative": (*MLP, "constraint=non_neg", "reg=l2", "path.lams=[0,1e-3]"),
    "proximal, sgd": (
        *("model=mnist_mlp", "optimizer=sgd", "optimizer.lr=0.1", "reg=l1", "reg.proximal=true"),
        "path.lams=[0,1e-4,1e-2]",
    ),
    "proximal, adam": (*MLP, "optimizer=adam", "reg=l1l2", "reg.proximal=true", "path.lams=[1e-4,1e-2]"),
    "proximal, groups": (*MLP, "reg=group_lasso", "reg.proximal=true", "path.lams=[1e-4,1e-2]"),
    "clipped by norm": (*MLP, "reg=l2", "path.lams=[1e-3,1e-1]", "trainer.gradient_clip_val=0.1"),
    "clipped by value": (
        *(*MLP, "reg=l2", "path.lams=[1e-3,1e-1]", "trainer.gradient_clip_val=0.001"),
        "trainer.gradient_clip_algorithm=value",
    ),
    "a schedule": (*MLP, "reg=l2", "path.lams=[0,1e-2,0.1]", "reg.schedule='warmup:4|linear:1:0.5:3|step:2:0.5'"),
    "a schedule, proximal": (
        *(*MLP, "reg=group_lasso", "reg.proximal=true", "path.lams=[1e-4,1e-2]", "reg.schedule=warmup:7"),
    ),
    "augmented": (
        *(*MLP, "reg=l2", "reg.lam=1e-3", "path.seeds=[0,1]"),
        "data.augment={_target_:regtorch.data.Augment,rotation:15,horizontal_flip:true}",
    ),
    "whole epochs, last batch smaller": (*MLP, "reg=l2", "path.lams=[1e-3,1e-2]", "trainer.limit_train_batches=null"),
    "validation now and then, an epoch cut short": (
        *(*MLP, "reg=l2", "path.lams=[1e-3,1e-2]", "trainer.max_epochs=-1", "trainer.max_steps=29"),
        "trainer.check_val_every_n_epoch=2",
    ),
    "steps that end with an epoch, more epochs than are reached": (
        *(*MLP, "reg=l1", "path.lams=[1e-3,1e-2]", "trainer.max_epochs=9", "trainer.max_steps=12"),
        "trainer.check_val_every_n_epoch=2",
    ),
    "regression": ("model=distance", "data=distance", "optimizer=adam", "reg=l2", "path.lams=[1e-4,1e-2]"),
    "one logit": ("model=window_net", "data=windows", "reg=l2", "path.lams=[1e-4,1e-2]", "model.net.batch_norm=true"),
    "keras optimizer": (
        *("model=mnist_mlp", "optimizer._target_=regtorch.keras.RMSprop", "optimizer=rmsprop"),
        *("~optimizer.weight_decay", "reg=l2", "path.lams=[1e-4,1e-2]"),
    ),
}


def own(*overrides: str) -> list[str]:
    return [override for override in overrides if not override.startswith("path.")]


def distance(a: Tensor, b: Tensor) -> float:
    """Relative to the largest number; a bias before a batch norm is nothing but rounding."""
    return float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp(min=1))


# What another path has, too.
SLOW = {
    *(
        "rates of two layers",
        "seeds",
        "conv, batch norm, dropout",
        "unit norm",
        "non-negative",
        "clipped by value",
        "group lasso",
    ),
    *("steps that end with an epoch, more epochs than are reached", "proximal, groups", "seeds and rates"),
    *("whole epochs, last batch smaller", "a schedule", "regression", "proximal, sgd", "orthogonal"),
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else []) for n in PATHS])
def test_a_member_equals_its_own_run(name: str, tmp_path: Path):
    overrides = PATHS[name]
    start = ready(*overrides)
    members = side_by_side(start)
    assert len({tuple(state[n].sum().item() for n in state) for _, state in members}) == len(members)
    for outcome, state in members:
        record, expected = alone(tmp_path / str(outcome.member.number), *own(*overrides), *outcome.member.overrides)
        trainable = {n: v for n, v in expected.items() if n in state}
        assert set(state) <= set(expected)
        assert trainable
        for weight, value in trainable.items():
            assert distance(state[weight], value) <= WITHIN, (outcome.member.label, weight)
        final = outcome.final
        assert set(final) == set(record.final)
        for metric, value in record.final.items():  # Lightning keeps its means in float32
            assert final[metric] == pytest.approx(value, rel=2e-5, abs=1e-6), (outcome.member.label, metric)
        assert outcome.epochs[-1]["epoch"] == record.epochs


@pytest.mark.parametrize("most", [1, 2, 3])
def test_members_do_not_depend_on_other_members(most: int):
    start = ready(*PATHS["seeds and rates"])
    whole, parts = side_by_side(start), side_by_side(start, most, by_seed=most == 2)
    for (one, weights), (other, again) in zip(whole, parts, strict=True):
        assert one.member == other.member
        for name in weights:
            torch.testing.assert_close(weights[name], again[name], rtol=1e-10, atol=1e-12)


def test_strength_0_is_exactly_a_run_without_penalty():
    with_rule = side_by_side(ready(*MLP, "reg=l2", "path.lams=[0,1]"))[0][1]
    without = side_by_side(ready(*MLP, "reg=none", "path.seeds=[0]"))[0][1]
    for name, value in without.items():
        torch.testing.assert_close(with_rule[name], value, rtol=0, atol=1e-13)
