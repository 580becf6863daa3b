"""Whether the devices that a config asks for are there."""

from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator, XLAAccelerator
from omegaconf import DictConfig, OmegaConf

from regtorch.app.config.kinds import shown
from regtorch.app.ground.errors import RunError
from regtorch.app.ground.processes import check_processes

__all__ = ["check_devices"]

_KINDS = {
    "gpu": (CUDAAccelerator, MPSAccelerator),
    "cuda": (CUDAAccelerator,),
    "mps": (MPSAccelerator,),
    "tpu": (XLAAccelerator,),
}


def check_devices(trainer: DictConfig) -> None:
    """Refuse devices that this machine lacks.

    Raises:
        RunError: the setting of the trainer.
    """
    accelerator = trainer.get("accelerator")
    kinds = _KINDS.get(accelerator, ())
    if kinds and not any(kind.is_available() for kind in kinds):
        raise RunError(
            f"trainer.accelerator={accelerator}: expected a {accelerator} on this machine, found none; omit it, or "
            "choose trainer=cpu"
        )
    devices = trainer.get("devices")
    if accelerator == "cpu" and (OmegaConf.is_list(devices) or devices in (-1, "-1")):
        raise RunError(
            f"trainer.devices: expected a number of processes on a CPU, such as 1, received {shown(devices)}; a CPU "
            "has no numbered devices"
        )
    if accelerator == "cpu" and isinstance(devices, int):
        check_processes("trainer.devices", devices)
