"""The curves of a run as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from regtorch.app.record.ranking import label_of_metric, score_of
from regtorch.training.epochs import EpochRecord
from regtorch.training.whole import write_png

__all__ = ["HistoryPicture", "draw"]

# Okabe and Ito's colours, which the colour-blind tell apart; the line's style says the same again.
_TRAIN, _VAL = "#0072B2", "#D55E00"


class HistoryPicture(EpochRecord):
    """Draws loss and score of every epoch when fitting ends, by an error too.

    Args:
        path: the .png to write.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Draw what there is."""
        if trainer.state.fn == "fit":
            self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        if trainer.is_global_zero and self.epochs:
            draw(self.epochs, self.path)


def draw(epochs: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw two panels, loss with task loss and score, of train and val.

    Args:
        epochs: one mapping an epoch, with "epoch" and metrics such as "train/loss".
        path: the .png to write.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 4.2), dpi=120, layout="constrained")
    loss, score = figure.subplots(1, 2)
    name = score_of(epochs[-1])
    for stage, colour in (("train", _TRAIN), ("val", _VAL)):
        _line(loss, epochs, f"{stage}/loss", f"{stage} loss", color=colour, marker="o")
        _line(loss, epochs, f"{stage}/task_loss", f"{stage} task loss", color=colour, marker="o", style="--")
        _line(score, epochs, f"{stage}/{name}", stage, color=colour, marker="o")
    loss.set(title="Loss (solid) and its part without penalty (dashed)", xlabel="epoch", ylabel="loss")
    label = label_of_metric(name)
    score.set(title=label.capitalize(), xlabel="epoch", ylabel=label)
    if _spans_decades(epochs):
        loss.set_yscale("log")
    for axes in (loss, score):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4, frameon=False, fontsize="small")
    write_png(figure, path)


def _line(
    axes: Any, epochs: Sequence[Mapping[str, float]], key: str, label: str, *, style: str = "-", **looks: Any
) -> None:
    points = [(epoch["epoch"], epoch[key]) for epoch in epochs if key in epoch]
    if points:
        axes.plot(*zip(*points, strict=True), linestyle=style, label=label, markersize=3, **looks)


def _spans_decades(epochs: Sequence[Mapping[str, float]]) -> bool:
    values = [v for epoch in epochs for k, v in epoch.items() if k.endswith(("/loss", "/task_loss"))]
    return bool(values) and min(values) > 0 and max(values) > 50 * min(values)
