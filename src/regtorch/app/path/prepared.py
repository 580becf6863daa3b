"""Build the start of a path's members: nets, rules, random numbers and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from lightning.pytorch import seed_everything
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from regtorch.app.config.instantiate import instantiate
from regtorch.app.data import ArraysDataModule
from regtorch.app.ground.errors import RunError
from regtorch.app.path.feed import Feed
from regtorch.app.path.followed import Settings, settings_of
from regtorch.app.path.fractions import has_fractions, largest, resolved
from regtorch.app.path.members import Member, members_of
from regtorch.app.path.stacked_layers import fixed_rates, rates_of
from regtorch.app.record.axes import AXES
from regtorch.app.record.command import command
from regtorch.app.run.rules import rules_of
from regtorch.app.run.settling import Settling, settling_of
from regtorch.app.run.setup import set_up
from regtorch.constraints import Constraint
from regtorch.lightning.tasks import Task
from regtorch.penalties import Penalty
from regtorch.schedules import Schedule

__all__ = ["Origin", "Prepared", "prepared"]


@dataclass(frozen=True)
class Origin:
    """The start of all runs of one seed."""

    net: nn.Module  # with its initial weights
    state: Tensor  # of the random number generator, after the net was built
    data_seed: int | None  # shuffles the data


@dataclass(frozen=True)
class Prepared:
    """A path before training."""

    members: Sequence[Member]
    penalties: Sequence[Penalty | None]  # by member
    constraints: Sequence[Constraint | None]  # by member
    rates: Sequence[Mapping[str, float]]  # dropout rates by member and layer name
    seeds: Sequence[int | None]  # by member
    origins: Mapping[int | None, Origin]  # by seed
    proximal: bool  # whether penalties act by proximal steps
    schedule: Schedule | None  # of every penalty; None if strengths are constant
    optimizer: Callable[..., Any]  # called with parameters
    data: ArraysDataModule  # set up
    task: Task
    train_loss: Callable[[Tensor, Tensor], Tensor]  # the task's loss, with label smoothing if configured
    settings: Settings
    settling: Settling  # of batch norms
    remarks: Sequence[str] = field(default=())  # for the receipt


def prepared(cfg: DictConfig, choices: Mapping[str, str]) -> Prepared:
    """Build the start of every member, as train.py does with that member's overrides."""
    members = members_of(cfg)
    settings = settings_of(cfg)
    _check_axes(cfg, choices, members)
    cfg, given = _with(cfg.copy(), members[0].values), cfg.path.lams
    setup = set_up(cfg, choices)
    if not isinstance(setup.data, ArraysDataModule):
        raise RunError(f"a path needs data in memory (a regtorch.data.ArraysDataModule), received {setup.data!r}")
    remarks = [r for r in (getattr(source, "remark", None) for source in (setup.data, setup.net)) if r]
    if has_fractions(given):
        most = largest(cfg, setup, choices)
        OmegaConf.update(cfg, "path.lams", resolved(given, most))
        members = members_of(cfg)
        remarks.append(f"path.lams={given}: fractions of {most:.6g}, which empties the weights of the untrained net")
    seeds: list[int | None] = []
    origins: dict[int | None, Origin] = {}
    rules, rates = [], []
    for member in members:
        _with(cfg, member.values)
        seed = cfg.seed
        if seed not in origins:
            origins[seed] = _origin(cfg, settings.device)
        net = origins[seed].net
        seeds.append(seed)
        rules.append(rules_of(cfg, net, choices))
        rates.append(rates_of(net))
    penalties = [next(iter(own.penalties), None) for own in rules]
    constraints = [next(iter(own.constraints), None) for own in rules]
    _check_effect(members, {"lam": penalties, "max_value": constraints}, choices)
    if any("rate" in member.values for member in members) and (fixed := fixed_rates(setup.net)):
        raise RunError(
            f"path.rates: {', '.join(fixed)} cannot have a rate per member (nn.Dropout and its variants can); "
            f"use {command('train', ['-m'])} reg.rate=..."
        )
    remarks += [r for r in rules[0].remarks if r.startswith("reg.schedule")]
    settling = settling_of(cfg, setup.net, partial(Feed(setup.data, settings).count, "train"))
    remarks += [] if settling.remark is None else [settling.remark]
    return Prepared(
        members=members,
        penalties=penalties,
        constraints=constraints,
        rates=rates,
        seeds=seeds,
        origins=origins,
        proximal=rules[0].proximal,
        schedule=rules[0].schedule,
        optimizer=instantiate(cfg.optimizer),
        data=setup.data,
        task=setup.checked.task,
        train_loss=setup.train_loss,
        settings=settings,
        settling=settling,
        remarks=remarks,
    )


def _with(cfg: DictConfig, values: Mapping[str, Any]) -> DictConfig:
    for axis, value in values.items():
        OmegaConf.update(cfg, AXES[axis].key, value)
    return cfg


def _origin(cfg: DictConfig, device: torch.device) -> Origin:
    if cfg.seed is not None:
        seed_everything(cfg.seed, workers=True, verbose=False)
    net: nn.Module = instantiate(cfg.model.net)
    state = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
    return Origin(net, state, cfg.data.seed)


def _check_axes(cfg: DictConfig, choices: Mapping[str, str], members: Sequence[Member]) -> None:
    """Refuse axes without effect, before anything is loaded."""
    axes = members[0].values
    if "lam" in axes and cfg.reg.penalty is None:
        raise RunError(f"path.lams: reg={choices.get('reg')} has no penalty; choose one, such as reg=l2")
    if "max_value" in axes and "max_value" not in (cfg.constraint.projection or {}):
        raise RunError(
            f"path.max_values: constraint={choices.get('constraint')} has no bound; choose constraint=max_norm"
        )
    if "seed" not in axes and cfg.seed is None and len(members) > 1:
        raise RunError("seed=null: members of a path start from the same weights; give a seed, or path.seeds=[0,1,2]")


def _check_effect(members: Sequence[Member], rules: Mapping[str, Sequence[Any]], choices: Mapping[str, str]) -> None:
    """Refuse strengths that reach no rule, such as those of reg=l1l2 with reg.l1= and reg.l2=."""
    for axis, of_member in rules.items():
        given = {member.values.get(axis) for member in members}
        if len(given) > 1 and len(set(of_member)) == 1:
            raise RunError(f"path: {AXES[axis].key} has no effect, as {of_member[0]!r} does not depend on it")
