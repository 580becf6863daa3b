"""history.png: the curves of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer

from regtorch.app.figures.drawing import write_picture
from regtorch.lightning.epochs import EpochRecord
from regtorch.plot.labels import label_of_metric, score_of
from regtorch.plot.panel import LOOKS, Axis, Panel, Series

__all__ = ["HistoryPicture", "draw"]


class HistoryPicture(EpochRecord):
    """Draws loss and score by epoch when fitting ends, also after an error."""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if trainer.state.fn == "fit":
            self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        if trainer.is_global_zero and self.epochs:
            draw(self.epochs, self.path)


def draw(epochs: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw loss, task loss and score of train and val by epoch."""

    def series(key: str, label: str, number: int, *, dashed: bool = False) -> Series:
        points = {epoch["epoch"]: epoch[key] for epoch in epochs if key in epoch}
        look = LOOKS[number]
        marker = "" if dashed else look.marker
        return Series(list(points), list(points.values()), label, look, "--" if dashed else "-", marker)

    name = score_of(epochs[-1])
    label = label_of_metric(name)
    stages = [stage for stage in ("train", "val") if any(f"{stage}/loss" in epoch for epoch in epochs)]
    losses = [series(f"{stage}/loss", stage, number) for number, stage in enumerate(stages)]
    losses += [series(f"{stage}/task_loss", "", number, dashed=True) for number, stage in enumerate(stages)]
    scores = [series(f"{stage}/{name}", stage, number) for number, stage in enumerate(stages)]
    x, y = Axis("epoch", integers=True), Axis.fitting("loss", [value for line in losses for value in line.y])
    panels = [
        Panel("Loss (solid) and its part without penalty (dashed)", "", x, y, losses),
        Panel(label.capitalize(), "", x, Axis(label), scores),
    ]
    write_picture(panels, "", path)
