"""What to say about a package that is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["EXTRAS", "needed_by", "not_installed"]

EXTRAS = {
    **dict.fromkeys(("hydra", "lightning", "torchmetrics", "torchvision"), "train"),  # required by regtorch itself
    **dict.fromkeys(("filelock", "jinja2", "matplotlib", "rich", "sklearn", "tensorboard"), "train"),
    "optuna": "search",
    "joblib": "joblib",
    "submitit": "submitit",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "h5py": "keras",
    "transformers": "huggingface",
    "skorch": "skorch",
}
"""The extra that installs a package; any extra installs the packages that regtorch itself requires."""


def not_installed(module: str, user: str) -> str:
    """A message: the package of a module, what needs it, and the command that installs it."""
    package = module.partition(".")[0]
    extra = EXTRAS.get(package, "train")
    return f"{package} is not installed; install what {user} needs: pip install 'regtorch[{extra}]'"


@contextmanager
def needed_by(user: str) -> Iterator[None]:
    """Raise a ModuleNotFoundError that names `user` and the remedy, where an import inside fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "regtorch":
            raise
        raise ModuleNotFoundError(not_installed(error.name, user), name=error.name) from error
