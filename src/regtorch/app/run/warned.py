"""`train.py doctor=true`: run the doctor before training and print warnings; training proceeds regardless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from regtorch.app.config.command_line import own_configs, task_overrides
from regtorch.app.ground.errors import message, say, sentence
from regtorch.app.record.command import command
from regtorch.app.record.outputs import write_diagnosis
from regtorch.app.record.provenance import provenance
from regtorch.app.record.same_settings import placeless
from regtorch.app.run.examine import examine
from regtorch.app.run.setup import SetUp
from regtorch.lightning.module import RegularizedModule

__all__ = ["warn"]


def warn(setup: SetUp, cfg: DictConfig, module: RegularizedModule, device: torch.device, folder: Path) -> None:
    """Examine the setup, print severe findings and warnings, and write doctor.json."""
    rules = [*module.penalties, *module.activities, *module.constraints]
    try:
        found = examine(setup, cfg, rules, device if device.type == "cuda" else None)
    except Exception as error:  # failing advice must not prevent training
        say(f"the doctor could not examine the setup: {message(error, cfg)}", "warning")
        return
    overrides = [*own_configs(), *task_overrides()] if HydraConfig.initialized() else []
    origin = provenance(command("train", overrides), device, setup.data)
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    write_diagnosis(
        folder, overrides, found.findings, found.seconds, found.overrides, provenance=origin, config=placeless(settings)
    )
    for finding in found.findings:
        if finding.severity != "info":
            override = "".join(f" {text}" for text in found.overrides(finding))
            text = f"{finding.cause}, {finding.where}: {sentence(finding.why)} {sentence(finding.change)}{override}"
            say(text, "warning")
