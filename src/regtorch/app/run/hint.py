"""What a run's first lines advise."""

from collections.abc import Mapping, Sequence

from omegaconf import DictConfig

__all__ = ["hint_of"]


def hint_of(cfg: DictConfig, choices: Mapping[str, str], overrides: Sequence[str]) -> str | None:
    """What to try instead of data or a net that nobody chose."""
    data, model = choices.get("data"), choices.get("model")
    if data == "digits":
        if cfg.data.dir != "data":
            return (
                f"hint: data=digits comes with scikit-learn and does not use data.dir={cfg.data.dir}; data=mnist does"
            )
        return "hint: data=digits is small and needs no download; data=cifar10 is more realistic"
    if data in ("folder", "csv") and not any(text.startswith(("model=", "experiment=")) for text in overrides):
        shape = "×".join(map(str, cfg.model.input_shape))
        fits = f"net: model={model}, which fits samples of any size (here {shape})"
        return f"{fits}, as no model= is given; --help lists others"
    return None
