"""Examples of causes that only a training shows, or only the validation samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from programs import program as p
from programs.data import Data
from programs.healthy import BASES
from programs.training import score, train
from regtorch.doctor.measure import validation
from regtorch.plot.curves import history_panels
from regtorch.plot.panel import Axis, Guide, Panel, Series, look
from small_trainings import Training, digits, split

__all__ = ["WATCHED"]

_STEPS, _BOUND = 200, 0.05


def _line(points: Mapping[int, float], name: str, number: int) -> Series:
    return Series(list(points), list(points.values()), name, look(number))


def always_clipped() -> tuple[rt.Finding, str, Panel]:
    """The norms of gradients far above the bound of clipping."""
    made = BASES["digits"].set_up()
    optimizer = torch.optim.SGD(made.model.parameters(), lr=0.1)
    norms: dict[int, float] = {}
    with rt.watch(made.model, optimizer, every=5, on_finding=lambda finding: None) as watching:
        for step in range(_STEPS):
            x, y = made.batches[step % len(made.batches)]
            optimizer.zero_grad()
            made.loss(made.model(x), y).backward()
            norms[step] = float(nn.utils.clip_grad_norm_(made.model.parameters(), _BOUND))
            optimizer.step()
    panel = Panel(
        "",
        "",
        Axis("step", integers=True),
        Axis("norm of the gradient", log=True),
        [_line(norms, "norm before clipping", 1)],
        [Guide(_BOUND, label=f"clipped to {_BOUND:g}")],
    )
    return _of(watching.findings, "always_clipped"), f"gradients clipped to a norm of {_BOUND:g} (digits)", panel


def loss_scale_at_floor() -> tuple[rt.Finding, str, Panel]:
    """A scale that is halved at every step, as a loss is infinite from step 50 on."""
    made = BASES["digits"].set_up()
    optimizer = torch.optim.SGD(made.model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    scales: dict[int, float] = {}
    with rt.watch(made.model, optimizer, scaler=scaler, every=2, on_finding=lambda finding: None) as watching:
        for step in range(100):
            x, y = made.batches[step % len(made.batches)]
            optimizer.zero_grad()
            loss = made.loss(made.model(x), y) * (torch.inf if step >= 50 else 1.0)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            scales[step] = scaler.get_scale()
    panel = Panel(
        "", "", Axis("step", integers=True), Axis("loss scale", log=True), [_line(scales, "scale of the loss", 1)]
    )
    return _of(watching.findings, "loss_scale_at_floor"), "gradients that overflow from step 50 on (digits)", panel


def validation_leak() -> tuple[rt.Finding, str, Panel]:
    """Half of the validation samples are also trained on; labels are partly wrong, so that memorising them pays."""
    data = _with_wrong_labels(BASES["digits"].data(), 0.3)
    seen, held = Data(data.x[:300], data.y[:300], data.vx, data.vy), (data.vx[200:], data.vy[200:])
    leaked = torch.cat([data.x[:150], data.vx[200:]]), torch.cat([data.y[:150], data.vy[200:]])
    found = list(validation.find(_batches(seen.x, seen.y), _batches(*leaked), classes=True))
    trained = Data(torch.cat([seen.x, held[0]]), torch.cat([seen.y, held[1]]), data.vx, data.vy)
    shown = _scores(
        trained, {"samples also trained on": held, "samples never seen": (data.vx[:200], data.vy[:200])}, 0.01
    )
    series = [_line(points, name, number + 1) for number, (name, points) in enumerate(shown.items())]
    panel = Panel("", "", Axis("step", integers=True), Axis("accuracy"), series)
    return _of(found, "validation_leak"), "validation samples among those of training (digits)", panel


def validation_noise() -> tuple[rt.Finding, str, Panel]:
    """The accuracy on 40 samples beside that on 400."""
    data = BASES["digits"].data()
    few = data.vx[:40], data.vy[:40]
    found = list(validation.find(_batches(data.x, data.y), _batches(*few), classes=True))
    shown = _scores(data, {"on 40 samples": few, "on 400 samples": (data.vx, data.vy)})
    series = [
        _line(shown["on 40 samples"], "on 40 samples", 1),
        replace(_line(shown["on 400 samples"], "on 400 samples", 0), line="--"),
    ]
    panel = Panel("", "", Axis("step", integers=True), Axis("accuracy"), series)
    return _of(found, "validation_noise"), "forty validation samples (digits)", panel


def underfitting() -> tuple[rt.Finding, str, Panel]:
    """A linear net that sees the brightness of two halves of each digit."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.AdaptiveAvgPool1d(2), nn.Linear(2, 10))
    history = Training(net, split(digits(), 1200, 500), rate=0.1, epochs=150).run()
    reading = rt.read_history(history, classes=10)
    accuracies = next(panel for panel in history_panels(reading) if panel.title == "Accuracy")
    return (
        _of(list(reading), "underfitting"),
        "a linear net on two features for ten classes (digits)",
        replace(accuracies, title=""),
    )


def _with_wrong_labels(data: Data, share: float) -> Data:
    own = torch.Generator().manual_seed(0)

    def changed(y: Tensor) -> Tensor:
        other = torch.randint(0, 10, y.shape, generator=own)
        return torch.where(torch.rand(y.shape, generator=own) < share, other, y)

    return Data(data.x, changed(data.y), data.vx, changed(data.vy))


def _batches(x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(50), y.split(50), strict=True))


def _scores(data: Data, sets: Mapping[str, tuple[Tensor, Tensor]], lr: float = 1e-3) -> dict[str, dict[int, float]]:
    """The accuracies on several sets of samples while the digits' net trains on `data`."""
    made = p.lr(lr)(BASES["digits"]).set_up()
    shown: dict[str, dict[int, float]] = {name: {} for name in sets}

    def look_at(step: int) -> None:
        if step % 10 == 0:
            for name, (x, y) in sets.items():
                with torch.no_grad():
                    shown[name][step] = score(made.model(x), y)

    train(replace(made, loss=F.cross_entropy), data, look_at)
    return shown


def _of(found: list[rt.Finding], cause: str) -> rt.Finding:
    return next(finding for finding in found if finding.cause == cause)


_MADE = always_clipped, loss_scale_at_floor, underfitting, validation_leak, validation_noise
WATCHED: Mapping[str, Callable[[], tuple[rt.Finding, str, Panel]]] = {make.__name__: make for make in _MADE}
"""By cause: the finding, the example in words, and the panel."""
