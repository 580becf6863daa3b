"""A diagnosis from config to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from regtorch.app.doctor.diagnosis import Diagnosis, apply_proofs, setup_overrides, within_range
from regtorch.app.doctor.diagnosis_page import write_page
from regtorch.app.doctor.strength import check_penalty, find_strength
from regtorch.app.doctor.terminal import announce, print_diagnosis, progress
from regtorch.app.doctor.validated import validated
from regtorch.app.ground.errors import RunError
from regtorch.app.nets import count
from regtorch.app.record.command import command
from regtorch.app.record.near import runs_near
from regtorch.app.record.outputs import write_diagnosis
from regtorch.app.record.provenance import provenance
from regtorch.app.record.run_record import RunRecord
from regtorch.app.record.same_settings import placeless
from regtorch.app.run.examine import examine, penalties_of, refuse_schedule
from regtorch.app.run.setup import set_up

__all__ = ["diagnose_setup"]

_PROVING = "short trainings as is, without the suspected cause, and with the change (about {:g} s)"
_LONGEST = 1e6  # seconds of short trainings
_SEARCHING = "short trainings at several strengths (about {:g} s)"


def diagnose_setup(
    cfg: DictConfig, choices: Mapping[str, str], overrides: Sequence[str], conf: Path, folder: Path, started: float
) -> bool:
    """Examine the composed config, prove the findings if requested, print and write the diagnosis.

    Returns:
        Whether something is severe.

    Raises:
        RunError: a fault that the user can fix.
    """
    given, overrides = overrides, setup_overrides(overrides)
    seconds = cfg.seconds
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST:
        raise RunError(f"seconds: expected a time up to {_LONGEST:g}, such as 600, received {seconds!r}")
    refuse_schedule(cfg)
    if cfg.strength:
        check_penalty(cfg, choices)
    with progress() as show:
        show("reading the data")
        setup = set_up(cfg, choices)
        rules = [*penalties_of(setup), *setup.rules.constraints]
        found = examine(setup, cfg, rules, _device(cfg), show)
        proofs, strength = [], None
        if cfg.cure and any(finding.severity != "info" for finding in found.findings):
            from regtorch.app.doctor.proofs import prove

            show(_PROVING.format(seconds))
            announce(_PROVING.format(seconds))
            proofs = prove(overrides, found.findings, conf, seconds=seconds)
        if cfg.strength:
            show(_SEARCHING.format(seconds))
            announce(_SEARCHING.format(seconds))
            strength = find_strength(overrides, conf, seconds=seconds)
    valid, withdrawn = apply_proofs(found.findings, proofs)
    origin = provenance(command("doctor", given), _device(cfg) or "cpu", setup.data)
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    examined = RunRecord(config=settings, parameters={"total": count(setup.net)[0]}, provenance=origin, final={})
    valid = validated(valid, examined, runs_near(folder))
    if strength is not None:
        valid = within_range(valid, strength, found)
    diagnosis = Diagnosis(overrides, found, valid, withdrawn, proofs, strength, perf_counter() - started)
    write_diagnosis(
        folder,
        overrides,
        [*valid, *withdrawn],
        diagnosis.seconds,
        diagnosis.change,
        withdrawn=withdrawn,
        proofs=proofs,
        strength=strength,
        provenance=origin,
        config=placeless(settings),
    )
    write_page(folder, diagnosis)
    print_diagnosis(diagnosis, folder)
    return diagnosis.severity == "severe"


def _device(cfg: DictConfig) -> torch.device | None:
    """A GPU if training would use one; None for the CPU."""
    wanted = cfg.trainer.accelerator in ("auto", "gpu", "cuda")
    return torch.device("cuda") if wanted and torch.cuda.is_available() else None
