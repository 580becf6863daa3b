"""A check-up from a config to its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import torch
from omegaconf import DictConfig

from regtorch.app.doctor.page import write_page
from regtorch.app.doctor.result import Checkup, own_overrides, told_apart
from regtorch.app.doctor.strength import check_penalty, find_strength
from regtorch.app.doctor.terminal import announce, print_checkup, progress
from regtorch.app.ground.errors import RunError
from regtorch.app.record.outputs import write_diagnosis
from regtorch.app.run.examine import check_still, examine, penalties_of
from regtorch.app.run.setup import set_up

__all__ = ["check"]

_PROVING = "short trainings as it is, without the suspect, and with the change (about {:g} s)"
_LONGEST = 1e6  # seconds of short trainings
_SEARCHING = "short trainings at several strengths (about {:g} s)"


def check(
    cfg: DictConfig, choices: Mapping[str, str], overrides: Sequence[str], conf: Path, folder: Path, started: float
) -> bool:
    """Examine, prove, print and write.

    Args:
        cfg: the composed config.
        choices: the option chosen of each config group.
        overrides: what was given on the command line.
        conf: the folder of the configs.
        folder: where the files go.
        started: when the check-up began.

    Returns:
        Whether something is severe.

    Raises:
        RunError: something that the user can mend.
    """
    overrides = own_overrides(overrides)
    seconds = cfg.seconds
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST:
        raise RunError(f"seconds: expected how many short trainings may take, such as 600, received {seconds!r}")
    check_still(cfg)
    if cfg.strength:
        check_penalty(cfg, choices)
    with progress() as tell:
        tell("reading the data")
        made = set_up(cfg, choices)
        rules = [*penalties_of(made), *made.rules.constraints]
        found = examine(made, cfg, rules, _device(cfg), tell)
        proofs, strength = [], None
        if cfg.cure and any(finding.severity != "info" for finding in found.findings):
            from regtorch.app.doctor.cure import prove

            tell(_PROVING.format(seconds))
            announce(_PROVING.format(seconds))
            proofs = prove(overrides, found.findings, conf, seconds=seconds)
        if cfg.strength:
            tell(_SEARCHING.format(seconds))
            announce(_SEARCHING.format(seconds))
            strength = find_strength(overrides, conf, seconds=seconds)
    standing, withdrawn = told_apart(found.findings, proofs)
    checkup = Checkup(overrides, found, standing, withdrawn, proofs, strength, perf_counter() - started)
    write_diagnosis(
        folder,
        overrides,
        [*standing, *withdrawn],
        checkup.seconds,
        found.overrides,
        withdrawn=withdrawn,
        proofs=proofs,
        strength=strength,
    )
    write_page(folder, checkup)
    print_checkup(checkup, folder)
    return checkup.severity == "severe"


def _device(cfg: DictConfig) -> torch.device | None:
    """A GPU where training would take one; None is the CPU."""
    wanted = cfg.trainer.accelerator in ("auto", "gpu", "cuda")
    return torch.device("cuda") if wanted and torch.cuda.is_available() else None
