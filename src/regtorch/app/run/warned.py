"""`train.py doctor=true`: what the doctor says before a training, which goes on whatever that is."""

from __future__ import annotations

from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from regtorch.app.config.command_line import own_configs, task_overrides
from regtorch.app.ground.errors import message, say, sentence
from regtorch.app.record.outputs import write_diagnosis
from regtorch.app.run.examine import examine
from regtorch.app.run.setup import SetUp
from regtorch.lightning.module import RegularizedModule

__all__ = ["warn"]


def warn(made: SetUp, cfg: DictConfig, module: RegularizedModule, device: torch.device, folder: Path) -> None:
    """Examine what is to be trained; print what is severe or a warning, a line each, and write doctor.json."""
    rules = [*module.penalties, *module.activities, *module.constraints]
    try:
        found = examine(made, cfg, rules, device if device.type == "cuda" else None)
    except Exception as error:  # advice that fails is no reason not to train
        say(f"the doctor could not examine this: {message(error, cfg)}", "warning")
        return
    overrides = [*own_configs(), *task_overrides()] if HydraConfig.initialized() else []
    write_diagnosis(folder, overrides, found.findings, found.seconds, found.overrides)
    for finding in found.findings:
        if finding.severity != "info":
            override = "".join(f" {text}" for text in found.overrides(finding))
            said = f"{finding.cause}, {finding.where}: {sentence(finding.why)} {sentence(finding.change)}{override}"
            say(said, "warning")
