"""What a config must hold before anything is loaded or trained for nothing."""

from collections.abc import Mapping
from importlib.util import find_spec

from omegaconf import DictConfig, OmegaConf

from regtorch.training.errors import RunError

__all__ = ["check_pair", "check_settings"]

_SWITCHES = (
    "compile",
    "channels_last",
    "debug",
    "doctor",
    "cure",
    "strength",
    "reg.proximal",
    "trainer.enable_checkpointing",
)
_MOST_SEED = 2**32 - 1  # NumPy's
# What in the config needs a package, and the extra that brings it.
_NEEDS = {
    "rich": ("", "train"),
    "matplotlib": ("HistoryPicture", "train"),
    "tensorboard": ("TensorBoardLogger", "train"),
    "mlflow": ("MLFlowLogger", "mlflow"),
    "wandb": ("WandbLogger", "wandb"),
}


def check_settings(cfg: DictConfig) -> None:
    """Refuse a switch that is neither true nor false, and a missing package that would only show after training.

    Raises:
        RunError: with what to give, or to install.
    """
    for key in _SWITCHES:
        value = OmegaConf.select(cfg, key)
        if value is not None and not isinstance(value, bool):  # 'no' is a string, and as such true
            raise RunError(f"{key}: expected true or false, received {value!r}")
    seed = cfg.seed
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= _MOST_SEED):
        raise RunError(
            f"seed: expected a whole number from 0 to {_MOST_SEED} or null, received {seed!r}; several: -m seed=0,1,2"
        )
    used = OmegaConf.to_yaml(OmegaConf.masked_copy(cfg, ["callbacks", "logger"]))
    for package, (user, extra) in _NEEDS.items():
        if user in used and find_spec(package) is None:
            needs = "training" if extra == "train" else f"logger={extra}"
            raise RunError(f"{package} is not installed; install what {needs} needs: pip install 'regtorch[{extra}]'")


def check_pair(cfg: DictConfig, choices: Mapping[str, str]) -> None:
    """Refuse a net and a data set that cannot go together, before either is made.

    Raises:
        RunError: with what to choose.
    """
    model, data = (f"{group}={choices.get(group)}" for group in ("model", "data"))
    shape = OmegaConf.select(cfg, "model.input_shape")
    if OmegaConf.select(cfg, "model.net.num_classes", default=1) is None:  # the data's, which has none
        raise RunError(
            f"{data} has numbers to predict and no classes, {model} gives classes; choose model=distance, "
            "or say how many numbers with model.net.num_classes=1"
        )
    if shape is not None and len(shape) != 3 and cfg.data.get("resize") is not None:
        raise RunError(
            f"{model} takes samples of shape {list(shape)}, and {data} has images; choose the data it is made for, "
            "as an experiment does (experiment=... in --help)"
        )
